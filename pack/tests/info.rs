//! What `pack info` draws, and what it tells programs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use common::place::Place;
use common::{Kernel, note};
use serde_json::Value;

/// A folder with a pack, `image`, of a kernel at 16 MiB that is larger than what lies between stage0 and it.
fn packed() -> Place {
    let place = Place::new();
    place.file("kernel", &Kernel { len: 17 << 20, ..Kernel::pvh() }.elf());
    place.succeeds(&["kernel", "-o", "image", "--codec", "none"]);
    place
}

#[test]
fn memory_is_drawn_before_and_after() {
    let text = packed().succeeds(&["info", "image", "--memory", "128M"]);
    let drawn: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("map ")).collect();
    assert_eq!(
        drawn[..3],
        [
            "map        PVH in 128 MiB of Xen's; a character is 2 MiB, `.` is free",
            "before     [SPPPPPPPPP......................................................]",
            "after      [S.......KKKKKKKKI......................................DPPPPPPPP]",
        ]
    );
    let list = drawn[3..].join("\n");
    assert!(list.contains("before     S 0x00100000..0x"), "{list}");
    assert!(list.contains("           K 0x01000000..0x02101000   17.0 MiB  kernel, segment 1 RWX\n"), "{list}");
    assert!(list.contains("\nmoved      P from 0x"), "{list}");
    assert!(list.contains("\nvirtual    before 0xffffffff80100000..0x"), "{list}");
    assert!(list.ends_with("\n           after  paging is off"), "{list}");
}

#[test]
fn the_builder_decides_where_the_pack_is_at_first() {
    let text = packed().succeeds(&["info", "image", "--memory", "128M", "--builder", "qemu"]);
    assert!(text.contains("\nmap        PVH in 128 MiB of QEMU's"), "{text}");
    assert!(text.contains("\nbefore     [S......................................................PPPPPPPPP]"), "{text}");
    assert!(!text.contains("\nmoved "), "{text}");
}

#[test]
fn a_conflict_is_seen() {
    let text = packed().succeeds(&["info", "image", "--memory", "24M"]);
    let drawn: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("wanted ")).collect();
    // RAM ends at 24 MiB, the kernel 9 MiB further up.
    let marks = drawn[1].trim().trim_matches(['[', ']']);
    let first = marks.find('^').unwrap();
    assert!(marks[first..].chars().all(|c| c == '^') && (44..48).contains(&first), "{text}");
    let line = "conflict   memory is not RAM: the kernel at 0x1000000..0x2101000, expected RAM, found a hole or a reserved range";
    assert_eq!(drawn[2], line);
}

/// `script`, which runs a program in a terminal, is of bsdutils, which every Debian and Ubuntu has.
#[test]
fn colours_are_for_terminals() {
    let place = packed();
    let plain = place.succeeds(&["info", "image"]);
    assert!(!plain.contains('\x1b'));
    let in_terminal = |no_color: bool| {
        let mut script = Command::new("script");
        script.args(["-qec", "\"$PACK\" info image", "/dev/null"]).env("PACK", env!("CARGO_BIN_EXE_pack"));
        script.current_dir(place.folder()).env("TERM", "xterm").stdin(Stdio::null());
        script.env_remove("NO_COLOR").env_remove("CLICOLOR").env_remove("CLICOLOR_FORCE");
        if no_color {
            script.env("NO_COLOR", "1");
        }
        let output = script.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
    };
    let coloured = in_terminal(false);
    assert!(coloured.contains("\x1b[1m\x1b[33mKKKK"), "{coloured}");
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    assert_eq!(in_terminal(true), plain);
}

#[test]
fn a_drawing_is_written_for_documents() {
    let place = packed();
    let shown = place.succeeds(&["info", "image", "--svg", "map.svg"]);
    assert_eq!(shown, place.succeeds(&["info", "image"]));
    let svg = String::from_utf8(place.read("map.svg")).unwrap();
    assert!(
        svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"") && svg.ends_with("</svg>\n"),
        "{svg}"
    );
    assert!(svg.contains("kernel, segment 1 RWX</text>") && svg.contains("fill=\"#f9a825\""), "{svg}");
    place.file("text", b"hello\n");
    place.refuses(&["info", "text", "--svg", "other.svg"]);
    let over = place.refuses(&["info", "image", "--svg", "image"]);
    assert!(over.starts_with("image: is the same file as the input"), "{over}");
}

/// The paths of all that is in `value`: `a.b`, and `a[].b` in lists.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => {
            let is_range = items.iter().any(|item| item.get("holder").is_some() && item.get("label").is_some());
            let path = if is_range { "range".to_owned() } else { format!("{path}[]") };
            items.iter().for_each(|item| paths(item, &path, found));
        }
        _ => {}
    }
}

/// The names in the first column of the tables of docs/info-json.md.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../docs/info-json.md");
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// What programs rely on: neither is there a field that the page does not have, nor the reverse.
#[test]
fn every_field_of_the_json_is_documented() {
    let place = packed();
    place.file("initrd", b"an initrd");
    let mut found = BTreeSet::new();
    let mut collect = |words: &[&str]| {
        let json = place.succeeds(&[&["info", "image", "--json"], words].concat());
        paths(&serde_json::from_str(&json).unwrap(), "", &mut found);
    };
    collect(&[]);
    collect(&["--memory", "24M"]);
    let reloc = (note::PHYS32_RELOC, [0x20_0000_u32, 0, u32::MAX].iter().flat_map(|word| word.to_le_bytes()).collect());
    let mut kernel = Kernel::pvh();
    kernel.notes.push(reloc);
    place.file("kernel", &kernel.elf());
    place.succeeds(&["key", "new", "key"]);
    place.succeeds(&["kernel", "-o", "image", "--codec", "none", "--initrd", "initrd", "--sign", "key"]);
    collect(&[]);
    let documented = documented();
    let undocumented: Vec<&String> = found.difference(&documented).collect();
    let invented: Vec<&String> = documented.difference(&found).collect();
    assert!(
        undocumented.is_empty() && invented.is_empty(),
        "not documented: {undocumented:?}; not there: {invented:?}"
    );
}

#[test]
fn every_kind_of_member_is_documented() {
    let place = packed();
    place.file("initrd", b"an initrd");
    place.succeeds(&["kernel", "-o", "image", "--codec", "none", "--initrd", "initrd", "--cmdline", "a", "--measure"]);
    let info: Value = serde_json::from_str(&place.succeeds(&["info", "image", "--json"])).unwrap();
    let page = include_str!("../../docs/info-json.md");
    let line = page.lines().find(|line| line.starts_with("| `members[].kind`")).unwrap();
    let kinds: Vec<&str> =
        info["members"].as_array().unwrap().iter().filter_map(|member| member["kind"].as_str()).collect();
    assert_eq!(kinds.len(), 4);
    assert!(kinds.iter().all(|kind| line.contains(&format!("\"{kind}\""))), "{kinds:?}: {line}");
}
