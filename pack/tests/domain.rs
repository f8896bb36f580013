//! What a pack is for: whether it would boot, the file that lets xl boot it, what is in it, what changed in it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::fs;

use common::place::Place;
use common::{Kernel, note};

const PACK: [&str; 7] = ["kernel", "-o", "image.pack", "--codec", "none", "--cmdline", "console=hvc0"];

/// A folder with a pack of a PVH kernel, `image.pack`, and stage0 beside it.
fn packed() -> Place {
    let place = Place::new();
    place.succeeds(&PACK);
    place.succeeds(&["stage0", "-o", "stage0.elf"]);
    place
}

/// The same with a kernel for PV alone.
fn packed_for_pv() -> Place {
    let place = Place::new();
    let version = (note::XEN_VERSION, b"xen-3.0\0".to_vec());
    let guest_os = (note::GUEST_OS, b"linux\0".to_vec());
    let entry = (note::ENTRY, Kernel::BASE.to_le_bytes().to_vec());
    place.file("kernel", &Kernel { notes: vec![guest_os, version, entry], ..Kernel::pvh() }.elf());
    place.succeeds(&PACK);
    place.succeeds(&["stage0", "-o", "stage0.elf"]);
    place
}

#[test]
fn a_pack_that_would_boot_is_said_to() {
    let place = packed();
    let text = place.succeeds(&["check", "image.pack", "--memory", "64M", "--extra", "single stage0.quiet"]);
    assert_eq!(
        text,
        "image.pack: would boot in a PVH domain of 64 MiB of Xen's\n\
         kernel     entered by PVH at physical 0x1000000\n\
         cmdline    \"console=hvc0 single\"\n\
         memory     22 MiB at least\n"
    );
    let text = place.succeeds(&["check", "image.pack", "--builder", "qemu"]);
    assert!(text.starts_with("image.pack: would boot in a PVH domain of QEMU's\n"), "{text}");
}

/// The bound is the one that `pack info` names, and that stage0 itself tells.
#[test]
fn a_domain_is_too_small_by_one_mebibyte() {
    let place = packed();
    place.succeeds(&["check", "image.pack", "--memory", "22M"]);
    assert_eq!(
        place.refuses(&["check", "image.pack", "--memory", "21M"]),
        "image.pack: not enough memory: domain, expected 22 MiB, found 21 MiB: give it more, and more still for the kernel \
         itself"
    );
}

#[test]
fn what_stage0_would_refuse_is_refused() {
    let place = packed();
    let unknown = place.refuses(&["check", "image.pack", "--extra", "stage0.fast"]);
    assert_eq!(
        unknown,
        "image.pack: unknown option: builder's command line, expected stage0.quiet, stage0.timing or stage0.require, found stage0.fast: \
         shorten or correct it"
    );
    let pv = place.refuses(&["check", "image.pack", "--type", "pv"]);
    assert!(pv.starts_with("image.pack: in a PV domain: kernel: "), "{pv}");
    let mut bytes = place.read("image.pack");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    place.file("bad.pack", &bytes);
    let damaged = place.refuses(&["check", "bad.pack"]);
    assert_eq!(
        damaged,
        "bad.pack: member \"cmdline\": its bytes are not those that the manifest names: make the pack again"
    );
}

#[test]
fn memory_is_given_in_the_units_of_xl() {
    let place = packed();
    for size in ["64", "64M", "64m", "64MiB", "1G", "1gib"] {
        place.succeeds(&["check", "image.pack", "--memory", size]);
    }
    for size in ["0", "M", "-1", "64K", "1T", "99999999999999999999", "18014398509481984G", ""] {
        assert_eq!(place.pack(&["check", "image.pack", "--memory", size]).status.code(), Some(2), "{size}");
    }
}

#[test]
fn a_file_for_xl_is_complete() {
    let place = packed();
    let text = place.succeeds(&["xl", "image.pack"]);
    let digest = pack::info::hex(pack::image::Image::parse(&place.read("image.pack")).unwrap().manifest.digest());
    let folder = place.folder().canonicalize().unwrap();
    let folder = folder.display();
    assert_eq!(
        text,
        format!(
            "# a kernel, entered by PVH; pack sha256:{digest}\n\
             name    = \"image\"\n\
             type    = \"pvh\"\n\
             kernel  = \"{folder}/stage0.elf\"\n\
             ramdisk = \"{folder}/image.pack\"\n\
             memory  = 512\n\
             vcpus   = 1\n"
        )
    );
    place.succeeds(&["xl", "image.pack", "-o", "guest.cfg"]);
    assert_eq!(place.read("guest.cfg"), text.as_bytes());
}

