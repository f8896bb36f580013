//! Tests of the command line's words.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::format::{Codec, EncodedFrame, EncodedKernel, PackContent};
use crate::kernel::Decisions;

#[test]
fn words_are_split_as_linux_splits_them() {
    let found: Vec<_> = words("  a=1\tb=\"x y\" c ").collect();
    assert_eq!(found, ["a=1", "b=\"x y\"", "c"]);
    assert_eq!(words("\"open quote").count(), 1);
}

#[test]
fn stars_match_any_run() {
    assert!(matches("root=*", "root=/dev/xvda1"));
    assert!(matches("*", ""));
    assert!(matches("a*b*c", "aXbYbZc"));
    assert!(!matches("a*b*c", "aXbY"));
    assert!(!matches("root=", "root=/dev"));
    assert!(!matches("", "x"));
}

#[test]
fn builders_words_follow_the_packs_own() {
    let none = core::iter::empty();
    assert_eq!(merge("quiet", "single stage0.quiet x", false, none.clone(), 100).unwrap(), "quiet single x");
    assert_eq!(merge("", "a", false, none.clone(), 100).unwrap(), "a");
    assert_eq!(merge("a  b", "", false, none, 100).unwrap(), "a  b");
}

#[test]
fn a_locked_pack_passes_on_only_what_it_allows() {
    let allowed = ["ip=*"].into_iter();
    assert_eq!(merge("ro", "init=/bin/sh ip=dhcp", true, allowed, 100).unwrap(), "ro ip=dhcp");
}

/// Linux separates words at 0x0b and 0xa0 too (lib/ctype.c), which is half of many a letter in UTF-8, and its first
/// code (arch/x86/lib/cmdline.c) at anything up to a space, in quotes or not.
#[test]
fn a_star_covers_nothing_at_which_a_kernel_may_split() {
    for smuggled in ["ip=x\u{b}init=/bin/sh", "ip=\u{e0}init=/bin/sh", "ip=\"x init=/bin/sh \"", "ip=x\u{1}init=a"] {
        assert_eq!(merge("ro", smuggled, true, ["ip=*"].into_iter(), 100).unwrap(), "ro", "{smuggled:?}");
    }
    let written_out = ["dyndbg=\"file * +p\""].into_iter();
    let builder = "dyndbg=\"file x.c +p\"";
    assert_eq!(merge("", builder, true, written_out, 100).unwrap(), builder);
}

#[test]
fn a_requirement_is_read_whole_or_refused() {
    let digits = "0123456789abcdef".repeat(4);
    let word = std::format!("stage0.require=sha256:{digits}");
    let required = options(&std::format!("a {word} stage0.quiet {word}")).unwrap().require.unwrap();
    assert_eq!(required[..9], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01]);
    assert_eq!(options("a b").unwrap().require, None);
    for wrong in [
        "stage0.require=".into(),
        "stage0.require=sha256:".into(),
        std::format!("stage0.require={digits}"),
        std::format!("stage0.require=sha512:{digits}"),
        std::format!("{word}0"),
        word[..word.len() - 1].into(),
        word.replace('f', "g"),
        word.replace("ab", "\u{e9}"),
        // Two that differ.
        std::format!("{word} {}", word.replace("cdef", "cdee")),
    ] {
        assert!(matches!(options(&wrong), Err(CmdlineError::Requirement { .. })), "{wrong}");
    }
    assert!(matches!(options("stage0.require"), Err(CmdlineError::UnknownOption { .. })));
}

/// Not by a quote that whoever wrote the words before has left open, nor by what only Linux takes for a space.
#[test]
fn no_requirement_is_lost_in_another_word() {
    let word = std::format!("stage0.require=sha256:{}", "0123456789abcdef".repeat(4));
    for before in ["a=\"b ", "\"", "a=\"b\u{b}", "x\u{b}", "x\u{e0}", "\u{1}"] {
        let text = std::format!("{before}{word}");
        assert!(
            matches!(options(&text), Err(CmdlineError::UnknownOption { word }) if word.contains(PREFIX)),
            "{text:?}"
        );
        assert!(matches!(check_pack(&text), Err(CmdlineError::OptionInPack { .. })), "{text:?}");
    }
    for text in ["root=/dev/stage0.root", "xstage0.quiet", "a=\"b stage1.x\" c"] {
        assert_eq!(options(text), Ok(Options::default()));
        assert_eq!(check_pack(text), Ok(()));
    }
}

