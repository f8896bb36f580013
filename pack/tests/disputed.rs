//! Packs that are not what they say: frames of which other decoders make two contents, and content of another checksum or SHA-256
//! than named.
//! Nothing of them is handed on, and nobody vouches for them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;
#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "common/four_streams.rs"]
mod four_streams;

use ::decode::zstd::FrameError;
use common::place::Place;
use common::seal;
use four_streams::{malformed, pack_of, shapes};
use pack::image::Image;
use shared::format::Codec;
use stage0::load::{DecodeError, decode};

/// All that reads packs, with what comes behind the pack's name.
const READERS: [&[&str]; 9] = [
    &["check", "image"],
    &["check", "image", "--type", "pv"],
    &["info", "image"],
    &["info", "image", "--json"],
    &["extract", "image", "-o", "parts"],
    &["diff", "image", "other"],
    &["diff", "other", "image"],
    &["digest", "image"],
    &["sign", "image", "--key", "key.pem"],
];

/// A place with a key and a pack that is as it should be.
fn place() -> Place {
    let place = Place::new();
    place.succeeds(&["key", "new", "key.pem"]);
    place.succeeds(&["kernel", "-o", "other", "--codec", "none"]);
    place
}

/// Each reader refuses the pack with a line that begins so, and leaves it as it is.
fn refused_by_all(place: &Place, pack: &[u8], line: &str) {
    place.file("image", pack);
    let others: [&[&str]; 3] =
        [&["run", "image"], &["xl", "image"], &["sign", "image", "--key", "key.pem", "-o", "signed"]];
    for words in READERS.iter().chain(&others) {
        let said = place.refuses(words);
        assert!(said.starts_with(&format!("image: {line}")), "{words:?}: {said}");
        assert!(place.read("image") == pack, "{words:?} changed it");
    }
}

#[test]
fn a_frame_with_two_contents_is_refused_whichever_the_manifest_names() {
    let place = place();
    let mut two = 0;
    for (n, shape) in shapes().iter().enumerate() {
        let frame = malformed(shape);
        two += usize::from(frame.by_counts.is_some());
        for says in [Some(&frame.by_streams), frame.by_counts.as_ref()].into_iter().flatten() {
            let (pack, index) = pack_of(&frame.stored, &frame.by_streams, says);
            let cause = DecodeError::Zstd(FrameError::LiteralsStream);
            let line = format!("frame does not decode: frame {index} (zstd), {cause}: ");
            // Nor does stage0 start it.
            assert_eq!(decode(Codec::Zstd, &frame.stored, &mut vec![0; says.len()]), Err(cause), "{shape:?}");
            if n < 2 {
                refused_by_all(&place, &pack, &line);
            }
            place.file("image", &pack);
            let said = place.refuses(&["check", "image"]);
            assert!(said.starts_with(&format!("image: {line}")), "{shape:?}: {said}");
        }
    }
    println!("of {} frames, libzstd makes other bytes of {two} here, and refuses the others", shapes().len());
}

#[test]
fn a_frame_of_another_checksum_is_refused() {
    let place = place();
    for (n, shape) in shapes().iter().enumerate() {
        let content = malformed(shape).by_streams;
        let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
        compressor.include_checksum(true).unwrap();
        let whole = compressor.compress(&content).unwrap();
        let (pack, index) = pack_of(&whole, &content, &content);
        place.file("image", &pack);
        place.succeeds(&["check", "image"]);
        let mut stored = whole;
        let at = stored.len() - 1 - n % 4;
        stored[at] ^= 1 << (n % 8);
        let (pack, _) = pack_of(&stored, &content, &content);
        let line = format!(
            "is not what it says: frame {index} (zstd), expected content with the frame's checksum, found other: do not"
        );
        if n < 2 {
            refused_by_all(&place, &pack, &line);
        }
        place.file("image", &pack);
        let said = place.refuses(&["check", "image"]);
        assert!(said.starts_with(&format!("image: {line}")), "{shape:?}: {said}");
    }
}

#[test]
fn content_of_another_sha256_is_refused() {
    let place = place();
    place.file("initrd", &[7; 5000]);
    let words = ["kernel", "-o", "whole", "--cmdline", "quiet", "--initrd", "initrd", "--measure", "--codec"];
    for codec in ["none", "lz4"] {
        place.succeeds(&[&words[..], &[codec]].concat());
        let whole = place.read("whole");
        let names: Vec<String> =
            Image::parse(&whole).unwrap().manifest.members().map(|member| member.name.to_owned()).collect();
        assert_eq!(names.len(), 4);
        for (member, name) in names.iter().enumerate() {
            for byte in [0, 13, 31] {
                let pack = seal::with_other_sha256(&whole, member, byte);
                let line = format!(
                    "is not what it says: member {name:?}, expected content with the manifest's SHA-256, found other: do not"
                );
                if byte == 0 && codec == "none" {
                    refused_by_all(&place, &pack, &line);
                }
                place.file("image", &pack);
                let said = place.refuses(&["check", "image"]);
                assert!(said.starts_with(&format!("image: {line}")), "{said}");
            }
        }
    }
}
