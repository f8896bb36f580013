//! Keys and signatures, as a person and as openssl make them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use common::place::Place;
use pack::image::Image;
use shared::trust::TrustSlot;

/// openssl, which every Debian and Ubuntu has.
fn openssl(place: &Place, words: &[&str]) -> Output {
    Command::new("openssl").args(words).current_dir(place.folder()).stdin(Stdio::null()).output().unwrap()
}

fn openssl_succeeds(place: &Place, words: &[&str]) {
    let output = openssl(place, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A place with a key of `pack`'s, and its public half.
fn with_key() -> Place {
    let place = Place::new();
    place.succeeds(&["key", "new", "key.pem"]);
    place.succeeds(&["key", "public", "key.pem", "-o", "pub.pem"]);
    place
}

/// Adds a key of someone else's.
fn stranger(place: &Place) {
    place.succeeds(&["key", "new", "other.pem"]);
    place.succeeds(&["key", "public", "other.pem", "-o", "otherpub.pem"]);
}

/// The digest and the signature in a pack.
fn slot(place: &Place, pack: &str) -> ([u8; 32], [u8; 64]) {
    let bytes = place.read(pack);
    let manifest = Image::parse(&bytes).unwrap().manifest;
    (*manifest.digest(), manifest.signature().1.value)
}

const CHEAP: [&str; 2] = ["--codec", "none"];

#[test]
fn openssl_takes_our_keys_and_our_signatures() {
    let place = with_key();
    place.succeeds(&[&["kernel", "-o", "image", "--sign", "key.pem"][..], &CHEAP].concat());
    let (digest, signature) = slot(&place, "image");
    place.file("digest", &digest);
    place.file("signature", &signature);
    let verify = ["pkeyutl", "-verify", "-rawin", "-in", "digest", "-sigfile", "signature"];
    openssl_succeeds(&place, &[&verify[..], &["-pubin", "-inkey", "pub.pem"]].concat());
    openssl_succeeds(&place, &[&verify[..], &["-inkey", "key.pem"]].concat());
    // The same public half from the private key, byte for byte.
    openssl_succeeds(&place, &["pkey", "-in", "key.pem", "-pubout", "-out", "theirs.pem"]);
    assert_eq!(place.read("theirs.pem"), place.read("pub.pem"));
    let mut wrong = digest;
    wrong[0] ^= 1;
    place.file("digest", &wrong);
    assert!(!openssl(&place, &[&verify[..], &["-pubin", "-inkey", "pub.pem"]].concat()).status.success());
}

#[test]
fn openssls_keys_and_signatures_are_taken() {
    let place = Place::new();
    openssl_succeeds(&place, &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    openssl_succeeds(&place, &["pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem"]);
    // With openssl's own words before the key.
    openssl_succeeds(&place, &["pkey", "-in", "key.pem", "-text", "-out", "text.pem"]);
    assert_eq!(place.succeeds(&["key", "public", "key.pem"]).as_bytes(), place.read("pub.pem"));
    for key in ["key.pem", "text.pem"] {
        place.succeeds(&[&["kernel", "-o", "image", "--sign", key][..], &CHEAP].concat());
        place.succeeds(&["check", "image", "--trust", "pub.pem"]);
    }
    // A signature that openssl makes of the digest is the one that is in the pack: there is only one.
    let (digest, signature) = slot(&place, "image");
    place.file("digest", &digest);
    openssl_succeeds(
        &place,
        &["pkeyutl", "-sign", "-rawin", "-in", "digest", "-inkey", "key.pem", "-out", "signature"],
    );
    assert_eq!(place.read("signature"), signature);
}

#[test]
fn a_key_is_its_owners_alone_and_never_replaced() {
    let place = with_key();
    let mode = fs::metadata(place.path("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = place.read("key.pem");
    assert!(place.refuses(&["key", "new", "key.pem"]).starts_with("key.pem: is there already: "));
    assert_eq!(place.read("key.pem"), before);
    assert!(place.refuses(&["key", "public", "key.pem", "-o", "key.pem"]).contains("is the same file as the input"));
    assert!(place.refuses(&["kernel", "-o", "key.pem", "--sign", "key.pem"]).contains("is the same file as the input"));
    stranger(&place);
    assert_ne!(place.read("other.pem"), before);
}

#[test]
fn what_is_no_key_is_refused() {
    let place = with_key();
    openssl_succeeds(&place, &["genpkey", "-algorithm", "x25519", "-out", "x.pem"]);
    let encrypt = ["-aes-256-cbc", "-passout", "pass:secret", "-out", "encrypted.pem"];
    openssl_succeeds(&place, &[&["pkey", "-in", "key.pem"][..], &encrypt].concat());
    // The point of order 1, under which anyone signs anything.
    let weak = ["-----BEGIN PUBLIC KEY-----", "MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="];
    place.file("weak.pem", format!("{}\n{}\n-----END PUBLIC KEY-----\n", weak[0], weak[1]).as_bytes());
    place.file("text", b"no key");
    place.succeeds(&[&["kernel", "-o", "image"][..], &CHEAP].concat());
    for file in ["x.pem", "pub.pem", "text", "kernel"] {
        let line = place.refuses(&["sign", "image", "--key", file]);
        assert!(line.contains("is no Ed25519 private key") || line.contains("holds more than"), "{line}");
    }
    assert!(place.refuses(&["sign", "image", "--key", "encrypted.pem"]).contains("is encrypted: "));
    for file in ["key.pem", "text"] {
        assert!(place.refuses(&["stage0", "-o", "s", "--trust", file]).contains("is no Ed25519 public key"));
    }
    assert!(place.refuses(&["stage0", "-o", "s", "--trust", "weak.pem"]).contains("is no key that can be trusted"));
}

#[test]
fn a_signed_pack_passes_on_no_word_but_those_allowed() {
    let place = with_key();
    let words = ["kernel", "-o", "image", "--sign", "key.pem", "--cmdline", "ro", "--allow-arg", "ip=*"];
    place.succeeds(&[&words[..], &CHEAP].concat());
    let said = place.succeeds(&["check", "image", "--extra", "init=/bin/sh ip=dhcp", "--trust", "pub.pem"]);
    assert!(
        said.contains("cmdline    \"ro ip=dhcp\"\nlocked     1 of the builder's words dropped: init=/bin/sh\n"),
        "{said}"
    );
    assert!(place.succeeds(&["info", "image"]).contains("signature  Ed25519 by key "));
}

#[test]
fn a_pack_that_is_there_can_be_signed() {
    let place = with_key();
    stranger(&place);
    place.succeeds(&[&["kernel", "-o", "image", "--lock-cmdline"][..], &CHEAP].concat());
    let unsigned = place.read("image");
    place.succeeds(&["sign", "image", "--key", "other.pem", "-o", "elsewhere"]);
    assert_eq!(place.read("image"), unsigned);
    place.succeeds(&["sign", "elsewhere", "--key", "key.pem"]);
    place.succeeds(&["check", "elsewhere", "--trust", "pub.pem"]);
    // Nothing changes but the slot: the digest names the pack, whoever signs it.
    let mut signed = place.read("elsewhere");
    signed[128..232].copy_from_slice(&unsigned[128..232]);
    assert!(signed == unsigned);

    let mut damaged = place.read("elsewhere");
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    place.file("damaged", &damaged);
    assert!(place.refuses(&["sign", "damaged", "--key", "key.pem"]).contains("not those that the manifest names"));
}

/// What the digest names is the same whoever signs the pack, and without a signature: which words reach the kernel too.
#[test]
fn no_signature_changes_which_words_reach_the_kernel() {
    let place = with_key();
    let words = ["init=/bin/sh", "ip=dhcp", "single", "1", "ro", "quiet", "x=y", "\"a b\"", "ip=", "rescue", "é"];
    for (image, lock) in [("locked", &["--lock-cmdline", "--allow-arg", "ip=*"][..]), ("open", &[])] {
        place.succeeds(&[&["kernel", "-o", image][..], lock, &CHEAP].concat());
        let extra = words.join(" ");
        let before = place.succeeds(&["check", image, "--extra", &extra]);
        if image == "open" {
            let line = place.refuses(&["sign", image, "--key", "key.pem"]);
            assert!(line.starts_with("open: is not locked, ") && line.contains("--lock-cmdline"), "{line}");
            continue;
        }
        assert!(
            before.contains("cmdline    \"ip=dhcp ip=\"\nlocked     9 of the builder's words dropped: init=/bin/sh ")
        );
        let digest = slot(&place, image).0;
        for key in 0..10 {
            let key = format!("{key}.pem");
            place.succeeds(&["key", "new", &key]);
            place.succeeds(&["sign", image, "--key", &key]);
            assert_eq!(place.succeeds(&["check", image, "--extra", &extra]), before);
            let mut stripped = place.read(image);
            stripped[128..232].fill(0);
            place.file("locked", &stripped);
            assert_eq!(place.succeeds(&["check", image, "--extra", &extra]), before);
            assert_eq!(slot(&place, image).0, digest);
        }
    }
}

/// `pack` makes no such pack; somebody else may.
#[test]
fn a_signed_pack_that_is_not_locked_is_refused() {
    let place = with_key();
    place.succeeds(&[&["kernel", "-o", "image"][..], &CHEAP].concat());
    let mut open = place.read("image");
    place.succeeds(&[&["kernel", "-o", "signed", "--sign", "key.pem"][..], &CHEAP].concat());
    open[128..232].copy_from_slice(&place.read("signed")[128..232]);
    place.file("open", &open);
    for words in [
        &["check", "open"][..],
        &["check", "open", "--trust", "pub.pem"],
        &["xl", "open", "--stage0", "/stage0.elf"],
        &["run", "open"],
    ] {
        let line = place.refuses(words);
        assert!(line.starts_with("open: signed pack is not locked: ") && line.contains("`--lock-cmdline`"), "{line}");
    }
    place.succeeds(&["info", "open"]);
}

#[test]
fn whom_a_stage0_trusts_is_checked_here_as_there() {
    let place = with_key();
    stranger(&place);
    place.succeeds(&[&["kernel", "-o", "image", "--lock-cmdline"][..], &CHEAP].concat());
    let line = place.refuses(&["check", "image", "--trust", "pub.pem"]);
    assert!(line.starts_with("image: pack is not signed: "), "{line}");
    place.succeeds(&["sign", "image", "--key", "key.pem"]);
    place.succeeds(&["check", "image", "--trust", "otherpub.pem", "pub.pem"]);
    let line = place.refuses(&["check", "image", "--trust", "otherpub.pem"]);
    assert!(line.starts_with("image: pack is signed by a stranger: "), "{line}");
    let mut bytes = place.read("image");
    bytes[231] ^= 1;
    place.file("image", &bytes);
    let line = place.refuses(&["check", "image", "--trust", "pub.pem"]);
    assert!(line.starts_with("image: signature is wrong: "), "{line}");
    let line = place.refuses(&["check", "image", "--extra", &format!("stage0.require=sha256:{}", "0".repeat(64))]);
    assert!(line.starts_with("image: pack is not the required one: "), "{line}");
}

#[test]
fn keys_change_nothing_of_stage0_but_the_slot() {
    let place = with_key();
    stranger(&place);
    place.succeeds(&["stage0", "-o", "plain"]);
    let said = place.succeeds(&["stage0", "-o", "one", "--trust", "pub.pem"]);
    assert_eq!(said.matches("\ntrusts  key ").count(), 1, "{said}");
    place.succeeds(&["stage0", "-o", "two", "--trust", "pub.pem", "--trust", "otherpub.pem"]);
    let plain = place.read("plain");
    assert_eq!(plain[TrustSlot::OFFSET..][..16], TrustSlot::MAGIC);
    assert!(plain[TrustSlot::OFFSET + 16..][..128].iter().all(|byte| *byte == 0));
    for (name, keys) in [("one", 1), ("two", 2)] {
        let mut image = place.read(name);
        let slot = &mut image[TrustSlot::OFFSET + 16..][..128];
        assert_eq!(slot.chunks(32).filter(|key| **key != [0; 32]).count(), keys);
        slot.fill(0);
        assert!(image == plain, "{name}");
    }
    // A stage0 that has keys takes others in their place.
    place.succeeds(&["stage0", "-o", "again", "--stage0", "two", "--trust", "pub.pem"]);
    assert!(place.read("again") == place.read("one"));
    let five = ["pub.pem"; 5];
    let words = [&["stage0", "-o", "s", "--trust"][..], &five].concat();
    assert_eq!(place.pack(&words).status.code(), Some(2));
    let line = place.refuses(&["stage0", "-o", "s", "--stage0", "kernel", "--trust", "pub.pem"]);
    assert!(!line.is_empty());
}