/// What a person may have written before the word, or around it, or a program that copied it from a page.
#[test]
fn a_mistyped_requirement_is_an_error() {
    let word = std::format!("stage0.require=sha256:{}", "0123456789abcdef".repeat(4));
    let mut mistyped: Vec<String> = [
        "'", "\"", "`", ",", ":", ";", "\\", "|", "&", "(", "[", "{", "<", "+", "*", "?", "!", "@", "#", "$", "%", "^",
        "~", "a,", "a:", "x=1,", "extra='", "--,", "\u{a0}", "\u{feff}", "\u{200b}", "\u{201c}", "\u{2018}",
        "\u{2026}", "\u{2215}", "\u{ff0f}", "\u{ff0e}", "\u{2010}", "\u{e9}", "a\u{430}", "\u{ff53}", "\u{1}",
        "\u{7f}", "\u{85}",
    ]
    .map(|before| std::format!("{before}{word}"))
    .into();
    mistyped.extend([word.to_uppercase(), word.replacen('s', "S", 1), word.replacen("stage", "sTaGe", 1)]);
    mistyped.extend([std::format!("'{word}'"), std::format!("BOOT_IMAGE=/boot/stage0.elf,{word}")]);
    for text in mistyped {
        assert!(matches!(options(&text), Err(CmdlineError::UnknownOption { .. })), "{text:?}");
        assert!(matches!(check_pack(&text), Err(CmdlineError::OptionInPack { .. })), "{text:?}");
        let kernel = merge("", &text, false, core::iter::empty(), MAX_LEN);
        assert!(matches!(kernel, Err(CmdlineError::UnknownOption { .. })), "{text:?}");
    }
    for text in
        ["BOOT_IMAGE=/boot/stage0.elf", "a=stage0.b", "x.stage0.y", "_stage0.a", "-stage0.a", "0STAGE0.a", "stage0"]
    {
        assert_eq!((options(text), check_pack(text)), (Ok(Options::default()), Ok(())), "{text}");
        assert_eq!(merge("", text, false, core::iter::empty(), MAX_LEN).unwrap(), text);
    }
}

#[test]
fn a_message_shows_what_stands_before_the_word() {
    for (text, shown) in [
        ("a 'stage0.quiet'", "found 'stage0.quiet'"),
        ("a=\\stage0.x", "found \\stage0.x"),
        ("\u{e9}stage0.x", "found \\u{e9}stage0.x"),
        ("Stage0.x", "found Stage0.x"),
    ] {
        let Err(error) = options(text) else { panic!("no error: {text}") };
        assert!(std::format!("{error}").ends_with(shown), "{error}");
    }
}

/// The rule once more, over characters: the places at which the option may begin, and whether one does.
fn is_meant_for_stage0(word: &str) -> bool {
    let chars: Vec<char> = word.chars().collect();
    let free = |at: usize| at == 0 || !(chars[at - 1].is_ascii_alphanumeric() || "/._-=".contains(chars[at - 1]));
    let lower = |at: usize| chars[at..].iter().take(7).map(char::to_ascii_lowercase).collect::<String>();
    (0..chars.len()).any(|at| free(at) && lower(at) == PREFIX)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_word_is_the_kernels_or_stage0s_or_an_error(
        before in "[a-zA-Z0-9/._=,:;'\"\\\\\u{1}-\u{8}\u{7f}-\u{a0}\u{e9}\u{430}\u{200b}\u{ff0f}-]{0,3}",
        prefix in "[sS][tT][aA][gG][eE]0\\.|stage0\\.|stage0|stage\\.|\u{455}tage0\\.|\u{17f}tage0\\.",
        after in "|quiet|timing|require|require=sha256:0|QUIET|elf|,stage0\\.quiet|'|=stage0\\.elf",
    ) {
        let word = std::format!("{before}{prefix}{after}");
        let own = ["stage0.quiet", "stage0.timing"].contains(&word.as_str());
        let wrong = is_meant_for_stage0(&word) && !own;
        prop_assert_eq!(options(&word).is_err(), wrong, "{:?}", word);
        prop_assert_eq!(check_pack(&word).is_err(), wrong || own);
        let text = std::format!("ro {word} single");
        let kernel = merge("", &text, false, core::iter::empty(), MAX_LEN).ok();
        let expected = if own { "ro single" } else { &text };
        prop_assert_eq!(kernel.as_deref(), (!wrong).then_some(expected));
    }
}

