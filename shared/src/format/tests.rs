use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::kernel::{Decisions, EntryRule, Mapping, Protocol};
use crate::memory::{FileRange, Virt};

/// From one byte that is tried to the next: Miri is too slow for all of them.
const STEP: usize = if cfg!(miri) { 131 } else { 1 };

fn content() -> PackContent {
    let frame = |len: u32, codec, stored: &[u8]| EncodedFrame { content_len: len, codec, stored: stored.to_vec() };
    PackContent {
        kernel: EncodedKernel {
            name: "kernel".into(),
            sha256: [7; 32],
            frames: vec![
                frame(64, Codec::Zstd, b"0123456789"),
                frame(100, Codec::Lz4, b"abcdef"),
                frame(3, Codec::None, b"xyz"),
            ],
        },
        cmdline: Some("console=ttyS0".into()),
        modules: vec![
            EncodedModule { name: "initrd".into(), content: vec![1; 5000] },
            EncodedModule { name: "other".into(), content: vec![2; 1] },
        ],
        measured: false,
        decisions: Decisions {
            protocol: Some(Protocol::Direct),
            mapping: Mapping::Segments,
            entry: EntryRule::Physical,
            virt_base: Some(Virt(0xc000_0000)),
        },
        locked: true,
        allowed: vec!["ip=*".into(), "quiet".into()],
    }
}

#[test]
fn what_is_written_is_read_back() {
    let content = content();
    let mut pack = content.encode().unwrap();
    pack.resize(pack.len() + 777, 0xee);
    let manifest = Manifest::parse(&pack, pack.len() as u64).unwrap();

    assert_eq!(manifest.pack_len() % 4096, 0);
    assert_eq!(*manifest.decisions(), content.decisions);
    assert!(manifest.is_locked());
    assert_eq!(manifest.allowed().collect::<Vec<_>>(), ["ip=*", "quiet"]);
    assert_eq!(manifest.signature().0, SignatureAlgorithm::None);

    let kernel = manifest.kernel();
    assert_eq!((kernel.name, kernel.content_len, kernel.stored.len()), ("kernel", 167, 19));
    let cmdline = manifest.cmdline().unwrap();
    assert_eq!(bytes(&pack, cmdline.stored), b"console=ttyS0");
    assert!(cmdline.verify(bytes(&pack, cmdline.stored)));
    let modules: Vec<_> = manifest.modules().collect();
    assert_eq!(modules.iter().map(|module| module.name).collect::<Vec<_>>(), ["initrd", "other"]);
    for module in modules {
        assert_eq!(module.stored.offset() % 4096, 0);
        assert!(module.verify(bytes(&pack, module.stored)));
        let end = usize::try_from(module.stored.end()).unwrap();
        assert!(pack[end..end.next_multiple_of(4096)].iter().all(|byte| *byte == 0));
    }
    for (frame, encoded) in manifest.frames().zip(&content.kernel.frames) {
        assert_eq!(bytes(&pack, frame.stored), encoded.stored);
        assert_eq!(frame.codec, encoded.codec);
        assert!(frame.verify(&encoded.stored));
    }
}

fn bytes(pack: &[u8], range: FileRange) -> &[u8] {
    &pack[usize::try_from(range.offset()).unwrap()..usize::try_from(range.end()).unwrap()]
}

#[test]
fn frames_are_found_by_what_they_hold() {
    let pack = content().encode().unwrap();
    let manifest = Manifest::parse(&pack, pack.len() as u64).unwrap();
    let found = |offset, len| -> Vec<usize> {
        manifest.frames_of(FileRange::new(offset, len).unwrap()).map(|frame| frame.index).collect()
    };
    assert_eq!(found(0, 64), [0]);
    assert_eq!(found(0, 65), [0, 1]);
    assert_eq!(found(63, 200), [0, 1, 2]);
    assert_eq!(found(164, 3), [2]);
    assert_eq!(found(64, 0), []);
    assert_eq!(found(167, 1), []);
}

