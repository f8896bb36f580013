//! Names that could steer a terminal or forge a line: of files, of folders, and of members in a pack.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::fs;

use common::place::Place;
use common::seal;
use pack::visible::visible;

/// What a forged line would begin with.
const FORGED: &str = "stage0: measured: forged";

/// Names with each of what does not show, and a line to be forged behind it.
fn names() -> Vec<String> {
    let hidden = [
        "\n",
        "\r\n",
        "\r",
        "\u{b}",
        "\u{c}",
        "\u{1b}[2J\n",
        "\u{1b}]0;",
        "\u{7}",
        "\u{7f}",
        "\u{85}",
        "\u{9b}2J",
        "\u{9d}0;",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{ad}",
        "\u{8}\u{8}\u{8}",
    ];
    hidden.iter().map(|hidden| format!("ü{hidden}{FORGED}")).collect()
}

/// What the program says on both streams: each character shows, and no line begins as the forged one.
fn says(place: &Place, words: &[&str]) -> String {
    let output = place.pack(words);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for line in said.lines() {
        assert!(!line.starts_with(FORGED) && visible(line) == line, "{words:?}: {said:?}");
    }
    said
}

#[test]
fn no_name_of_a_file_forges_a_line() {
    for name in names() {
        let place = Place::new();
        let (copy, key, folder) = (format!("2{name}"), format!("3{name}"), format!("4{name}"));
        fs::rename(place.path("kernel"), place.path(&name)).unwrap();
        place.file("initrd", b"an initrd");
        place.succeeds(&["key", "new", "key"]);
        let shown = visible(&name);
        let told = says(&place, &[&name, "-o", &copy, "--codec", "none", "--initrd", &name, "--sign", "key"]);
        assert!(
            told.contains(&format!("kernel     {shown}\n")) && told.contains(&format!("pack       2{shown}: ")),
            "{told}"
        );
        for words in [
            &["info", &copy][..],
            &["info", &copy, "--memory", "256M"],
            &["info", &copy, "--json"],
            &["check", &copy],
            &["extract", &copy, "-o", &folder],
            &["diff", &copy, &copy],
            &["sign", &copy, "--key", "key"],
            &["key", "new", &key],
            &["stage0", "-o", &key],
            &["xl", &copy],
            &["xl", &copy, "--stage0", "/stage0.elf"],
            &["xl", &copy, "--stage0", "/stage0.elf", "--ramdisk", "/image.pack"],
            &["share", &folder],
            // Refused: of another kind, not there, in its own way, too many, no value.
            &["info", &name],
            &["check", &key],
            &["sign", &copy, "--key", &name],
            &["check", &copy, "--trust", &name],
            &["initrd", "-o", &name],
            &[&format!("5{name}"), "-o", "image"],
            &[&name, "-o", &name],
            &[&name, "-o", "image", "--initrd", &folder],
            &["extract", &copy, "-o", &folder],
            &["info", &copy, &name],
            &["check", &copy, "--memory", &name],
            &["check", &copy, &format!("--{name}")],
            &["run", &copy, "--tier", &name],
        ] {
            assert!(!says(&place, words).is_empty() || words[0] == "diff", "{words:?}");
        }
        let bytes = place.read(&copy);
        let manifest = pack::image::Image::parse(&bytes).unwrap().manifest;
        assert!(manifest.members().all(|member| !member.name.contains(char::is_control)));
    }
}

/// By whoever made the pack, not by `pack`.
#[test]
fn a_members_name_with_a_control_character_is_refused() {
    let place = Place::new();
    for name in names() {
        let plain: String = "k".repeat(name.len());
        fs::copy(place.path("kernel"), place.path(&plain)).unwrap();
        place.succeeds(&[&plain, "-o", "image", "--codec", "none"]);
        place.file("bad", &seal::with_name(&place.read("image"), &plain, &name));
        let all = [&["info", "bad"][..], &["check", "bad"], &["extract", "bad", "-o", "folder"], &["digest", "bad"]];
        if name.contains(char::is_control) {
            for words in all.into_iter().chain([&["xl", "bad"][..], &["diff", "bad", "image"], &["run", "bad"]]) {
                let line = place.refuses(words);
                assert_eq!(line, "bad: name does not show: member 0, expected no control character, found one");
            }
        } else {
            for words in all {
                let said = says(&place, words);
                assert!(!said.is_empty() && !said.contains("error"), "{said}");
            }
            fs::remove_dir_all(place.path("folder")).unwrap();
        }
    }
}
