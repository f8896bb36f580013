//! The program as a person runs it: what it says, how it ends, and what it leaves behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[path = "common/bzimage.rs"]
mod bzimage;
#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use bzimage::bzimage;
use common::place::Place;
use common::{Kernel, note, seal};
use object::elf::EM_AARCH64;
use pack::image::Image;

/// The line that a kernel is refused with, without the kernel's name.
fn refuses_kernel(place: &Place, content: &[u8]) -> String {
    place.file("bad", content);
    let line = place.refuses(&["bad", "-o", "image"]);
    line.strip_prefix("bad: ").unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn a_packed_kernel_comes_back_byte_for_byte() {
    let place = Place::new();
    place.file("initrd", b"an initrd");
    for codec in ["zstd", "lz4", "none"] {
        let words = ["kernel", "-o", "image", "--codec", codec, "--initrd", "initrd", "--cmdline", "root=/dev/xvda1"];
        place.succeeds(&words);
        let bytes = place.read("image");
        let image = Image::parse(&bytes).unwrap();
        assert!(image.kernel().unwrap() == place.read("kernel"), "{codec}");
        let contents: Vec<&[u8]> =
            image.manifest.members().skip(1).map(|member| image.content(&member).unwrap()).collect();
        assert_eq!(contents, [&b"root=/dev/xvda1"[..], b"an initrd"]);
        assert_eq!(bytes.len() as u64, image.manifest.pack_len());
    }
}

#[test]
fn a_frame_begins_and_ends_with_what_a_loader_reads_first() {
    let place = Place::new();
    place.succeeds(&["kernel", "-o", "image"]);
    let bytes = place.read("image");
    let image = Image::parse(&bytes).unwrap();
    let ends: Vec<u64> = image.manifest.frames().map(|frame| frame.content.end()).collect();
    // ELF header, two program headers, one note of 20 bytes, then the segment from the next page on, in pieces of 2 MiB.
    assert_eq!(ends[..3], [64, 64 + 2 * 56, 64 + 2 * 56 + 20]);
    assert_eq!(ends[3..6], [4096, 4096 + (2 << 20), 4096 + (4 << 20)]);
}

#[test]
fn the_same_request_gives_the_same_pack_on_any_number_of_cores() {
    let place = Place::new();
    place.succeeds(&["kernel", "-o", "a", "--level", "3"]);
    place.succeeds(&["kernel", "-o", "b", "--level", "3"]);
    assert!(place.read("a") == place.read("b"));
    // The program sees the cores that it may run on. taskset is of util-linux, which every Debian and Ubuntu has.
    let output = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_pack"), "kernel", "-o", "c", "--level", "3"])
        .current_dir(place.folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(place.read("a") == place.read("c"));
}

#[test]
fn the_last_lines_say_what_came_of_it() {
    let place = Place::new();
    let text = place.succeeds(&["kernel", "-o", "image", "--codec", "none"]);
    let lines: Vec<&str> = text.lines().collect();
    let kernel_len = place.read("kernel").len();
    assert_eq!(lines[0], "kernel     kernel");
    assert!(lines[1].starts_with(&format!("in         {kernel_len} bytes")), "{text}");
    assert!(lines[2].starts_with(&format!("out        {kernel_len} bytes")), "{text}");
    assert!(text.contains(&format!("pack       image: {} bytes", place.read("image").len())), "{text}");
    assert!(text.contains("entry      PVH, at physical 0x1000000\n"), "{text}");
    assert!(text.contains("memory     PVH: 22 MiB in a domain of Xen's\n"), "{text}");
    let info = place.succeeds(&["info", "image"]);
    let digest = lines.iter().find(|line| line.starts_with("digest     sha256:")).unwrap();
    assert!(info.contains(digest), "{info}");
    assert!(info.contains("entered at 0x1000000, physical: note PHYS32_ENTRY\n"), "{info}");
    assert!(info.contains("warning: segment 1 is writable and executable\n"), "{info}");
}

#[test]
fn info_is_for_programs_too() {
    let place = Place::new();
    let words = ["kernel", "-o", "image", "--lock-cmdline", "--allow-arg", "quiet", "--allow-arg", "console=*"];
    place.succeeds(&words);
    let info: serde_json::Value = serde_json::from_str(&place.succeeds(&["info", "image", "--json"])).unwrap();
    let bytes = place.read("image");
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(info["version"], 1);
    assert_eq!(info["pack_len"], bytes.len());
    assert_eq!(info["cmdline"]["locked"], true);
    assert_eq!(info["cmdline"]["allowed"], serde_json::json!(["quiet", "console=*"]));
    assert_eq!(info["members"][0]["kind"], "kernel");
    assert_eq!(info["members"][0]["name"], "kernel");
    assert_eq!(info["frames"].as_array().unwrap().len(), image.manifest.frames().len());
    assert_eq!(info["frames"][1]["content_offset"], 64);
    assert_eq!(info["kernel"]["notes"]["values"][0]["name"], "PHYS32_ENTRY");
    let pvh = &info["kernel"]["protocols"][0];
    assert_eq!((&pvh["protocol"], &pvh["plan"]["entry"]), (&"PVH".into(), &Kernel::BASE.into()));
    assert_eq!(pvh["plan"]["segments"][0]["memory"]["start"], Kernel::BASE);
    assert_eq!(pvh["plan"]["warnings"][0], "segment 1 is writable and executable");
    assert_eq!(pvh["memory"][0]["need"], 22 << 20);
}

#[test]
fn no_name_in_a_pack_steers_the_terminal() {
    let place = Place::new();
    let name = "ü\u{1b}[1m\u{7f}\u{9b}1m\u{202e}\u{2066}\u{feff}\u{e0041}\u{1f427}";
    fs::rename(place.path("kernel"), place.path(name)).unwrap();
    place.succeeds(&[name, "-o", "image", "--codec", "none"]);
    let (text, json) = (place.succeeds(&["info", "image"]), place.succeeds(&["info", "image", "--json"]));
    for c in name.chars().filter(|c| !"ü[1m\u{1f427}".contains(*c)) {
        assert!(!text.contains(c) && !json.contains(c), "{c:?}");
    }
    assert!(json.contains("ü?[1m??1m\\u202e\\u2066\\ufeff\\udb40\\udc41\u{1f427}"), "{json:?}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    // A member's name has no control character.
    assert_eq!(json["members"][0]["name"], name.replace(char::is_control, "?"));
}

#[test]
fn what_is_no_kernel_is_refused_in_one_line() {
    let place = Place::new();
    assert_eq!(place.refuses(&[".", "-o", "image"]), ".: is a directory: name a file in it");
    assert_eq!(
        place.refuses(&["absent", "-o", "image"]),
        "absent: cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(refuses_kernel(&place, b""), "is empty: name a file that is not");
    assert_eq!(
        refuses_kernel(&place, b"hello\n"),
        "is text (begins with \"hello\"): expected an ELF file, a bzImage, or one of them compressed"
    );
    let arm = Kernel { machine: EM_AARCH64, ..Kernel::pvh() };
    assert_eq!(
        refuses_kernel(&place, &arm.elf()),
        "is an ELF file for AArch64 (little endian): expected one for x86 (x86-64 or i386)"
    );
    let mut cut = place.read("kernel");
    cut.truncate(cut.len() / 2);
    assert!(refuses_kernel(&place, &cut).starts_with("kernel: segment 1: "));
    // Linux' setup header: one sector of setup, boot protocol 2.15, a payload of 511 bytes, none of which is there.
    let mut image = [0; 1024];
    let header: [(usize, &[u8]); 5] =
        [(0x1f1, &[1]), (0x1fe, &[0x55, 0xaa]), (0x202, b"HdrS"), (0x206, &[15, 2]), (0x24c, &[0xff, 1])];
    header.iter().for_each(|(at, field)| image[*at..][..field.len()].copy_from_slice(field));
    assert_eq!(
        refuses_kernel(&place, &image),
        "is a truncated bzImage: its payload ends at byte 1535, the file has 1024: get the whole file"
    );
}

#[test]
fn a_kernel_that_stage0_cannot_enter_is_refused_in_its_words() {
    let place = Place::new();
    let guest_os = || (note::GUEST_OS, b"linux\0".to_vec());
    let linux = Kernel { notes: vec![guest_os()], ..Kernel::pvh() };
    assert_eq!(
        refuses_kernel(&place, &linux.elf()),
        "kernel: Linux without CONFIG_PVH: no note PHYS32_ENTRY, and no PV entry either: this is a Linux without Xen support: \
         take one that is built with CONFIG_PVH, as distributions' kernels are"
    );
    let unannounced = Kernel { section: Some("__ksymtab"), ..Kernel::without_notes() };
    assert_eq!(
        refuses_kernel(&place, &unannounced.elf()),
        "kernel: Linux without CONFIG_PVH: no note PHYS32_ENTRY, and no PV entry either: this is a Linux without Xen support: \
         take one that is built with CONFIG_PVH, as distributions' kernels are"
    );
    place.file("kernel", &Kernel::pvh().elf());
    for option in [["--virt-base", "0x1000"], ["--map", "segments"]] {
        let words = if option[0] == "--map" { "--map segments" } else { option[0] };
        assert_eq!(
            place.refuses(&[&["kernel", "-o", "image"][..], &option].concat()),
            format!("kernel: kernel: {words} has no meaning for PVH: pack it without")
        );
    }
}

#[test]
fn a_kernel_that_says_nothing_to_xen_is_packed_for_the_direct_protocol() {
    let place = Place::new();
    place.file("kernel", &Kernel::without_notes().elf());
    let said = "protocol   direct, as the kernel says nothing to Xen: for PVH domains\n";
    let entry = "entry      direct, at virtual 0x1000000\n";
    let text = place.succeeds(&["kernel", "-o", "image"]);
    assert!(text.contains(said) && text.contains(entry), "{text}");
    let text = place.succeeds(&["info", "image", "--json"]);
    assert!(text.contains("\"protocol\": \"direct\""), "{text}");
    let text = place.succeeds(&["check", "image", "--type", "pvh"]);
    assert!(text.contains("entered by direct at virtual 0x1000000"), "{text}");
    assert_eq!(
        place.refuses(&["check", "image", "--type", "pv"]),
        "image: in a PV domain: kernel: packed for direct, in a PV domain: use type=pvh"
    );
    // Who asks for it need not be told.
    let text = place.succeeds(&["kernel", "-o", "image", "--protocol", "direct"]);
    assert!(!text.contains(said) && text.contains(entry), "{text}");
    assert_eq!(
        place.refuses(&["kernel", "-o", "image", "--protocol", "pvh"]),
        "kernel: kernel: no Xen note and no section __xen_guest: pack it with --protocol direct, or build it with a note \
         PHYS32_ENTRY (Xen's public/elfnote.h)"
    );
    place.file("kernel", &Kernel::pvh().elf());
    let text = place.succeeds(&["kernel", "-o", "image"]);
    assert!(text.contains("direct: possible, but only with --protocol direct"), "{text}");
    let text = place.succeeds(&["kernel", "-o", "image", "--protocol", "direct"]);
    assert!(text.contains(entry) && !text.contains("entry      PVH"), "{text}");
}

#[test]
fn an_output_that_cannot_be_written_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).unwrap();
    let unwritable = place.refuses(&["kernel", "-o", "absent/image"]);
    assert_eq!(unwritable, "absent/image: cannot be written: No such file or directory (os error 2)");
    assert_eq!(place.refuses(&["kernel", "-o", "folder"]), "folder: is a directory: name a file in it");
    let device = place.refuses(&["kernel", "-o", "/dev/null"]);
    assert!(device.starts_with("/dev/null: is not a regular file"), "{device}");
    place.file("protected", b"kept");
    fs::set_permissions(place.path("protected"), fs::Permissions::from_mode(0o444)).unwrap();
    let protected = place.refuses(&["kernel", "-o", "protected"]);
    assert_eq!(protected, "protected: is write-protected: remove it or name another file");
    assert_eq!(place.read("protected"), b"kept");
}

#[test]
fn an_input_is_never_overwritten() {
    let place = Place::new();
    place.file("initrd", b"an initrd");
    fs::hard_link(place.path("kernel"), place.path("hard")).unwrap();
    symlink("kernel", place.path("soft")).unwrap();
    let before = place.read("kernel");
    for output in ["kernel", "./kernel", "hard", "soft", "initrd"] {
        let line = place.refuses(&["kernel", "--initrd", "initrd", "-o", output]);
        assert!(line.starts_with(&format!("{output}: is the same file as the input ")), "{line}");
    }
    assert!(place.read("kernel") == before);
    assert_eq!(place.read("initrd"), b"an initrd");
    let pack = ["kernel", "-o", "image", "--codec", "none"];
    place.succeeds(&pack);
    assert_eq!(place.names(), ["hard", "image", "initrd", "kernel", "soft"]);
}

#[test]
fn what_was_there_stays_if_nothing_comes_of_it() {
    let place = Place::new();
    place.file("image", b"the pack of yesterday");
    place.file("text", b"hello\n");
    place.refuses(&["text", "-o", "image"]);
    place.refuses(&["kernel", "-o", "image", "--initrd", "absent"]);
    place.refuses(&["kernel", "-o", "image", "--cmdline", "quiet stage0.timing"]);
    assert_eq!(place.read("image"), b"the pack of yesterday");
}

#[test]
fn a_command_line_is_checked() {
    let place = Place::new();
    let words = place.refuses(&["kernel", "-o", "image", "--cmdline", "quiet stage0.timing"]);
    assert!(words.contains("option for stage0 in a pack") && words.contains("stage0.timing"), "{words}");
    let long = "x".repeat(5000);
    let long = place.refuses(&["kernel", "-o", "image", "--cmdline", &long]);
    assert!(long.contains("expected at most 4095 bytes, found 5000"), "{long}");
}

#[test]
fn a_damaged_pack_is_told_from_a_whole_one() {
    let place = Place::new();
    place.file("initrd", b"an initrd");
    place.succeeds(&["kernel", "-o", "image", "--initrd", "initrd", "--level", "1"]);
    let whole = place.read("image");
    let image = Image::parse(&whole).unwrap();
    let frame = image.manifest.frames().last().unwrap();
    let module = image.manifest.modules().next().unwrap();
    let flipped = |at: u64| {
        let mut bytes = whole.clone();
        bytes[at as usize] ^= 1;
        place.file("bad", &bytes);
        place.refuses(&["info", "bad"])
    };
    assert!(flipped(100).starts_with("bad: manifest is damaged"));
    assert_eq!(
        flipped(frame.stored.offset()),
        format!("bad: frame {}: its bytes are not those that the manifest names: make the pack again", frame.index)
    );
    assert_eq!(
        flipped(module.stored.offset()),
        "bad: member \"initrd\": its bytes are not those that the manifest names: make the pack again"
    );
    assert!(place.refuses(&["info", "kernel"]).starts_with("kernel: not a pack"));
}

/// stage0 refuses such a pack as well.
#[test]
fn a_command_line_that_is_no_text_is_refused() {
    let place = Place::new();
    place.succeeds(&["kernel", "-o", "image", "--cmdline", "quiet", "--codec", "none", "--measure"]);
    let whole = place.read("image");
    place.file("image", &seal::with_cmdline(&whole, "quït".as_bytes()));
    place.succeeds(&["check", "image"]);
    for text in [b"qu\xefet", b"qui\0t"] {
        place.file("bad", &seal::with_cmdline(&whole, text));
        for words in [&["info", "bad"][..], &["check", "bad"], &["digest", "bad"], &["extract", "bad", "-o", "folder"]]
        {
            let says = "its command line is no text: expected UTF-8 without NUL, found other: make the pack again, with another";
            assert_eq!(place.refuses(words), format!("bad: {says}"), "{words:?}");
        }
    }
}

#[test]
fn usage_errors_have_a_status_of_their_own() {
    let place = Place::new();
    for words in [&[][..], &["kernel"], &["kernel", "-o", "i", "--level", "99"], &["info"]] {
        assert_eq!(place.pack(words).status.code(), Some(2), "{words:?}");
    }
    let help = place.succeeds(&["--help"]);
    assert!(help.contains("Examples:") && help.contains("ramdisk = \"/path/image.pack\""), "{help}");
}

#[test]
fn levels_are_of_the_codec_that_is_asked_for() {
    let place = Place::new();
    for (codec, levels) in [("zstd", ["1", "2", "12", "13", "22"]), ("lz4", ["1", "2", "3", "11", "12"])] {
        for level in levels {
            let said = place.succeeds(&["kernel", "-o", "image", "--codec", codec, "--level", level]);
            let frames = said.lines().find_map(|line| line.split_once("frames: "));
            assert!(frames.unwrap().1.contains(codec), "{codec} {level}: {said}");
            place.succeeds(&["check", "image"]);
        }
    }
    let refused = |codec, level| {
        let output = place.pack(&["kernel", "-o", "no", "--codec", codec, "--level", level]);
        assert_eq!(output.status.code(), Some(2), "{codec} {level}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (codec, has, levels) in [
        ("zstd", "zstd has 1 to 22", &["0", "-1", "23", "99", "2147483647"][..]),
        ("lz4", "lz4 has 1 to 12", &["0", "-12", "13", "19", "22"]),
        ("none", "none has no levels", &["0", "1", "12", "19"]),
    ] {
        for level in levels {
            let said = refused(codec, level);
            assert!(said.starts_with(&format!("error: --level {level}: {has}")), "{codec} {level}: {said}");
        }
    }
    for level in ["x", "1.5", "", "2147483648"] {
        let said = refused("lz4", level);
        assert!(said.contains("--level"), "{level}: {said}");
    }
    assert!(!place.names().contains(&"no".to_owned()));
    // What is not asked for is the default.
    for (codec, level) in [("zstd", "19"), ("lz4", "12")] {
        place.succeeds(&["kernel", "-o", "default", "--codec", codec]);
        place.succeeds(&["kernel", "-o", "asked", "--codec", codec, "--level", level]);
        assert!(place.read("default") == place.read("asked"), "{codec}");
    }
}

#[test]
fn stage0_is_carried_along() {
    let place = Place::new();
    place.succeeds(&["stage0", "-o", "stage0"]);
    assert!(place.read("stage0") == pack::stage0::EMBEDDED);
    // Another one can be named.
    let small = Kernel { len: 5000, ..Kernel::pvh() };
    place.file("other", &small.elf());
    place.succeeds(&["stage0", "-o", "copy", "--stage0", "other"]);
    assert!(place.read("copy") == small.elf());
    place.file("text", b"hello\n");
    let line = place.refuses(&["stage0", "-o", "image", "--stage0", "text"]);
    assert_eq!(line, "text: is no stage0: expected an ELF file that a builder loads");
}

#[test]
fn a_kernel_may_be_called_as_a_command() {
    let place = Place::new();
    fs::rename(place.path("kernel"), place.path("info")).unwrap();
    place.succeeds(&["./info", "-o", "image", "--codec", "none"]);
    assert_eq!(Image::parse(&place.read("image")).unwrap().manifest.kernel().name, "info");
}

/// The same with the real program and real kernels is among the workspace's tests, which fetch the program where there is none.
#[test]
fn libzstd_gives_the_elf_file_back() {
    let place = Place::new();
    // Half of it cannot be made smaller: its frames are zstd's nevertheless.
    place.succeeds(&["kernel", "-o", "image", "--level", "1"]);
    let bytes = place.read("image");
    let image = Image::parse(&bytes).unwrap();
    let stored = image.stored(image.manifest.kernel().stored);
    assert!(zstd::decode_all(stored).unwrap() == place.read("kernel"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    place.succeeds(&["kernel", "-o", "image", "--codec", "none"]);
    for words in [&["info", "image"][..], &["info", "image", "--json"], &["stage0", "-o", "stage0"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_pack"))
            .current_dir(place.folder())
            .args(words)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    }
}

/// A terminal is not what the tests run in, so nothing may be drawn.
#[test]
fn no_progress_is_shown_without_a_terminal() {
    let place = Place::new();
    let output = place.pack(&["kernel", "-o", "image", "--level", "1"]);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(Path::new(&place.path("image")).is_file());
}

#[test]
fn a_linux_without_xen_is_told_from_other_kernels() {
    let place = Place::new();
    let linux = Kernel { section: Some("__ksymtab"), ..Kernel::without_notes() };
    let payload = zstd::bulk::compress(&linux.elf(), 1).unwrap();
    let line = refuses_kernel(&place, &bzimage(&payload));
    assert!(line.contains(": this is a Linux without Xen support: take one that is built with CONFIG_PVH"), "{line}");
}

#[test]
fn an_initrd_that_is_too_large_is_refused_before_it_is_read() {
    let place = Place::new();
    // A hole: no byte of it is on the disk.
    let file = fs::File::create(place.path("initrd")).unwrap();
    file.set_len((3 << 30) + 1).unwrap();
    assert_eq!(
        place.refuses(&["kernel", "-o", "image", "--initrd", "initrd"]),
        "initrd: holds more than 3145728 KiB, which is the most that is taken: an initrd lies below 4 GiB: leave what is large \
         to a disk"
    );
}

#[test]
fn what_a_kernel_calls_itself_is_shown() {
    let place = Place::new();
    let banner = "Linux version 6.9.9-test (builder@debian.org) (gcc 12 (Debian 12.2.0-14)) #3 SMP Debian 6.9.9-1 (2026-11-16)\n";
    let id: Vec<u8> = (0..20).collect();
    let kernel = Kernel { text: banner, build_id: Some(id), ..Kernel::pvh() };
    place.file("kernel", &kernel.elf());
    let lines = "build      #3 SMP Debian 6.9.9-1 (2026-11-16)\nmade by    Debian\n\
                 build id   000102030405060708090a0b0c0d0e0f10111213\n";
    let packing = place.succeeds(&["kernel", "-o", "image", "--codec", "none"]);
    assert!(packing.starts_with("kernel     kernel, Linux 6.9.9-test\n") && packing.contains(lines), "{packing}");
    let info = place.succeeds(&["info", "image"]);
    assert!(info.contains(lines), "{info}");
    let json: serde_json::Value = serde_json::from_str(&place.succeeds(&["info", "image", "--json"])).unwrap();
    let kernel = &json["kernel"];
    assert_eq!(kernel["linux_version"], "6.9.9-test");
    assert_eq!(kernel["linux_build"], "#3 SMP Debian 6.9.9-1 (2026-11-16)");
    assert_eq!(kernel["distribution"], "Debian");
    assert_eq!(kernel["build_id"], "000102030405060708090a0b0c0d0e0f10111213");
}
