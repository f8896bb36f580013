//! Blocks (RFC 8878, 3.1.1.2).

use std::collections::BTreeSet;

use crate::huffman::Codes;
use crate::sequences::Sequences;
use crate::{Choices, Frame, Size};

/// Bytes that a block decodes to, and that it has, at most.
const MAX_BLOCK: usize = 128 << 10;
/// Bytes of a frame's content at most.
const MAX_CONTENT: usize = 2 << 20;

/// Blocks, and what they decode to.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    content: Vec<u8>,
    parts: Vec<usize>,
    /// Bytes that the largest block's header says.
    largest: usize,
    /// Where the last block's header is.
    last: Option<usize>,
    codes: Option<Codes>,
    sequences: Sequences,
    features: BTreeSet<&'static str>,
}

impl Blocks {
    /// Appends a block.
    pub(crate) fn any(&mut self, choices: &mut Choices<'_>, size: Size) {
        match choices.below(8) {
            0 => self.raw(choices, size),
            1 => {
                let len = choices.up_to((size.literals * 2).min(MAX_BLOCK));
                self.repeated(choices, len);
            }
            _ => self.compressed(choices, size),
        }
    }

    /// Appends a large block, and one whose sequences take many bits for few bytes: where its content nears its literals, there is still
    /// much of its stream.
    pub(crate) fn far(&mut self, choices: &mut Choices<'_>) {
        /// The code of offsets from 65533 on, and that of the least length.
        const ONLY: [Option<usize>; 3] = [None, Some(16), Some(0)];
        let len = choices.from(66_000, MAX_BLOCK);
        self.repeated(choices, len);
        self.raw(choices, Size { literals: 300, ..Size::SMALL });
        self.sequences.only = ONLY;
        self.compressed(choices, Size { literals: 200, sequences: 60, ..Size::SMALL });
    }

    /// Ends the frame, after one more block if the content is smaller than a block of the frame says it may be, or if there is none.
    pub(crate) fn end(mut self, choices: &mut Choices<'_>) -> Frame {
        if self.largest > self.content.len() || self.last.is_none() {
            self.repeated(choices, self.largest);
        }
        if let Some(last) = self.last {
            self.bytes[last] |= 1;
        }
        if self.content.len() > MAX_BLOCK {
            self.features.insert("content of more than a block");
        }
        Frame::of(choices, &self.bytes, self.content, &self.parts, self.features)
    }

    fn block(&mut self, kind: usize, said: usize, bytes: &[u8]) {
        match kind {
            _ if said == 0 => self.features.insert("block without content"),
            0 => self.features.insert("raw block"),
            1 => self.features.insert("repeated block"),
            _ => false,
        };
        self.last = Some(self.bytes.len());
        self.largest = self.largest.max(said);
        self.parts.push(self.bytes.len());
        self.bytes.extend_from_slice(&(said << 3 | kind << 1).to_le_bytes()[..3]);
        self.bytes.extend_from_slice(bytes);
    }

    fn raw(&mut self, choices: &mut Choices<'_>, size: Size) {
        let len = choices.up_to(size.literals.min(MAX_CONTENT - self.content.len()));
        let bytes = text(choices, len, &[]);
        self.content.extend_from_slice(&bytes);
        self.block(0, len, &bytes);
    }

    fn repeated(&mut self, choices: &mut Choices<'_>, len: usize) {
        let len = len.min(MAX_CONTENT - self.content.len());
        let byte = choices.below(256) as u8;
        self.content.resize(self.content.len() + len, byte);
        self.block(1, len, &[byte]);
    }

    fn compressed(&mut self, choices: &mut Choices<'_>, size: Size) {
        let room = MAX_BLOCK.min(MAX_CONTENT - self.content.len());
        let before = (self.codes.clone(), self.sequences.clone(), self.content.len());
        let (literals, mut bytes, mut parts) = self.literals(choices, size.literals.min(room));
        let mut inner = Vec::new();
        let room = (size.sequences, room - literals.len());
        let features = &mut self.features;
        let sequences = self.sequences.any(choices, room, &literals, &mut self.content, &mut inner, features);
        parts.push(bytes.len());
        parts.extend(inner.iter().map(|part| part + bytes.len()));
        bytes.extend(sequences);
        // Literals that chance gave long codes may make a block larger than any may be.
        if bytes.len() > MAX_BLOCK {
            let len;
            (self.codes, self.sequences, len) = before;
            self.content.truncate(len);
            return;
        }
        let start = self.bytes.len() + 3;
        self.block(2, bytes.len(), &bytes);
        self.parts.extend(parts.iter().map(|part| part + start));
    }

