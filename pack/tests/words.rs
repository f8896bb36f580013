//! Words of the builder's: which are stage0's, which reach the kernel, and what `pack` says of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use common::place::Place;

/// Words that somebody mistyped who meant stage0: what may stand before one, and one in capitals.
fn mistyped() -> Vec<String> {
    let digest = "0123456789abcdef".repeat(4);
    let before = ["'", "\"", ",", "a,", "x=1:", "\\", ";", "(", "\u{a0}", "\u{201c}", "\u{feff}", "é"];
    let words = before.map(|before| format!("{before}stage0.require=sha256:{digest}"));
    words.into_iter().chain([format!("STAGE0.require=sha256:{digest}"), "Stage0.quiet".to_owned()]).collect()
}

#[test]
fn a_mistyped_word_for_stage0_is_refused_by_every_command() {
    let place = Place::new();
    place.succeeds(&["kernel", "-o", "image", "--codec", "none", "--measure"]);
    for word in mistyped() {
        let text = format!("ro {word}");
        for words in [
            &["check", "image", "--extra", &text][..],
            &["xl", "image", "--stage0", "/stage0.elf", "--extra", &text],
            &["digest", "image", "--cmdline", &text],
            &["run", "image", "--extra", &text],
        ] {
            let line = place.refuses(words);
            assert!(line.starts_with("image: unknown option: builder's command line, expected stage0."), "{line}");
        }
        let line = place.refuses(&["kernel", "-o", "other", "--cmdline", &text]);
        assert!(line.starts_with("kernel: option for stage0 in a pack: "), "{line}");
    }
    let extra = "BOOT_IMAGE=/boot/stage0.elf root=UUID=stage0.1";
    place.succeeds(&["kernel", "-o", "other", "--cmdline", extra]);
    let told = place.succeeds(&["check", "image", "--extra", extra]);
    assert!(told.contains(&format!("cmdline    {extra:?}\n")), "{told}");
}

#[test]
fn the_words_that_a_lock_drops_are_named_wherever_the_builders_are_given() {
    let place = Place::new();
    let lock = ["--lock-cmdline", "--allow-arg", "ip=*"];
    place.succeeds(&[&["kernel", "-o", "image", "--codec", "none"][..], &lock].concat());
    for word in ["a", "init=/bin/sh", "\"b c\"", "é", "x\u{1b}[1m", "\u{202e}y", "ro", "iip=1", "IP=1", "ip", "'ip=1'"]
    {
        let dropped = format!("1 of the builder's words dropped: {}", shared::visible::Visible(word));
        let text = format!("ip=1 {word} stage0.quiet ip=2");
        let told = place.succeeds(&["check", "image", "--extra", &text]);
        assert!(told.contains(&format!("cmdline    \"ip=1 ip=2\"\nlocked     {dropped}\n")), "{told}");
        // A file for xl has no character that does not show.
        if word == pack::visible::visible(word) {
            let output = place.pack(&["xl", "image", "--stage0", "/stage0.elf", "--extra", &text]);
            assert!(output.status.success());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(said, format!("pack: warning: the pack is locked: {dropped}\n"));
        }
    }
    let output = place.pack(&["xl", "image", "--stage0", "/stage0.elf", "--extra", "ip=1 stage0.quiet"]);
    assert!(output.status.success() && output.stderr.is_empty());
}
