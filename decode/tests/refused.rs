//! Frames and blocks that are refused, at least one for each cause, and frames that decoders do not agree on (docs/decoder.md).

use std::mem::discriminant;

use decode::lz4::BlockError;
use decode::zstd::{Checksum, FrameError, MAX_BLOCKS, MAX_CONTENT, Tables};
use decode::{Path, lz4, zstd};
use grammar::others::Others;
use grammar::{Choices, Distribution, Size, describe};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// Bytes that chance begins with.
fn chance(seed: u64) -> [u8; 32] {
    let mut random = fastrand::Rng::with_seed(seed);
    std::array::from_fn(|_| random.u8(..))
}

/// What the frame's header says of its content.
fn content_len(frame: &[u8]) -> usize {
    let field = frame[4] >> 6;
    let said = frame[5..5 + (1 << field)].iter().rev().fold(0, |size, byte| size << 8 | usize::from(*byte));
    said + if field == 1 { 256 } else { 0 }
}

/// Decodes by each path.
fn decode(stored: &[u8], len: usize) -> Result<Checksum, FrameError> {
    let results = [Path::PLAIN, Path::detect()].map(|path| {
        let mut content = vec![0x5a; len];
        zstd::decode(stored, &mut content, &mut Tables::new(), path)
    });
    assert_eq!(results[0], results[1]);
    results[0]
}

/// A frame of these blocks.
fn frame(len: u32, blocks: &[u8]) -> Vec<u8> {
    [&0xfd2f_b528_u32.to_le_bytes()[..], &[0xa4], &len.to_le_bytes(), blocks, &[0; 4]].concat()
}

/// Most were found by changing frames of the grammar. The last four bytes are the checksum.
const REFUSED: [(FrameError, &str); 20] = [
    (FrameError::BlockKind, "28b52ffd24 00 060000 ca99e9d851"),
    (FrameError::BlockSize, "28b52ffd24 00 140000 99e9d851"),
    (FrameError::Codes, "28b52ffd24 4d 2d0000 4604009a00 d741b7ae"),
    (FrameError::CodesMissing, "28b52ffd24 03 1c0000 0300001c0000 f65aa008c9"),
    (FrameError::Literals, "28b52ffd24 bd 5d0000 318f03100047a919905e01 5e1f86fa"),
    (FrameError::LiteralsFew, "28b52ffd24 0d 6c0000 06400207e107732813190201006b00001a 0d4c32cd"),
    (FrameError::LiteralsSize, "28b52ffd24 05 2c0000 fc81482bbf"),
    (FrameError::LiteralsStream, "28b52ffd24 0a 550000 a2800185000001ff4600 cda73d8c"),
    (FrameError::Long, "28b52ffd24 03 1c0000 a6ee315f78"),
    (FrameError::Modes, "28b52ffd24 04 240000 118473f309"),
    (FrameError::NoSequences, "28b52ffd24 8a 350000 a5085100 30862be4"),
    (FrameError::Offset, "28b52ffd24 3d 450000 750353014005194a 153387b3"),
    (FrameError::SequencesStream, "28b52ffd24 08 250000 410f3700 21f561de"),
    (FrameError::Symbol, "28b52ffd24 e9 550000 8d0c00560210ffd808bdc222325e"),
    (FrameError::TableEnd, "28b52ffd24 09 340000 19ed8c8780003300 0004bf630f11"),
    (FrameError::TableMissing, "28b52ffd24 2a 850000 72c201801076da0be3ba80010c00af1c f394b63c"),
    (FrameError::Truncated, "28b52ffd24 00 030000 99e9d851"),
    // The reference decoder's own examples of what it took for valid once (zstd's doc/decompressor_permissive.md): states that
    // are not whole, and an offset of zero.
    (FrameError::CodesStream, "28b52ffd24 1b 540000 728001 04207e1f02aa 00 a3000055 00000000"),
    (FrameError::Offset, "28b52ffd24 28 450000 080002002f430bae 00000000"),
    // A sequence of one literal after the last.
    (FrameError::Short { expected: 0, found: 0 }, "28b52ffd24 02 0b0000 61 00000000"),
];