#[test]
fn every_setting_can_be_chosen() {
    let place = packed();
    let words = ["xl", "image.pack", "--name", "web", "--memory", "1G", "--vcpus", "4", "--type", "pvh"];
    let more = ["--extra", "-x \"a b\" it's", "--disk", "/dev/vg/web,raw,xvda", "--vif", "bridge=br0"];
    let files = ["--stage0", "/boot/stage0.elf", "--ramdisk", "/srv/web.pack"];
    let text = place.succeeds(&[&words[..], &more, &files].concat());
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let expected = [
        "name    = \"web\"",
        "type    = \"pvh\"",
        "kernel  = \"/boot/stage0.elf\"",
        "ramdisk = \"/srv/web.pack\"",
        "extra   = \"-x \\\"a b\\\" it's\"",
        "memory  = 1024",
        "vcpus   = 4",
        "disk    = [ \"/dev/vg/web,raw,xvda\" ]",
        "vif     = [ \"bridge=br0\" ]",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_kind_of_domain_follows_from_the_kernel() {
    let place = packed_for_pv();
    let text = place.succeeds(&["xl", "image.pack"]);
    assert!(text.contains("type    = \"pv\"\n"), "{text}");
    let line = place.refuses(&["xl", "image.pack", "--type", "pvh"]);
    assert_eq!(line, "image.pack: in a PVH domain: kernel: PV only: use type=pv");
}

#[test]
fn no_file_is_made_for_what_would_not_boot() {
    let place = packed();
    let small = place.refuses(&["xl", "image.pack", "--memory", "21M", "-o", "guest.cfg"]);
    assert!(small.contains("expected 22 MiB, found 21 MiB"), "{small}");
    let name = place.refuses(&["xl", "image.pack", "--name", "12"]);
    assert_eq!(name, "\"12\" is no name for a domain: take letters, digits, and . _ + -, and not digits alone");
    let relative = place.refuses(&["xl", "image.pack", "--stage0", "stage0.elf"]);
    assert_eq!(relative, "stage0.elf: expected an absolute path, for xl is run anywhere");
    let over = place.refuses(&["xl", "image.pack", "-o", "image.pack"]);
    assert!(over.starts_with("image.pack: is the same file as the input"), "{over}");
    place.file("stage0.elf", b"hello\n");
    let other = place.refuses(&["xl", "image.pack"]);
    assert!(other.ends_with("stage0.elf: is no stage0: expected an ELF file that a builder loads"), "{other}");
    fs::remove_file(place.path("stage0.elf")).unwrap();
    let missing = place.refuses(&["xl", "image.pack"]);
    assert!(missing.contains("stage0.elf: is not there: write it with `pack stage0 -o`"), "{missing}");
}

#[test]
fn a_pack_is_taken_apart_and_made_again() {
    let place = packed();
    place.file("initrd", b"an initrd");
    place.file("second", b"");
    place.succeeds(&[&PACK[..], &["--initrd", "initrd"]].concat());
    let text = place.succeeds(&["extract", "image.pack", "-o", "parts"]);
    assert_eq!(
        text,
        format!(
            "parts/kernel.elf  \"kernel\": {} bytes (5.0 MiB)\nparts/cmdline  \"cmdline\": 12 bytes\n\
             parts/module-0  \"initrd\": 9 bytes\n",
            place.read("kernel").len()
        )
    );
    assert!(place.read("parts/kernel.elf") == place.read("kernel"));
    assert_eq!(place.read("parts/cmdline"), b"console=hvc0");
    assert_eq!(place.read("parts/module-0"), b"an initrd");
    let there = place.refuses(&["extract", "image.pack", "-o", "parts"]);
    assert_eq!(there, "parts: exists: name a folder that does not");
    let nowhere = place.refuses(&["extract", "image.pack", "-o", "absent/parts"]);
    assert!(nowhere.starts_with("absent/parts: cannot be written: "), "{nowhere}");
}

#[test]
fn nothing_is_extracted_of_a_damaged_pack() {
    let place = packed();
    let mut bytes = place.read("image.pack");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.file("bad.pack", &bytes);
    let line = place.refuses(&["extract", "bad.pack", "-o", "parts"]);
    assert!(line.starts_with("bad.pack: frame ") && line.ends_with("make the pack again"), "{line}");
}

#[test]
fn the_differences_of_two_packs_are_named() {
    let place = packed();
    assert_eq!(place.succeeds(&["diff", "image.pack", "image.pack", "--exit-code"]), "");
    place.file("initrd", b"an initrd");
    let longer = Kernel { len: 6 << 20, ..Kernel::pvh() };
    place.file("kernel", &longer.elf());
    place.succeeds(&["kernel", "-o", "b.pack", "--codec", "none", "--lock-cmdline", "--initrd", "initrd"]);
    let text = place.succeeds(&["diff", "image.pack", "b.pack"]);
    let others = |line: &str| line.starts_with("PV ") || line.starts_with("direct ");
    let names: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ') && !others(line)).collect();
    let expected = [
        "digest",
        "pack",
        "command line",
        "kernel",
        "kernel's frames",
        "PVH segment 1",
        "PVH memory in a domain of Xen's",
        "PVH memory in a domain of QEMU's",
        "command line is locked",
        "module 0",
    ];
    assert_eq!(names, expected, "{text}");
    assert!(text.contains("command line\n  - \"console=hvc0\"\n"), "{text}");
    assert!(text.contains("PVH segment 1\n  - RWX 0x1000000..0x1501000, 0x500000 bytes of the file"), "{text}");
    assert!(
        text.contains("command line is locked\n  + allowing []\nmodule 0\n  + \"initrd\", 9 bytes, sha256:"),
        "{text}"
    );
    assert_eq!(place.pack(&["diff", "image.pack", "b.pack", "--exit-code"]).status.code(), Some(1));
    assert!(place.refuses(&["diff", "image.pack", "kernel"]).starts_with("kernel: not a pack"));
}
