//! Why bytes are no frame.

use core::fmt;

use super::{MAX_BLOCK, MAX_BLOCKS};

/// Why bytes are not one zstd frame of the content that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The first four bytes are not a frame's.
    Magic,
    /// The frame's header says other properties.
    Properties,
    /// The header says another content size, bytes.
    Size {
        /// Bytes that are wanted.
        expected: usize,
        /// Bytes that the header says.
        found: u64,
    },
    /// The frame's bytes end before it does.
    Truncated,
    /// Bytes follow the frame's checksum.
    Trailing {
        /// How many.
        found: usize,
    },
    /// There are more blocks than [`MAX_BLOCKS`].
    Blocks,
    /// A block is of the reserved kind.
    BlockKind,
    /// A block's header says more bytes than a block of this frame may have.
    BlockSize,
    /// Blocks have less content than the header says.
    Short {
        /// Bytes that the header says.
        expected: usize,
        /// Bytes of content.
        found: usize,
    },
    /// A block has more content than a block may have, or than the header says.
    Long,
    /// A block's literals are more than a block may have.
    LiteralsSize,
    /// Four streams have fewer literals than six.
    LiteralsFew,
    /// A block uses the Huffman codes of a block before, and none had any.
    CodesMissing,
    /// The description of Huffman codes is none.
    Codes,
    /// The stream of compressed Huffman weights has no end, or not the bits of its two states.
    CodesStream,
    /// There are more Huffman weights than literals.
    CodesMany,
    /// Huffman codes have more bits than they may have, or their description tells of such.
    CodesLong,
    /// The longest Huffman code is said to be longer than all there are.
    CodesShort,
    /// A stream of Huffman codes has no end, or ends before its last literal or after it.
    LiteralsStream,
    /// A reserved bit of the sequences' modes is set.
    Modes,
    /// A block uses the table of a block before, and none had any.
    TableMissing,
    /// The symbol of a table of one is none.
    Symbol,
    /// The description of a table says a larger accuracy than such a table may have.
    TableAccuracy,
    /// The description of a table is of symbols that there are not.
    TableSymbols,
    /// The description of a table does not end within its block.
    TableEnd,
    /// The description of a table is of one symbol, for which there is another way.
    TableSingle,
    /// A block without sequences has bytes where these would be.
    NoSequences,
    /// The stream of sequences has no end, or ends before the last or after it.
    SequencesStream,
    /// A sequence has more literals than are left.
    Literals,
    /// A sequence repeats what is before the content, or at a distance of zero.
    Offset,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "expected a zstd frame, found other bytes",
            Self::Properties => "expected a zstd frame of one segment with a checksum and no dictionary, found another",
            Self::Size { expected, found } => return write!(f, "expected a content size of {expected}, found {found}"),
            Self::Truncated => "expected a whole zstd frame, found its start",
            Self::Trailing { found } => return write!(f, "expected the zstd frame's end, found {found} bytes more"),
            Self::Blocks => return write!(f, "expected at most {MAX_BLOCKS} zstd blocks, found more"),
            Self::BlockKind => "expected a raw, repeated or compressed zstd block, found a reserved kind",
            Self::BlockSize => {
                return write!(f, "expected a zstd block of at most {MAX_BLOCK} bytes, found a larger one");
            }
            Self::Short { expected, found } => return write!(f, "expected {expected} bytes of content, found {found}"),
            Self::Long => "expected a zstd block within the content and its own bound, found a longer one",
            Self::LiteralsSize => "expected no more literals than the block may have bytes, found more",
            Self::LiteralsFew => "expected at least 6 literals in four streams, found fewer",
            Self::CodesMissing => "expected Huffman codes in a block before, found none",
            Self::Codes => "expected a description of Huffman codes, found other bytes",
            Self::CodesStream => "expected a stream of Huffman weights, found fewer bits than it begins with",
            Self::CodesMany => "expected at most 255 Huffman weights, found more",
            Self::CodesLong => "expected Huffman codes of at most 11 bits, found longer ones",
            Self::CodesShort => "expected a Huffman weight of 1, found none",
            Self::LiteralsStream => "expected a stream that ends with its last literal, found another",
            Self::Modes => "expected reserved bits of zero beside the sequences' modes, found others",
            Self::TableMissing => "expected a table of sequences in a block before, found none",
            Self::Symbol => "expected the symbol of a table of one, found none",
            Self::TableAccuracy => "expected a table of sequences of its kind's accuracy at most, found a larger one",
            Self::TableSymbols => "expected a table of the symbols of its kind, found more",
            Self::TableEnd => "expected a whole description of a table of sequences, found its start",
            Self::TableSingle => "expected a description of a table of more than one symbol, found one of one",
            Self::NoSequences => "expected the end of a block without sequences, found more bytes",
            Self::SequencesStream => "expected a stream that ends with its last sequence, found another",
            Self::Literals => "expected a sequence of no more literals than are left, found more",
            Self::Offset => "expected a sequence that repeats content, found an offset before its start",
        })
    }
}

impl core::error::Error for FrameError {}