    /// At most so many literals, their section, and where parts of it begin.
    fn literals(&mut self, choices: &mut Choices<'_>, most: usize) -> (Vec<u8>, Vec<u8>, Vec<usize>) {
        let len = if choices.once_in(8) { most } else { choices.up_to(most) };
        if len == 0 {
            self.features.insert("no literals");
        }
        let kind = choices.below(6);
        let huffman = match (kind, &self.codes) {
            (0 | 1, _) => None,
            (2, Some(codes)) => Some((3, codes.clone(), Vec::new())),
            _ => {
                let (codes, description) = Codes::any(choices);
                Some((2, codes, description))
            }
        };
        if let Some((kind, codes, description)) = huffman {
            let literals = text(choices, len, &codes.present);
            if let Some((section, parts)) = streams(choices, kind, &codes, &description, &literals) {
                self.codes = Some(codes);
                self.features.extend(match kind {
                    2 if description[0] < 128 => ["literals of new codes", "compressed weights"],
                    2 => ["literals of new codes", "weights as they are"],
                    _ => ["literals of codes of a block before"; 2],
                });
                // The lowest bits of the format are zero for one stream only.
                self.features.insert(if section[0] >> 2 & 3 == 0 { "one stream" } else { "four streams" });
                return (literals, section, parts);
            }
        }
        let repeated = kind == 1;
        self.features.insert(if repeated { "repeated literals" } else { "raw literals" });
        let literals = if repeated { vec![choices.below(256) as u8; len] } else { text(choices, len, &[]) };
        let mut section = match choices.of(&formats(&[(0, 32), (2, 32), (1, 4096), (3, 1 << 20)], len)) {
            format @ (1 | 3) => (len << 4 | format << 2).to_le_bytes()[..if *format == 1 { 2 } else { 3 }].to_vec(),
            _ => vec![(len << 3) as u8],
        };
        // The second bit of the format is the first of the length where the format has one bit.
        section[0] |= u8::from(repeated);
        let start = section.len();
        section.extend_from_slice(if repeated { &literals[..1.min(len)] } else { &literals });
        if repeated && len == 0 {
            section.push(0);
        }
        (literals, section, vec![0, start])
    }
}

/// The formats whose bound is above `len`.
fn formats(all: &[(usize, usize)], len: usize) -> Vec<usize> {
    all.iter().filter(|(_, end)| len < *end).map(|(format, _)| *format).collect()
}

/// The section of literals that are one stream or four; none if it is too large for any format.
fn streams(
    choices: &mut Choices<'_>,
    kind: usize,
    codes: &Codes,
    description: &[u8],
    literals: &[u8],
) -> Option<(Vec<u8>, Vec<usize>)> {
    let len = literals.len();
    let four = len >= 6 && (len >= 1024 || choices.once_in(2));
    let mut bytes = description.to_vec();
    let mut parts = vec![0];
    if four {
        let quarter = len.div_ceil(4);
        let streams: Vec<Vec<u8>> = literals.chunks(quarter).map(|part| codes.stream(part)).collect();
        // The last of few literals may have none.
        let empty = vec![codes.stream(&[]); 4 - streams.len()];
        let streams = [streams, empty].concat();
        parts.push(bytes.len());
        for stream in &streams[..3] {
            bytes.extend_from_slice(&u16::try_from(stream.len()).ok()?.to_le_bytes());
        }
        for stream in streams {
            parts.push(bytes.len());
            bytes.extend(stream);
        }
    } else {
        parts.push(bytes.len());
        bytes.extend(codes.stream(literals));
    }
    let size = len.max(bytes.len());
    let all: &[_] = if four { &[(1, 1 << 10), (2, 1 << 14), (3, 1 << 18)] } else { &[(0, 1 << 10)] };
    let formats = formats(all, size);
    if formats.is_empty() {
        return None;
    }
    let format = *choices.of(&formats);
    let (bits, header) = [(10, 3), (10, 3), (14, 4), (18, 5)][format];
    let word = (kind | format << 2 | len << 4 | bytes.len() << (4 + bits)) as u64;
    let mut section = word.to_le_bytes()[..header].to_vec();
    let parts = parts.iter().map(|part| part + header).chain([0]).collect();
    section.extend(bytes);
    Some((section, parts))
}

/// So many bytes of an alphabet, or of any.
fn text(choices: &mut Choices<'_>, len: usize, alphabet: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(len);
    while text.len() < len {
        if text.len() > 64 && choices.once_in(2) {
            // As much again, so that long texts cost few choices.
            let count = choices.below(text.len()).min(len - text.len());
            text.extend_from_within(..count);
            continue;
        }
        text.push(if alphabet.is_empty() { choices.below(256) as u8 } else { *choices.of(alphabet) });
    }
    text
}
