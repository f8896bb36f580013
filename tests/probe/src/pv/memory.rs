//! Memory by its virtual addresses, copied out piece by piece: address 0, where a layout may lie, is no place for a reference.

use core::cell::UnsafeCell;
use core::hash::Hasher;

use twox_hash::XxHash64;
use zerocopy::{FromBytes, IntoBytes};

use crate::domain::Domain;
use crate::entry::Work;

pub(crate) const PAGE: u64 = 4096;

static BUFFER: Work<[u8; PAGE as usize]> = Work(UnsafeCell::new([0; PAGE as usize]));

/// Copies memory out. Where nothing is mapped the domain crashes, and Xen says where.
pub(crate) fn copy(from: u64, to: &mut [u8]) {
    // SAFETY: it reads what is mapped, and writes what is lent.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rsi") from => _, inout("rdi") to.as_mut_ptr() => _, inout("rcx") to.len() => _,
            options(nostack, preserves_flags)
        );
    }
}

/// A value at `address`. `N` is its size.
pub(crate) fn read<T: FromBytes, const N: usize>(address: u64) -> Option<T> {
    let mut bytes = [0; N];
    copy(address, &mut bytes);
    T::read_from_bytes(&bytes).ok()
}

pub(crate) fn read_u64(address: u64) -> u64 {
    let mut bytes = [0; 8];
    copy(address, &mut bytes);
    u64::from_le_bytes(bytes)
}

/// Where content is.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// Mapped, from this address on.
    Virtual(u64),
    /// From this pseudo-physical frame on, mapped or not.
    Frame(u64),
}

impl Source {
    /// Calls `see` with each page's part of the bytes `from..to` and its offset, until it returns false.
    fn each(self, domain: &Domain, from: u64, to: u64, mut see: impl FnMut(u64, &[u8]) -> bool) -> bool {
        // SAFETY: this function alone uses the buffer, and `see` does not come back here.
        let buffer = unsafe { &mut *BUFFER.0.get() };
        let mut at = from;
        while at < to {
            let len = (PAGE - at % PAGE).min(to - at);
            let piece = &mut buffer[..len as usize];
            match self {
                Self::Virtual(start) => copy(start.wrapping_add(at), piece),
                Self::Frame(first) => match domain.mfn(first + at / PAGE) {
                    Some(frame) if domain.window.map(frame) => copy(domain.window.virt + at % PAGE, piece),
                    _ => return false,
                },
            }
            if !see(at, piece) {
                return true;
            }
            at += len;
        }
        true
    }

    /// The hash of the first `len` bytes, if they can be read.
    pub(crate) fn hash(self, domain: &Domain, len: u64) -> Option<u64> {
        let mut hasher = XxHash64::with_seed(0);
        let done = self.each(domain, 0, len, |_, piece| {
            hasher.write(piece);
            true
        });
        done.then(|| hasher.finish())
    }

    /// The offset of the first byte among `from..to` that is not zero; `None` if all are. `Err` if they cannot be read.
    pub(crate) fn nonzero(self, domain: &Domain, from: u64, to: u64) -> Result<Option<u64>, ()> {
        let mut first = None;
        let done = self.each(domain, from, to, |at, piece| {
            first = piece.iter().position(|byte| *byte != 0).map(|inside| at + inside as u64);
            first.is_none()
        });
        if done { Ok(first) } else { Err(()) }
    }
}

/// Copies a page of 64-bit words out.
pub(crate) fn copy_words(from: u64, to: &mut [u64; 512]) {
    copy(from, to.as_mut_bytes());
}
