//! A block's sequences (RFC 8878, 3.1.1.3.2 and 3.1.1.4).

use super::codes::{LITERAL_LENGTHS, MATCH_LENGTHS, OFFSETS};
use super::fse::{Cell, Kind, Table};
use super::{FrameError, Tables};
use crate::bits::Backward;
use crate::repeat::repeat;
use crate::{Path, fast};

/// How far a block's sequences have come.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    pub(crate) stream: Backward<'a>,
    /// Sequences that are left, the current one included.
    pub(crate) left: usize,
    /// States of the tables of literals' lengths, offsets and matches' lengths: each below its table's size.
    pub(crate) states: [usize; 3],
    /// The last three distances.
    pub(crate) distances: [usize; 3],
    /// Where content is written next.
    pub(crate) at: usize,
    /// Where the next literal is, in the content's place too.
    pub(crate) literals: usize,
    /// Where the literals end, and the block at the latest.
    pub(crate) end: usize,
}

/// Tables of sequences.
#[derive(Debug)]
pub(crate) struct SequenceTables {
    pub(crate) literals: Table,
    pub(crate) offsets: Table,
    pub(crate) matches: Table,
}

/// What a sequence says: to copy so many literals, and then so many bytes of what is at that distance before.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) literals: usize,
    pub(crate) distance: usize,
    pub(crate) len: usize,
}

/// Decodes the block whose sequences are in `bytes` to `content[at..]`, where the literals end at `end`, and returns where it ends.
pub(super) fn decode(
    bytes: &[u8],
    content: &mut [u8],
    (at, literals, end): (usize, usize, usize),
    tables: &mut Tables,
    path: Path,
) -> Result<usize, FrameError> {
    let (left, bytes) = count(bytes).ok_or(FrameError::Truncated)?;
    let mut progress =
        Progress { stream: Backward::NONE, left, states: [0; 3], distances: tables.distances, at, literals, end };
    if left > 0 {
        let bytes = describe(bytes, &mut tables.sequences)?;
        progress.stream = Backward::new(bytes).ok_or(FrameError::SequencesStream)?;
        let SequenceTables { literals, offsets, matches } = &tables.sequences;
        for (state, table) in progress.states.iter_mut().zip([literals, offsets, matches]) {
            let log = table.log().ok_or(FrameError::TableMissing)?;
            *state = progress.stream.take(log).ok_or(FrameError::SequencesStream)? as usize;
        }
        while progress.left > 0 {
            let pending = fast::sequences(path, &mut progress, content, &tables.sequences);
            let sequence = match pending {
                Some(sequence) => sequence,
                None => progress.next(&tables.sequences).ok_or(FrameError::SequencesStream)?,
            };
            progress.execute(&sequence, content)?;
        }
        if progress.stream.left() > 0 {
            return Err(FrameError::SequencesStream);
        }
        tables.distances = progress.distances;
    } else if !bytes.is_empty() {
        return Err(FrameError::NoSequences);
    }
    let Progress { at, literals, .. } = progress;
    content.copy_within(literals..end, at);
    Ok(at + (end - literals))
}

/// How many sequences there are, and what follows that.
fn count(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [count @ ..128, rest @ ..] => Some((usize::from(*count), rest)),
        [high @ ..=254, low, rest @ ..] => Some((usize::from(high - 128) << 8 | usize::from(*low), rest)),
        [255, low, high, rest @ ..] => Some((usize::from(u16::from_le_bytes([*low, *high])) + 0x7f00, rest)),
        _ => None,
    }
}

/// Reads the tables' descriptions, and returns what follows them.
fn describe<'a>(bytes: &'a [u8], tables: &mut SequenceTables) -> Result<&'a [u8], FrameError> {
    let (modes, bytes) = bytes.split_first().ok_or(FrameError::Truncated)?;
    if modes & 3 != 0 {
        return Err(FrameError::Modes);
    }
    let bytes = table(modes >> 6, &mut tables.literals, &LITERAL_LENGTHS, bytes)?;
    let bytes = table(modes >> 4 & 3, &mut tables.offsets, &OFFSETS, bytes)?;
    table(modes >> 2 & 3, &mut tables.matches, &MATCH_LENGTHS, bytes)
}

fn table<'a>(mode: u8, table: &mut Table, kind: &Kind, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
    match mode {
        0 => table.default(kind),
        1 => {
            let (symbol, bytes) = bytes.split_first().ok_or(FrameError::Truncated)?;
            table.single(kind, *symbol)?;
            return Ok(bytes);
        }
        2 => return table.described(kind, bytes),
        _ => {}
    }
    Ok(bytes)
}

impl Progress<'_> {
    /// Reads a sequence and, unless it is the last, what is needed for the next.
    fn next(&mut self, tables: &SequenceTables) -> Option<Sequence> {
        let [literals, offset, matches] = self.states;
        let [literals, offset, matches] =
            [tables.literals.cells()[literals], tables.offsets.cells()[offset], tables.matches.cells()[matches]];
        let sequence = self.read(literals, offset, matches)?;
        self.left -= 1;
        if self.left > 0 {
            let literals = literals.next(&mut self.stream)?;
            let matches = matches.next(&mut self.stream)?;
            self.states = [literals, offset.next(&mut self.stream)?, matches];
        }
        Some(sequence)
    }

    /// Reads a sequence, and makes its distance the last one.
    fn read(&mut self, literals: Cell, offset: Cell, matches: Cell) -> Option<Sequence> {
        let offset_bits = self.stream.take(offset.extra)? as usize;
        let len = matches.base as usize + self.stream.take(matches.extra)? as usize;
        let literals = literals.base as usize + self.stream.take(literals.extra)? as usize;
        let offset_value = offset.base as usize + offset_bits;
        let [first, second, third] = self.distances;
        // 1 to 3 stand for distances used before, the first of which is no use after no literals.
        self.distances = match offset_value + usize::from(literals == 0) {
            _ if offset.extra > 1 => [offset_value, first, second],
            1 => [first, second, third],
            2 => [second, first, third],
            3 => [third, first, second],
            _ => [first - 1, first, second],
        };
        Some(Sequence { literals, distance: self.distances[0], len })
    }

    fn execute(&mut self, sequence: &Sequence, content: &mut [u8]) -> Result<(), FrameError> {
        let Sequence { literals, distance, len } = *sequence;
        if literals > self.end - self.literals {
            return Err(FrameError::Literals);
        }
        let from = self.literals;
        self.literals += literals;
        let to = self.at + literals;
        // What is written is never more than what is behind the literals used so far, so that all fits before `end`.
        if len > self.literals - to {
            return Err(FrameError::Long);
        }
        if distance == 0 || distance > to {
            return Err(FrameError::Offset);
        }
        content.copy_within(from..from + literals, self.at);
        repeat(content, to, distance, len);
        self.at = to + len;
        Ok(())
    }
}
