//! Physical memory, read through the entry's 1:1 map.

use zerocopy::FromBytes;

/// Bytes that the entry maps 1:1.
const MAPPED: u64 = 1 << 32;

/// The `len` bytes from `address` on, or `None` where the 1:1 map does not reach, or where Rust allows no reference: at 0.
pub(crate) fn bytes(address: u64, len: u64) -> Option<&'static [u8]> {
    if address == 0 || address.checked_add(len)? > MAPPED {
        return None;
    }
    // SAFETY: 1. the range is mapped, does not begin at 0 and does not wrap; 2. any bytes are valid u8s; 3. there is one
    // CPU and no device that writes memory, and the probe itself writes nothing but its .bss, which nobody asks for
    // through here after `main` began.
    Some(unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) })
}

/// A wire structure at `address`, of whatever alignment.
pub(crate) fn read<T: FromBytes>(address: u64) -> Option<T> {
    T::read_from_bytes(bytes(address, size_of::<T>() as u64)?).ok()
}

/// The address of the first byte from `start` up to `end` that is not zero. `Err` where memory cannot be read.
pub(crate) fn first_nonzero(start: u64, end: u64) -> Result<Option<u64>, ()> {
    if start >= end {
        return Ok(None);
    }
    let all = bytes(start, end - start).ok_or(())?;
    const STEP: usize = 4096;
    for (number, chunk) in all.chunks(STEP).enumerate() {
        if is_zero(chunk) {
            continue;
        }
        let inside = chunk.iter().position(|byte| *byte != 0).unwrap_or(0);
        return Ok(Some(start + (number * STEP + inside) as u64));
    }
    Ok(None)
}

fn is_zero(chunk: &[u8]) -> bool {
    let (words, rest) = chunk.as_chunks::<8>();
    words.iter().all(|word| u64::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}