#[test]
fn each_cause_is_found() {
    for (error, hex) in REFUSED {
        let stored = bytes(hex);
        let result = decode(&stored, content_len(&stored));
        assert_eq!(result.map_err(|error| discriminant(&error)), Err(discriminant(&error)), "{error:?}: {result:?}");
        let message = result.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(message.starts_with("expected ") && message.contains(", found "), "{message}");
    }
}

/// What decoders make of a frame that they do not agree on.
struct Disagreement {
    stored: &'static str,
    ours: Result<(), FrameError>,
    libzstd: bool,
    ruzstd: bool,
}

/// In the order of docs/decoder.md.
const DISAGREEMENTS: [Disagreement; 11] = [
    // A table's description that is of one symbol.
    Disagreement {
        stored: "28b52ffde4490000000000000084010032000bd00003000000300000001004000000000000050010001000021000000005100000010\
            000000000000030b410006c00001848a59401600010fa2745020119000077161d4ca991c6",
        ours: Err(FrameError::TableSingle),
        libzstd: true,
        ruzstd: true,
    },
    // A table's description that ends two bits behind the block.
    Disagreement {
        stored: "28b52ffda438000000650000d9930120225de0300b37a00bafbc11b2",
        ours: Err(FrameError::TableEnd),
        libzstd: true,
        ruzstd: false,
    },
    // More than 255 weights.
    Disagreement {
        stored: "28b52ffd240c5c000002c00105e107f0966001001c0000098a005b000033bd7ad7ac",
        ours: Err(FrameError::CodesMany),
        libzstd: false,
        ruzstd: true,
    },
    // Two weights, neither of which is 1.
    Disagreement {
        stored: "28b52ffd2440f20000ca3c000032c00081050c00fb0000235c9d2973",
        ours: Err(FrameError::CodesShort),
        libzstd: false,
        ruzstd: true,
    },
    // A table of weights that tells of more than twelve.
    Disagreement {
        stored: "28b52ffde472000000000000006c02006240124621244004af93c00300000000000000000000000000000000000000000000\
            00000000000000000000fc000000000000000000080000000000000000000000000000000000008070040004020032010fda\
            0170607000070044500540000000000000000003305005400000000000000000004410020000000530000005000902740c55\
            52a01398719c00e20100620000296b020092e10e261e",
        ours: Err(FrameError::CodesLong),
        libzstd: false,
        ruzstd: true,
    },
    // A stream of weights without all bits of its two states.
    Disagreement {
        stored: "28b52ffda41b000000dd0000ba01580007d1240980cb9406020002000200852a8705840730080061d0dda5",
        ours: Err(FrameError::CodesStream),
        libzstd: false,
        ruzstd: true,
    },
    // Codes of twelve bits.
    Disagreement {
        stored: "28b52ffda426000000000000340100028008bf74542202405281000382a64811172264005309807703107138100410151307\
            360100330100216cf33886",
        ours: Err(FrameError::CodesLong),
        libzstd: true,
        ruzstd: false,
    },
    // The last literal of a stream wants more bits than are left.
    Disagreement {
        stored: "28b52ffd247ba401000e06800b008d000000013020000800080008008592b2a0a0ca2601c00ea124954890014d1248999060\
            069941164aca82822a0300db00009a9f17d3db",
        ours: Err(FrameError::LiteralsStream),
        libzstd: true,
        ruzstd: false,
    },
    // Streams whose bits do not end with their literals: one has too many.
    Disagreement {
        stored: "28b52ffd24146c00007240020690b81eacd31f9e24006b0000dd5c282c6e",
        ours: Err(FrameError::LiteralsStream),
        libzstd: false,
        ruzstd: true,
    },
    // The same, in a way that both take.
    Disagreement {
        stored: "28b52ffde4c8000000000000000502008a0cec000860d207595c45da810b000b000b000d4521628482f6884618428421b347\
            34c2100ab6210a5014224628688f688421b4d1084448230ca1601ba20e00e8930228",
        ours: Err(FrameError::LiteralsStream),
        libzstd: true,
        ruzstd: true,
    },
    // Reserved bits beside the sequences' modes.
    Disagreement {
        stored: "28b52ffda4b2000000450000850a00010507b9232965621f",
        ours: Err(FrameError::Modes),
        libzstd: false,
        ruzstd: true,
    },
];

