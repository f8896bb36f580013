//! Unpacking: what stage0's file has packed goes to where it is linked.
//!
//! The format is upkr's in its default form (the crate `upkr`, with which pack/build.rs packs): a stream of bits, each coded
//! by how likely it was in its context so far (rANS). A bit says whether a literal follows, of eight bits, or a match, a
//! distance and a length. What is here lies in the file as it is, and calls nothing that is packed.

use core::arch::asm;

/// Contexts: whether a match follows (0), the bits of a literal by those before them (1 to 255), whether a distance
/// follows (256), the bits of a distance and of a length (64 each).
const CONTEXTS: usize = 1 + 255 + 1 + 2 * NUMBER;
const DISTANCE_FOLLOWS: usize = 256;
const DISTANCE: usize = 257;
const NUMBER: usize = 64;
const LENGTH: usize = DISTANCE + NUMBER;

/// How likely a set bit is in each context, of 256: at first one half.
static mut ODDS: [u8; CONTEXTS] = [0; CONTEXTS];

/// The time-stamp counter when unpacking began.
static mut STARTED: u64 = 0;

/// When stage0 began, by the time-stamp counter, but for the some thousand instructions before it was unpacked.
pub(crate) fn started() -> u64 {
    // SAFETY: written once, before anything that could call this.
    unsafe { STARTED }
}

/// A stream of coded bits.
struct Bits {
    from: *const u8,
    state: u32,
}

/// Unpacks all that the image has packed. (The addresses are handed in because Rust code would look them up in a table
/// that is packed.)
///
/// # Safety
/// Called by an entry, once, with stage0.ld's `__packed` and `__body`, the image's writable part cleared, and the memory
/// behind it, where the body is linked, mapped writable.
#[unsafe(link_section = ".text.entry.unpack")]
pub(super) unsafe extern "C" fn unpack(from: *const u8, mut to: *mut u8) {
    // SAFETY: every processor with long mode has RDTSC, and nobody else uses the static yet.
    unsafe { STARTED = core::arch::x86_64::_rdtsc() };
    // For debuggers there is a build of which the linker's file is loaded as it is.
    if cfg!(stage0_unpacked) {
        return;
    }
    let mut bits = Bits { from, state: 0 };
    // SAFETY: the table has as many bytes, and nobody else uses it. (A loop would become a call.)
    unsafe {
        asm!("rep stosb", inout("rcx") CONTEXTS => _, inout("rdi") &raw mut ODDS => _, in("al") 0x80_u8,
            options(nostack, preserves_flags));
    }
    let (mut matched, mut distance) = (false, 0);
    // SAFETY: the file was packed from a body that ends at the image's end, and pack/build.rs has unpacked it again and found
    // it equal: no read leaves the file, no write the body, no context the table.
    unsafe {
        loop {
            if !bit(&mut bits, 0) {
                let mut byte = 1;
                while byte < 256 {
                    byte = byte << 1 | usize::from(bit(&mut bits, byte));
                }
                *to = byte as u8;
                to = to.add(1);
                matched = false;
                continue;
            }
            // Two matches in a row at one distance would have been one.
            if matched || bit(&mut bits, DISTANCE_FOLLOWS) {
                distance = number(&mut bits, DISTANCE) - 1;
                if distance == 0 {
                    return;
                }
            }
            let length = number(&mut bits, LENGTH);
            // A match may reach into itself: byte by byte, in this order.
            asm!("rep movsb", inout("rcx") length => _, inout("rsi") to.sub(distance) => _, inout("rdi") to,
                options(nostack, preserves_flags));
            matched = true;
        }
    }
}

/// The next bit, in a context. Half of the time of unpacking is spent here: inlined, it keeps the stream in registers.
///
/// # Safety
/// There is one, and the context is below [`CONTEXTS`].
#[inline(always)]
unsafe fn bit(bits: &mut Bits, context: usize) -> bool {
    // SAFETY: promised by the caller; nobody else uses the table.
    unsafe {
        while bits.state < 1 << 12 {
            bits.state = bits.state << 8 | u32::from(*bits.from);
            bits.from = bits.from.add(1);
        }
        let odds = (&raw mut ODDS).cast::<u8>().add(context);
        let set = u32::from(*odds);
        let (high, low) = (bits.state >> 8, bits.state & 0xff);
        let is_set = low < set;
        let new = if is_set {
            bits.state = set * high + low;
            set + ((256 - set + 8) >> 4)
        } else {
            bits.state = (256 - set) * high + low - set;
            set - ((set + 8) >> 4)
        };
        *odds = new as u8;
        is_set
    }
}

/// The next number: its bits from the lowest on, each after one that says that it follows; the highest is implied.
///
/// # Safety
/// There is one, and [`NUMBER`] contexts from `context` on.
#[inline(always)]
unsafe fn number(bits: &mut Bits, mut context: usize) -> usize {
    let (mut number, mut place) = (0, 0);
    // SAFETY: promised by the caller.
    while unsafe { bit(bits, context) } {
        // SAFETY: as above.
        number |= usize::from(unsafe { bit(bits, context + 1) }) << place;
        place += 1;
        context += 2;
    }
    number | 1 << place
}
