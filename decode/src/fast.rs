//! The loops that nearly all of the time goes into: of zstd in a plain form and one by BMI1 and BMI2, of LZ4 in one.
//!
//! They take steps as long as those are far from every limit, and stop between two of them: the safe code that called them takes the
//! others. This is the only file with unsafe code, all of which reads and writes eight bytes at a place that has been compared
//! with a limit before; the comparisons come first in each loop. In debug builds each place is compared with the slice itself again.

use core::hint::assert_unchecked;

use crate::Path;
use crate::bits::Backward;
use crate::lz4::{self, MIN_MATCH};
use crate::zstd::{Cell, Codes, MAX_BITS, Progress, Sequence, SequenceTables};

/// Bytes that a copy writes at a time. It may write up to so many less one behind what it has to copy.
const WIDE: usize = 16;

/// Literals of one round: their codes are at most 55 bits, and up to 7 of a window's 64 are used up before.
const ROUND: usize = 5;

/// Bits of a stream that a window has at least.
const WINDOW_BITS: usize = 56;

/// Bits that a sequence takes before its states, at most: an offset's 22, and 16 of each length. Its three states take at most 26
/// more; together with an offset's they are within one window.
const EXTRA_BITS: usize = 54;

/// Decodes equally many literals of each stream into the parts, of which the last is the shortest. Returns how many.
pub(crate) fn literals(
    path: Path,
    codes: &Codes,
    streams: &mut [Backward<'_>; 4],
    parts: &mut [&mut [u8]; 4],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if path.is_bmi2() {
        // SAFETY: there is such a path only where the processor has BMI1 and BMI2.
        return unsafe { literals_bmi2(codes, streams, parts) };
    }
    let _ = path;
    literals_plain(codes, streams, parts)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
#[inline(never)]
fn literals_bmi2(codes: &Codes, streams: &mut [Backward<'_>; 4], parts: &mut [&mut [u8]; 4]) -> usize {
    literals_by_any(codes, streams, parts)
}

#[inline(never)]
fn literals_plain(codes: &Codes, streams: &mut [Backward<'_>; 4], parts: &mut [&mut [u8]; 4]) -> usize {
    literals_by_any(codes, streams, parts)
}

/// A window is eight bytes of a stream, shifted so that its highest bit is the next. Its lowest is set, and is then so many places
/// up as bits have been used. It is never read, since no more than 62 are.
#[inline(always)]
fn literals_by_any(codes: &Codes, streams: &mut [Backward<'_>; 4], parts: &mut [&mut [u8]; 4]) -> usize {
    let bytes = streams.map(|stream| stream.bytes());
    let mut done = 0;
    loop {
        // Each round moves a window down by 7 bytes at most.
        let ends = streams.map(|stream| stream.left().div_ceil(8));
        let rounds = ends.iter().map(|end| end.saturating_sub(8) / 7).min().unwrap_or(0);
        let rounds = rounds.min((parts[3].len() - done) / ROUND);
        if rounds == 0 {
            return done;
        }
        let mut ats = ends.map(|end| end - 8);
        let mut windows = [0; 4];
        for lane in 0..4 {
            windows[lane] = window(bytes[lane], ats[lane], (ends[lane] * 8 - streams[lane].left()) as u32);
        }
        let [a, b, c, d] = parts.each_mut().map(|part| part[done..done + rounds * ROUND].as_chunks_mut::<ROUND>().0);
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                for (window, literal) in windows.iter_mut().zip([a, b, c, d]) {
                    let entry = codes[(*window >> (64 - MAX_BITS)) as usize];
                    *literal = (entry >> 8) as u8;
                    *window <<= entry & 63;
                }
            }
            for lane in 0..4 {
                let used = windows[lane].trailing_zeros();
                ats[lane] -= (used / 8) as usize;
                windows[lane] = window(bytes[lane], ats[lane], used % 8);
            }
        }
        done += rounds * ROUND;
        for lane in 0..4 {
            streams[lane].set_left(ats[lane] * 8 + 64 - windows[lane].trailing_zeros() as usize);
        }
    }
}

#[inline(always)]
fn window(bytes: &[u8], at: usize, used: u32) -> u64 {
    // SAFETY: `at` is from zero, as so many rounds are left, to eight before the end of what is not yet read.
    (unsafe { load(bytes, at) } | 1) << used
}

/// Executes sequences as long as none is near a limit. Returns one that is, which has been read but not executed.
pub(crate) fn sequences(
    path: Path,
    progress: &mut Progress<'_>,
    content: &mut [u8],
    tables: &SequenceTables,
) -> Option<Sequence> {
    #[cfg(target_arch = "x86_64")]
    if path.is_bmi2() {
        // SAFETY: there is such a path only where the processor has BMI1 and BMI2.
        return unsafe { sequences_bmi2(progress, content, tables) };
    }
    let _ = path;
    sequences_plain(progress, content, tables)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
#[inline(never)]
fn sequences_bmi2(progress: &mut Progress<'_>, content: &mut [u8], tables: &SequenceTables) -> Option<Sequence> {
    sequences_by_any(progress, content, tables)
}

#[inline(never)]
fn sequences_plain(progress: &mut Progress<'_>, content: &mut [u8], tables: &SequenceTables) -> Option<Sequence> {
    sequences_by_any(progress, content, tables)
}

#[inline(always)]
fn sequences_by_any(progress: &mut Progress<'_>, content: &mut [u8], tables: &SequenceTables) -> Option<Sequence> {
    let bytes = progress.stream.bytes();
    let [literal_cells, offset_cells, match_cells] =
        [&tables.literals, &tables.offsets, &tables.matches].map(|table| table.cells());
    let [mut literal_state, mut offset_state, mut match_state] =
        progress.states.map(|state| state % literal_cells.len());
    let [mut first, second, third] = progress.distances;
    // The second in the low half, the third in the high one.
    let mut older = second | third << 32;
    let (mut left, mut sequences) = (progress.stream.left(), progress.left);
    let last_literal = content.len().checked_sub(WIDE)?.min(progress.end);
    let (mut at, mut from) = (progress.at, progress.literals);
    let mut pending = None;
    // Both windows of a sequence begin within the stream then.
    while sequences > 1 && left >= WINDOW_BITS + EXTRA_BITS {
        let literal_cell = cell(literal_cells, literal_state);
        let offset_cell = cell(offset_cells, offset_state);
        let match_cell = cell(match_cells, match_state);
        let offset_extra = offset_cell.extra;
        let mut window = Window::new(bytes, left);
        let mut distance = offset_cell.base as usize + window.take(offset_extra);
        let (mut len, mut literals) = (match_cell.base as usize, literal_cell.base as usize);
        if literal_cell.extra | match_cell.extra != 0 {
            len += window.take(match_cell.extra);
            literals += window.take(literal_cell.extra);
            window = Window::new(bytes, window.left());
        }
        literal_state = literal_cell.next as usize + window.take(literal_cell.bits);
        match_state = match_cell.next as usize + window.take(match_cell.bits);
        offset_state = offset_cell.next as usize + window.take(offset_cell.bits);
        left = window.left();
        sequences -= 1;
        if offset_extra > 1 {
            older = older << 32 | first;
            first = distance;
        } else {
            // As in `Progress::read`.
            let which = distance + usize::from(literals == 0);
            if which == 1 {
                distance = first;
            } else {
                distance = match which {
                    2 => older as u32 as usize,
                    3 => older >> 32,
                    _ => first.wrapping_sub(1),
                };
                older = if which == 2 { older & !0xffff_ffff | first } else { older << 32 | first };
                first = distance;
            }
        }

        let to = at + literals;
        let next = from + literals;
        if next > last_literal || to + len + WIDE > next || distance.wrapping_sub(1) >= to {
            pending = Some(Sequence { literals, distance, len });
            break;
        }
        // SAFETY: literals are read to less than `WIDE` behind `next`, which is at least so far from the content's end. All is
        // written to less than `WIDE` behind the match, which is before `next`.
        unsafe {
            copy_literals(content, from, at, literals);
            copy_match(content, to, distance, len);
        }
        at = to + len;
        from = next;
    }
    progress.stream.set_left(left);
    progress.states = [literal_state, offset_state, match_state];
    progress.distances = [first, older as u32 as usize, older >> 32];
    (progress.at, progress.literals) = (at, from);
    progress.left = sequences;
    pending
}

/// Eight bytes of a stream, and where in them reading is.
struct Window {
    word: u64,
    /// Bits of `word` that are not yet read.
    shift: usize,
    /// Where in the stream `word` begins, bits.
    start: usize,
}

impl Window {
    /// The window with the highest of `left` bits, at least [`WINDOW_BITS`], in its last byte.
    #[inline(always)]
    fn new(bytes: &[u8], left: usize) -> Self {
        debug_assert!(left >= WINDOW_BITS);
        let start = (left / 8).wrapping_sub(7);
        // SAFETY: seven bytes are before the byte of the bit behind the last, which is that of the bit that ends the stream at most.
        Self { word: unsafe { load(bytes, start) }, shift: WINDOW_BITS + left % 8, start: start * 8 }
    }

    /// The next `count` bits, of an offset, a length or a state.
    #[inline(always)]
    fn take(&mut self, count: u8) -> usize {
        debug_assert!(usize::from(count) <= self.shift);
        // SAFETY: no cell has more than 22.
        unsafe { assert_unchecked(count < 32) };
        self.shift = self.shift.wrapping_sub(count.into());
        (self.word >> (self.shift % 64) & ((1 << count) - 1)) as usize
    }

    /// Bits of the stream that are not yet read.
    #[inline(always)]
    fn left(&self) -> usize {
        self.start + self.shift
    }
}

/// The cell of a state, which an index of another cell of the table led to.
#[inline(always)]
fn cell(cells: &[Cell; 512], state: usize) -> &Cell {
    debug_assert!(state < cells.len());
    // SAFETY: the first state is below 512, and so is each that a cell leads to: see `Table`.
    unsafe { cells.get_unchecked(state) }
}

/// Bytes of a block behind a sequence's start at least, for a sequence of short lengths to be read: a token, a copy of literals, an
/// offset.
const SEQUENCE_BYTES: usize = 32;

/// Bytes of content behind where a sequence writes at least: 14 literals, a match of 18 bytes, and a copy that begins at its last.
/// These are more than have to follow a block's last match.
const SEQUENCE_CONTENT: usize = 64;

/// Executes sequences of an LZ4 block as long as none is near a limit.
#[inline(never)]
pub(crate) fn matches(stored: &[u8], content: &mut [u8], progress: &mut lz4::Progress) {
    let Some(stored_limit) = stored.len().checked_sub(SEQUENCE_BYTES) else { return };
    let Some(content_limit) = content.len().checked_sub(SEQUENCE_CONTENT) else { return };
    let (mut from, mut at) = (progress.from, progress.at);
    while from <= stored_limit && at <= content_limit {
        let token = stored[from];
        let mut next = from + 1;
        let mut literals = usize::from(token >> 4);
        if literals < 15 {
            // SAFETY: so many bytes are behind the token, and so much room is at `at`.
            unsafe { copy_wide(content, at, load(stored, next), load(stored, next + 8)) };
        } else {
            let Some((more, after)) = length(stored, next, stored_limit) else { break };
            literals += more;
            next = after;
            if literals > stored_limit.saturating_sub(next) || literals > content_limit - at {
                break;
            }
            let mut done = 0;
            while done < literals {
                // SAFETY: both ends of the literals are further than a copy from the limits.
                unsafe { copy_wide(content, at + done, load(stored, next + done), load(stored, next + done + 8)) };
                done += WIDE;
            }
        }
        next += literals;
        let to = at + literals;
        let distance = usize::from(u16::from_le_bytes([stored[next], stored[next + 1]]));
        next += 2;
        let mut len = usize::from(token & 15) + MIN_MATCH;
        if distance.wrapping_sub(1) >= to {
            break;
        }
        if len == 15 + MIN_MATCH {
            let Some((more, after)) = length(stored, next, stored_limit) else { break };
            len += more;
            next = after;
            if len > content_limit.saturating_sub(to) {
                break;
            }
        }
        // SAFETY: the match begins at most 14 literals behind the limit and has at most 18 bytes, or it ends before that.
        unsafe { copy_match(content, to, distance, len) };
        (from, at) = (next, to + len);
    }
    (progress.from, progress.at) = (from, at);
}

/// What the bytes at `at` add to a length, and where they end; none if that is beyond `limit`.
#[inline(always)]
fn length(stored: &[u8], mut at: usize, limit: usize) -> Option<(usize, usize)> {
    let mut len = 0;
    while at <= limit {
        let more = stored[at];
        len += usize::from(more);
        at += 1;
        if more != 255 {
            return Some((len, at));
        }
    }
    None
}

/// Copies `len` literals from `from` to `at`, which is further before it than [`WIDE`].
///
/// # Safety
/// What is read and written, rounded up to [`WIDE`] and at least that, is within `content`.
#[inline(always)]
unsafe fn copy_literals(content: &mut [u8], from: usize, at: usize, len: usize) {
    // SAFETY: so the caller says.
    unsafe {
        copy_wide(content, at, load(content, from), load(content, from + 8));
        if len > WIDE {
            copy_on(content, from, at, len);
        }
    }
}

/// Copies what follows the first [`WIDE`] of `len` bytes.
///
/// # Safety
/// As for what calls it.
#[cold]
#[inline(never)]
unsafe fn copy_on(content: &mut [u8], from: usize, at: usize, len: usize) {
    let mut done = WIDE;
    while done < len {
        // SAFETY: so the caller says.
        unsafe { copy_wide(content, at + done, load(content, from + done), load(content, from + done + 8)) };
        done += WIDE;
    }
}

/// Writes `len` bytes to `to`, at least one, that repeat those `distance` before, from 1 to `to`.
///
/// # Safety
/// What is written, rounded up to [`WIDE`], is within `content`.
#[inline(always)]
unsafe fn copy_match(content: &mut [u8], to: usize, distance: usize, len: usize) {
    /// What a number of 1 to 7 bytes is multiplied by to repeat it in eight.
    const TIMES: [u64; 8] = {
        let mut times = [0; 8];
        let mut byte = 0;
        while byte < 64 {
            if byte % 8 != 0 && byte / 8 % (byte % 8) == 0 {
                times[byte % 8] |= 1 << (byte / 8 * 8);
            }
            byte += 1;
        }
        times
    };
    let from = to - distance;
    if distance >= WIDE {
        // SAFETY: so the caller says; what is read is before that.
        unsafe {
            copy_wide(content, to, load(content, from), load(content, from + 8));
            if len > WIDE {
                copy_on(content, from, to, len);
            }
        }
        return;
    }
    let mut done = 0;
    if distance >= 8 {
        while done < len {
            // SAFETY: as above; eight bytes are written before they are read.
            unsafe { store(content, to + done, load(content, from + done)) };
            done += 8;
        }
        return;
    }
    // SAFETY: as above.
    let word = unsafe { load(content, from) } & ((1 << (distance * 8)) - 1);
    let word = word.wrapping_mul(TIMES[distance]);
    // SAFETY: as above.
    unsafe { store(content, to, word) };
    if len > 8 {
        // Of eight bytes as many as are whole repetitions.
        let width = 8 - 8 % distance;
        while done < len {
            // SAFETY: as above.
            unsafe { store(content, to + done, word) };
            done += width;
        }
    }
}

/// Writes two words.
///
/// # Safety
/// [`WIDE`] bytes at `at` are within `content`.
#[inline(always)]
unsafe fn copy_wide(content: &mut [u8], at: usize, low: u64, high: u64) {
    // SAFETY: so the caller says.
    unsafe {
        store(content, at, low);
        store(content, at + 8, high);
    }
}

/// Reads a word.
///
/// # Safety
/// Eight bytes at `at` are within `bytes`.
#[inline(always)]
unsafe fn load(bytes: &[u8], at: usize) -> u64 {
    debug_assert!(bytes.len().checked_sub(8).is_some_and(|last| at <= last));
    // SAFETY: so the caller says.
    u64::from_le(unsafe { bytes.as_ptr().add(at).cast::<u64>().read_unaligned() })
}

/// Writes a word.
///
/// # Safety
/// Eight bytes at `at` are within `bytes`.
#[inline(always)]
unsafe fn store(bytes: &mut [u8], at: usize, word: u64) {
    debug_assert!(bytes.len().checked_sub(8).is_some_and(|last| at <= last));
    // SAFETY: so the caller says.
    unsafe { bytes.as_mut_ptr().add(at).cast::<u64>().write_unaligned(word.to_le()) }
}