#[test]
fn decoders_disagree_as_is_written_down() {
    let mut others = Others::default();
    for Disagreement { stored, ours, libzstd, ruzstd } in DISAGREEMENTS {
        let frame = bytes(stored);
        let mut content = vec![0; content_len(&frame)];
        assert_eq!(decode(&frame, content.len()).map(drop), ours, "{stored}");
        assert_eq!(others.libzstd(&frame, &mut content), libzstd, "libzstd, {stored}");
        assert_eq!(others.ruzstd(&frame, &mut content), ruzstd, "ruzstd, {stored}");
    }
}

#[test]
fn a_frame_ends_where_it_ends() {
    for seed in 0..60_u64 {
        let frame = grammar::frame(&mut Choices::new(&chance(seed)), Size::SMALL);
        let (stored, len) = (frame.stored, frame.content.len());
        assert!(decode(&stored, len).is_ok(), "{seed}");
        for end in 0..stored.len() {
            assert!(decode(&stored[..end], len).is_err(), "{seed}, {end}");
        }
        let mut more = stored.clone();
        more.extend([0, 1, 2]);
        assert_eq!(decode(&more, len), Err(FrameError::Trailing { found: 3 }), "{seed}");
        assert_eq!(
            decode(&[&stored[..], &stored[..]].concat(), len),
            Err(FrameError::Trailing { found: stored.len() })
        );
        for expected in [len + 1, len.wrapping_sub(1), 0, MAX_CONTENT].into_iter().filter(|other| *other != len) {
            if expected <= MAX_CONTENT {
                assert_eq!(decode(&stored, expected), Err(FrameError::Size { expected, found: len as u64 }), "{seed}");
            }
        }
    }
}

#[test]
fn a_frame_is_of_the_kind_that_packs_have() {
    let stored = frame(3, &[0x19, 0, 0, 1, 2, 3]);
    assert_eq!(decode(&stored, 3), Ok(Checksum(0)));
    // A window besides, a checksum that is missing, an unused and a reserved bit, and a dictionary.
    for bit in 0..6 {
        let mut other = stored.clone();
        other[4] ^= 1 << bit;
        assert_eq!(decode(&other, 3), Err(FrameError::Properties), "{bit}");
    }
    for at in 0..4 {
        let mut other = stored.clone();
        other[at] ^= 0x10;
        assert_eq!(decode(&other, 3), Err(FrameError::Magic), "{at}");
    }
    // Content of 2 MiB, and a byte more: blocks that repeat a byte.
    let block = |len: u32, last: u32| [&(len << 3 | 2 | last).to_le_bytes()[..3], &[7]].concat();
    let most = MAX_CONTENT as u32;
    let blocks = [block(128 << 10, 0).repeat(15), block(128 << 10, 1)].concat();
    assert_eq!(decode(&frame(most, &blocks), MAX_CONTENT), Ok(Checksum(0)));
    let blocks = [block(128 << 10, 0).repeat(16), block(1, 1)].concat();
    let more = MAX_CONTENT + 1;
    assert_eq!(decode(&frame(most + 1, &blocks), more), Err(FrameError::Size { expected: more, found: more as u64 }));
}

