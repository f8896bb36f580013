//! Writes zstd frames and LZ4 blocks by the grammar, not by what compresses well: whatever the specifications allow comes up, most
//! of which no encoder makes. Each is written together with what it must decode to, so that it is a test by itself.
//!
//! Nothing here is shared with the decoder: where both are wrong in the same way, other decoders tell.
#![forbid(unsafe_code)]

mod bits;
mod blocks;
mod changes;
mod choices;
mod fse;
mod huffman;
pub mod lz4;
pub mod others;
mod sequences;

pub use changes::change;
pub use choices::Choices;
pub use fse::{Distribution, describe};

use std::collections::BTreeSet;

use blocks::Blocks;

/// A frame and what it decodes to.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The frame.
    pub stored: Vec<u8>,
    /// Its content.
    pub content: Vec<u8>,
    /// Where the parts of it begin: blocks and, within them, literals, tables and streams.
    pub parts: Vec<usize>,
    /// What of the grammar occurs in it.
    pub features: BTreeSet<&'static str>,
}

/// All that can occur in a frame.
pub const FEATURES: [&str; 25] = [
    "block without content",
    "raw block",
    "repeated block",
    "raw literals",
    "repeated literals",
    "literals of new codes",
    "literals of codes of a block before",
    "one stream",
    "four streams",
    "weights as they are",
    "compressed weights",
    "default table",
    "table of one symbol",
    "described table",
    "table of a block before",
    "no literals",
    "no sequences",
    "number of sequences in one byte",
    "number of sequences in two bytes",
    "number of sequences in three bytes",
    "distance used before, first of all",
    "first distance less one",
    "distance of less than a length",
    "length of many bits",
    "content of more than a block",
];

/// How much a frame holds at most.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Blocks that are chosen; one more may follow.
    pub blocks: usize,
    /// Literals of a block.
    pub literals: usize,
    /// Sequences of a block.
    pub sequences: usize,
}

impl Size {
    /// A few hundred bytes.
    pub const SMALL: Self = Self { blocks: 4, literals: 200, sequences: 24 };
    /// Some dozens.
    pub const TINY: Self = Self { blocks: 3, literals: 60, sequences: 10 };
    /// Blocks as large as they may be.
    pub const LARGE: Self = Self { blocks: 6, literals: 128 << 10, sequences: 40_000 };
}

/// A frame of one segment, with a content size of at most 2 MiB and a checksum, without a dictionary.
pub fn frame(choices: &mut Choices<'_>, size: Size) -> Frame {
    let mut blocks = Blocks::default();
    for _ in 0..choices.below(size.blocks + 1) {
        blocks.any(choices, size);
    }
    blocks.end(choices)
}

/// A frame of little content behind much, which it repeats from far away.
pub fn far(choices: &mut Choices<'_>) -> Frame {
    let mut blocks = Blocks::default();
    blocks.far(choices);
    blocks.end(choices)
}

impl Frame {
    /// A frame of these blocks, whose parts begin at `parts`.
    fn of(
        choices: &mut Choices<'_>,
        blocks: &[u8],
        content: Vec<u8>,
        parts: &[usize],
        features: BTreeSet<&'static str>,
    ) -> Self {
        let len = content.len();
        // The sizes of the content size's field that can say it.
        let fields: &[u8] = match len {
            0..256 => &[0, 2, 3],
            256..65_792 => &[1, 2, 3],
            _ => &[2, 3],
        };
        let field = *choices.of(fields);
        let mut stored = Vec::from(0xfd2f_b528_u32.to_le_bytes());
        stored.push(field << 6 | 1 << 5 | 1 << 2);
        let said = (if field == 1 { len - 256 } else { len }) as u64;
        stored.extend_from_slice(&said.to_le_bytes()[..1 << field]);
        let start = stored.len();
        stored.extend_from_slice(blocks);
        stored.extend_from_slice(&checksum(&content).to_le_bytes());
        Self { stored, content, parts: parts.iter().map(|part| part + start).collect(), features }
    }
}

/// What a frame says its content's checksum is.
pub fn checksum(content: &[u8]) -> u32 {
    twox_hash::XxHash64::oneshot(0, content) as u32
}
