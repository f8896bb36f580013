//! lzop's file format around LZO1X blocks (lzop's own source, src/lzop.c and src/conf.h; Linux' lib/decompress_unlzo.c).
//! All numbers are big endian.

use std::io::{self, Read};

/// What a file begins with.
pub(super) const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";

/// The lowest version of the format that has the fields read here; written by every lzop since 1997.
const OLDEST: u16 = 0x0940;

/// Bits of the header's flags.
mod flag {
    /// Each block has the Adler-32 of its decoded bytes.
    pub(super) const ADLER32_DECODED: u32 = 1;
    /// Each compressed block has the Adler-32 of its stored bytes.
    pub(super) const ADLER32_STORED: u32 = 1 << 1;
    /// An extra field follows the header.
    pub(super) const EXTRA_FIELD: u32 = 1 << 6;
    /// Each block has the CRC-32 of its decoded bytes.
    pub(super) const CRC32_DECODED: u32 = 1 << 8;
    /// Each compressed block has the CRC-32 of its stored bytes.
    pub(super) const CRC32_STORED: u32 = 1 << 9;
    /// A filter was applied before compression: never to a kernel.
    pub(super) const FILTER: u32 = 1 << 11;
}

/// Most bytes in a block, as lzop has it (MAX_BLOCK_SIZE, 64 MiB).
const MAX_BLOCK: u32 = 64 << 20;

/// Reads a stream that is decoded block by block.
pub(super) struct Blocks<F> {
    next: F,
    block: Vec<u8>,
    read: usize,
}

impl<F: FnMut(&mut Vec<u8>) -> io::Result<bool>> Blocks<F> {
    /// `next` puts the next block's bytes into its argument, or says that there is none.
    pub(super) const fn new(next: F) -> Self {
        Self { next, block: Vec::new(), read: 0 }
    }
}

impl<F: FnMut(&mut Vec<u8>) -> io::Result<bool>> Read for Blocks<F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            self.read = 0;
            self.block.clear();
            if !(self.next)(&mut self.block)? {
                self.block.clear();
                return Ok(0);
            }
        }
        let some = self.block[self.read..].as_ref().read(out)?;
        self.read += some;
        Ok(some)
    }
}

/// A decoder of the file that `input` begins with.
pub(super) fn reader<'a, 'i>(input: &'a mut &'i [u8]) -> io::Result<impl Read + use<'a, 'i>> {
    let flags = header(input)?;
    Ok(Blocks::new(move |block: &mut Vec<u8>| next_block(input, flags, block)))
}

/// Reads the header; gives its flags.
fn header(input: &mut &[u8]) -> io::Result<u32> {
    *input = input.strip_prefix(MAGIC).ok_or(io::ErrorKind::UnexpectedEof)?;
    let version = u16::from_be_bytes(take(input)?);
    if version < OLDEST {
        return Err(io::Error::other("written by an lzop older than 0.940"));
    }
    let [_library, _needed]: [u16; 2] = [u16::from_be_bytes(take(input)?), u16::from_be_bytes(take(input)?)];
    let [method, _level] = take(input)?;
    if !(1..=3).contains(&method) {
        return Err(io::Error::other("the method is not LZO1X"));
    }
    let flags = u32::from_be_bytes(take(input)?);
    if flags & flag::FILTER != 0 {
        return Err(io::Error::other("a filter was applied"));
    }
    // Mode, and the time of modification in two halves.
    let _: [u8; 12] = take(input)?;
    let [name] = take(input)?;
    skip(input, usize::from(name))?;
    let _checksum: [u8; 4] = take(input)?;
    if flags & flag::EXTRA_FIELD != 0 {
        let extra = u32::from_be_bytes(take(input)?);
        // And its checksum.
        skip(input, extra as usize)?;
        skip(input, 4)?;
    }
    Ok(flags)
}

/// Decodes the block that `input` begins with; `false` at the end mark.
fn next_block(input: &mut &[u8], flags: u32, block: &mut Vec<u8>) -> io::Result<bool> {
    let decoded_len = u32::from_be_bytes(take(input)?);
    if decoded_len == 0 {
        return Ok(false);
    }
    let stored_len = u32::from_be_bytes(take(input)?);
    if decoded_len > MAX_BLOCK || stored_len > decoded_len {
        return Err(io::Error::other("a block is longer than the format allows"));
    }
    let compressed = stored_len < decoded_len;
    let adler_decoded = checksum(input, flags & flag::ADLER32_DECODED != 0)?;
    let crc_decoded = checksum(input, flags & flag::CRC32_DECODED != 0)?;
    let adler_stored = checksum(input, compressed && flags & flag::ADLER32_STORED != 0)?;
    let crc_stored = checksum(input, compressed && flags & flag::CRC32_STORED != 0)?;
    let (stored, rest) = input.split_at_checked(stored_len as usize).ok_or(io::ErrorKind::UnexpectedEof)?;
    *input = rest;
    check(stored, adler_stored, crc_stored)?;
    if compressed {
        block.resize(decoded_len as usize, 0);
        let decoded = lzokay::decompress::decompress(stored, block).map_err(io::Error::other)?;
        if decoded != block.len() {
            return Err(io::Error::other("a block is shorter than it says"));
        }
    } else {
        block.extend_from_slice(stored);
    }
    check(block, adler_decoded, crc_decoded)?;
    Ok(true)
}

/// Reads a checksum if there is one.
fn checksum(input: &mut &[u8], present: bool) -> io::Result<Option<u32>> {
    present.then(|| take(input).map(u32::from_be_bytes)).transpose()
}

/// Compares `bytes` with those checksums that there are.
fn check(bytes: &[u8], adler32: Option<u32>, crc32: Option<u32>) -> io::Result<()> {
    let crc = || {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    };
    if adler32.is_some_and(|expected| expected != adler2::adler32_slice(bytes))
        || crc32.is_some_and(|expected| expected != crc())
    {
        return Err(io::Error::other("a block's checksum is wrong"));
    }
    Ok(())
}

fn take<const N: usize>(input: &mut &[u8]) -> io::Result<[u8; N]> {
    let (bytes, rest) = input.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    *input = rest;
    Ok(*bytes)
}

fn skip(input: &mut &[u8], len: usize) -> io::Result<()> {
    *input = input.get(len..).ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(())
}