#[test]
fn blocks_are_counted_and_bounded() {
    let block = |kind: u32, len: u32, last: u32| (len << 3 | kind << 1 | last).to_le_bytes()[..3].to_vec();
    let empty = |count: usize| [block(0, 0, 0).repeat(count - 1), block(0, 0, 1)].concat();
    assert_eq!(decode(&frame(0, &empty(MAX_BLOCKS)), 0), Ok(Checksum(0)));
    assert_eq!(decode(&frame(0, &empty(MAX_BLOCKS + 1)), 0), Err(FrameError::Blocks));
    // A block of more than 128 KiB, in stored bytes or in content, of a frame that has room for it.
    let large = (128 << 10) + 1;
    for kind in 0..3 {
        let content = vec![0; if kind == 1 { 1 } else { large as usize }];
        let blocks = [block(kind, large, 1), content].concat();
        assert_eq!(decode(&frame(1 << 20, &blocks), 1 << 20), Err(FrameError::BlockSize), "{kind}");
    }
    // A block of no more than that, whose content ends behind the frame's.
    let blocks = [block(1, 60, 0), vec![0], block(1, 41, 1), vec![0]].concat();
    assert_eq!(decode(&frame(100, &blocks), 100), Err(FrameError::Long));
}

#[test]
fn blocks_of_lz4_end_as_the_specification_says() {
    let decode = |stored: &[u8], len: usize| {
        let mut content = vec![0x5a; len];
        lz4::decode(stored, &mut content).map(|()| content)
    };
    assert_eq!(decode(&[0], 0), Ok(vec![]));
    assert_eq!(decode(&[0x30, 1, 2, 3], 3), Ok(vec![1, 2, 3]));
    // One literal that is repeated, then five.
    let block = |matched: u8, last: &[u8]| [&[0x10 | (matched - 4), 9, 1, 0, (last.len() as u8) << 4], last].concat();
    assert_eq!(decode(&block(7, &[1, 2, 3, 4, 5]), 13), Ok([&[9; 8][..], &[1, 2, 3, 4, 5]].concat()));
    // The match begins 11 bytes before the end; it has four literals behind it; it is the last of the block.
    assert_eq!(decode(&block(6, &[1, 2, 3, 4, 5]), 12), Err(BlockError::End));
    assert_eq!(decode(&block(8, &[1, 2, 3, 4]), 13), Err(BlockError::End));
    assert_eq!(decode(&block(12, &[]), 13), Err(BlockError::End));
    assert_eq!(decode(&block(12, &[])[..4], 13), Err(BlockError::Truncated));
    // Far before the end the same holds for all but the last.
    let long = |last: u8| [&[0x1f, 9, 1, 0, 255, 255, 100, last << 4][..], &vec![1; last.into()]].concat();
    assert!(decode(&long(5), 1 + 19 + 610 + 5).is_ok());
    assert_eq!(decode(&long(4), 1 + 19 + 610 + 4), Err(BlockError::End));
    // Offsets of zero and before the start; content that is longer or shorter.
    let mut zero = block(7, &[1, 2, 3, 4, 5]);
    zero[2] = 0;
    assert_eq!(decode(&zero, 13), Err(BlockError::Offset));
    zero[2] = 2;
    assert_eq!(decode(&zero, 13), Err(BlockError::Offset));
    assert_eq!(decode(&block(7, &[1, 2, 3, 4, 5]), 12), Err(BlockError::Long));
    assert_eq!(decode(&block(7, &[1, 2, 3, 4, 5]), 6), Err(BlockError::Long));
    assert_eq!(decode(&block(7, &[1, 2, 3, 4, 5]), 14), Err(BlockError::Short { expected: 14, found: 13 }));
}

/// Four streams of literals of one bit each, of two codes: as many in each as there are to be.
#[test]
fn four_streams_have_six_literals_or_more() {
    for len in 0..12_usize {
        let quarter = len.div_ceil(4);
        let lens = [0, 1, 2, 3].map(|n| len.saturating_sub(n * quarter).min(quarter));
        let streams = lens.map(|len| 1_u8 << len);
        let section = [&[128, 0x10, 1, 0, 1, 0, 1, 0][..], &streams].concat();
        let header = (2 | 1 << 2 | len << 4 | section.len() << 14).to_le_bytes();
        let block = [&header[..3], &section, &[0]].concat();
        let rest = 100 - len as u32;
        let blocks =
            [&[(block.len() << 3 | 2 << 1) as u8, 0, 0][..], &block, &(rest << 3 | 3).to_le_bytes()[..3], &[0]]
                .concat();
        let expected = if len < 6 { Err(FrameError::LiteralsFew) } else { Ok(Checksum(0)) };
        assert_eq!(decode(&frame(100, &blocks), 100), expected, "{len}");
    }
}