#[test]
fn each_flipped_bit_of_the_manifest_is_an_error() {
    let pack = content().encode().unwrap();
    let manifest_len = Manifest::parse(&pack, pack.len() as u64).unwrap().manifest_len();
    for byte in (0..usize::try_from(manifest_len).unwrap()).step_by(STEP) {
        for bit in 0..8 {
            let mut flipped = pack.clone();
            flipped[byte] ^= 1 << bit;
            assert!(Manifest::parse(&flipped, flipped.len() as u64).is_err(), "byte {byte}, bit {bit}");
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    let pack = content().encode().unwrap();
    for len in (0..pack.len()).step_by(STEP) {
        let error = Manifest::parse(&pack[..len], len as u64).err().unwrap();
        assert!(matches!(error, FormatError::Truncated { .. }), "{len}: {error}");
    }
}

#[test]
fn a_future_version_is_named() {
    let mut pack = content().encode().unwrap();
    pack[8] = 2;
    assert_eq!(Manifest::parse(&pack, pack.len() as u64).err(), Some(FormatError::Version { found: 2 }));
}

/// Sets 4 bytes of the manifest and makes its digest right again.
fn resealed(offset: usize, value: [u8; 4]) -> Vec<u8> {
    let mut pack = content().encode().unwrap();
    let manifest_len = usize::try_from(Manifest::parse(&pack, pack.len() as u64).unwrap().manifest_len()).unwrap();
    pack[offset..offset + 4].copy_from_slice(&value);
    let digest = header::manifest_digest(&pack[..manifest_len]);
    pack[wire::DIGEST_START..][..32].copy_from_slice(&digest);
    pack
}

#[test]
fn what_is_unknown_is_refused_by_name_although_the_digest_is_right() {
    let member_1 = 256 + 128;
    let frame_0 = 256 + 4 * 128;
    let cases: [(usize, u32, FormatError); 7] = [
        (12, 4, FormatError::Flags { part: Part::Header, found: 4 }),
        (48, 9, FormatError::Unknown { part: Part::Decisions, field: "protocol", found: 9 }),
        (60, 8, FormatError::Flags { part: Part::Decisions, found: 8 }),
        (member_1, 5, FormatError::Unknown { part: Part::Member(1), field: "kind", found: 5 }),
        (member_1, 1, FormatError::Order { part: Part::Member(1) }),
        (member_1 + 44, 1, FormatError::Reserved { part: Part::Member(1) }),
        (frame_0 + 12, 3, FormatError::Unknown { part: Part::Frame(0), field: "codec", found: 3 }),
    ];
    for (offset, value, expected) in cases {
        let pack = resealed(offset, value.to_le_bytes());
        assert_eq!(Manifest::parse(&pack, pack.len() as u64).err(), Some(expected));
    }
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let mut too_long = content();
    too_long.cmdline = Some("x".repeat(4096));
    assert!(too_long.encode().is_err());
    let mut nul = content();
    nul.allowed = vec![String::from("a\0b")];
    assert!(nul.encode().is_err());
    for c in ('\0'..' ').chain('\u{7f}'..='\u{9f}') {
        let mut lines = content();
        lines.kernel.name = std::format!("a{c}b");
        let part = Part::Member(0);
        let expected = if c == '\0' { FormatError::Text { part } } else { FormatError::Name { part } };
        assert_eq!(lines.encode().err(), Some(expected));
    }
    let mut empty = content();
    empty.kernel.frames.clear();
    assert!(empty.encode().is_err());
}

proptest! {
    #[test]
    fn no_number_in_the_tables_makes_it_panic(offset in 0usize..800, value: [u8; 4], len in 0usize..20_000) {
        let pack = resealed(offset, value);
        let len = len.min(pack.len());
        if let Ok(manifest) = Manifest::parse(&pack[..len], len as u64) {
            for member in manifest.members() {
                prop_assert!(member.stored.end() <= manifest.pack_len());
            }
            for frame in manifest.frames() {
                prop_assert!(frame.stored.end() <= manifest.kernel().stored.end());
            }
        }
    }
}