#[test]
fn what_a_message_repeats_is_visible() {
    let Err(error) = options("stage0.\u{1b}]0;x\u{7}\u{202e}\u{9b}é") else { panic!("no error") };
    assert!(std::format!("{error}").ends_with("found stage0.\\u{1b}]0;x\\u{7}\\u{202e}\\u{9b}\\u{e9}"), "{error}");
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let none = core::iter::empty();
    assert!(matches!(merge("", "stage0.typo", true, none.clone(), 100), Err(CmdlineError::UnknownOption { .. })));
    assert!(matches!(merge("stage0.quiet", "", false, none.clone(), 9), Err(CmdlineError::OptionInPack { .. })));
    assert_eq!(merge("12345", "6789", false, none, 9), Err(CmdlineError::TooLong { limit: 9, found: 10 }));
}

/// A locked pack that allows these patterns.
fn locked(locked: bool, allowed: &[&str]) -> Vec<u8> {
    let frames = vec![EncodedFrame { content_len: 4, codec: Codec::None, stored: vec![1, 2, 3, 4] }];
    let content = PackContent {
        kernel: EncodedKernel { name: "kernel".into(), sha256: [0; 32], frames },
        cmdline: None,
        modules: Vec::new(),
        measured: false,
        decisions: Decisions::default(),
        locked,
        allowed: allowed.iter().map(|pattern| (*pattern).into()).collect(),
    };
    content.encode().unwrap()
}

/// What is said of the words that a pack keeps from its kernel.
fn said(pack: &[u8], builder: &str) -> Option<String> {
    let manifest = Manifest::parse(pack, pack.len() as u64).unwrap();
    Dropped::of(&manifest, builder).map(|dropped| dropped.to_string())
}

#[test]
fn the_words_that_a_lock_drops_are_named() {
    let (open, pack) = (locked(false, &[]), locked(true, &["ip=*", "ro"]));
    assert_eq!(said(&open, "init=/bin/sh"), None);
    for none in ["", " ", "ro ip=dhcp", "stage0.quiet ro stage0.timing"] {
        assert_eq!(said(&pack, none), None, "{none}");
    }
    for (builder, line) in [
        ("init=/bin/sh ip=dhcp stage0.quiet", "1 of the builder's words dropped: init=/bin/sh"),
        ("ro a \"b c\" d", "3 of the builder's words dropped: a \"b c\" d"),
        ("1 2 3 4 5 6 7 8", "8 of the builder's words dropped: 1 2 3 4 5 6 7 8"),
        ("1 2 3 4 5 6 7 8 9 ro", "9 of the builder's words dropped: 1 2 3 4 5 6 7 8 ..."),
        (
            "\u{1b}[2J \"\nstage1: x\" \u{e9}",
            "3 of the builder's words dropped: \\u{1b}[2J \"\\u{a}stage1: x\" \\u{e9}",
        ),
    ] {
        assert_eq!(said(&pack, builder).as_deref(), Some(line));
    }
}

proptest! {
    /// Every word is passed on, or named, or for stage0; and whatever the words are, the line is one, and bounded.
    #[test]
    fn no_word_is_dropped_without_a_word(text in "([a-c]{1,3}|ip=[a-z\u{1}-\u{1f}\"é]{0,90}|\u{1}{60}|stage0\\.quiet| |\n){0,60}") {
        let pack = locked(true, &["a*", "ip=*"]);
        let manifest = Manifest::parse(&pack, pack.len() as u64).unwrap();
        let Ok(kernel) = merge("", &text, true, manifest.allowed(), MAX_LEN) else { return Ok(()) };
        let dropped: Vec<&str> = Dropped::of(&manifest, &text).iter().flat_map(Dropped::words).collect();
        let passed: Vec<&str> = words(&text).filter(|word| !dropped.contains(word) && !word.starts_with(PREFIX)).collect();
        prop_assert_eq!(passed.join(" "), kernel.as_str());
        prop_assert!(dropped.iter().all(|word| !is_allowed(word, manifest.allowed())));
        let line = said(&pack, &text).unwrap_or_default();
        prop_assert_eq!(line.is_empty(), dropped.is_empty());
        prop_assert!(line.len() < 4096 && line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{:?}", line);
    }
}