/// 128 KiB of literals and no more, although the content has room.
#[test]
fn a_compressed_block_has_no_more_content_than_any() {
    let literals = 128 << 10;
    let section = [&(1_u32 | 3 << 2 | literals << 4).to_le_bytes()[..3], &[7]].concat();
    let before = [&(1000_u32 << 3 | 2).to_le_bytes()[..3], &[9]].concat();
    // No sequence, or one by tables of one symbol: no literals, the second distance, a length of 3.
    for (sequences, more, expected) in
        [(&[0][..], 0, Ok(Checksum(0))), (&[1, 0x54, 0, 0, 0, 1], 3, Err(FrameError::Long))]
    {
        let block = [&section, sequences].concat();
        let blocks = [&before[..], &(block.len() << 3 | 2 << 1 | 1).to_le_bytes()[..3], &block].concat();
        let len = 1000 + literals + more;
        assert_eq!(decode(&frame(len, &blocks), len as usize), expected, "{more}");
    }
}

/// Tables that other frames have left behind are of no use to one.
#[test]
fn nothing_of_a_frame_before_is_left() {
    let mut tables = Tables::new();
    for seed in 0..200_u64 {
        let before = grammar::frame(&mut Choices::new(&chance(seed)), Size::SMALL);
        for path in [Path::PLAIN, Path::detect()] {
            let mut content = vec![0; before.content.len()];
            assert!(zstd::decode(&before.stored, &mut content, &mut tables, path).is_ok());
            for (error, hex) in REFUSED {
                if matches!(error, FrameError::CodesMissing | FrameError::TableMissing) {
                    let stored = bytes(hex);
                    let mut content = vec![0; content_len(&stored)];
                    assert_eq!(zstd::decode(&stored, &mut content, &mut tables, path), Err(error), "{seed}");
                }
            }
        }
    }
}

/// Tables of one symbol more than there are, and of an accuracy more than there may be; the same tables within that are taken.
#[test]
fn tables_are_of_their_kind() {
    // Literals' lengths, offsets, matches' lengths: the place of the mode, the symbols, the accuracy.
    for (place, symbols, max_log) in [(6, 36, 9), (4, 32, 8), (2, 53, 9)] {
        let sequence = |distribution: &Distribution| {
            let mode = 2 << place | (0x54 & !(3 << place));
            let tables = [6, 4, 2].map(|kind| if kind == place { describe(distribution) } else { vec![0] }).concat();
            let block = [&[0x08, 7, 1, mode][..], &tables, &[0xff; 16]].concat();
            let blocks = [&((block.len() << 3 | 2 << 1 | 1) as u32).to_le_bytes()[..3], &block].concat();
            decode(&frame(1000, &blocks), 1000)
        };
        let distribution = |symbols: usize, log: usize| {
            let mut probabilities = vec![0; symbols];
            (probabilities[0], probabilities[symbols - 1]) = ((1 << log) - 1, 1);
            Distribution { log, probabilities }
        };
        // A distance of four behind one byte, or a stream that is not that of one sequence, is what is found then.
        let taken = sequence(&distribution(symbols, max_log));
        assert!(matches!(taken, Err(FrameError::Offset | FrameError::SequencesStream)), "{symbols}: {taken:?}");
        assert_eq!(sequence(&distribution(symbols + 1, max_log)), Err(FrameError::TableSymbols), "{symbols}");
        assert_eq!(sequence(&distribution(symbols, max_log + 1)), Err(FrameError::TableAccuracy), "{symbols}");
    }
}
