//! The decoders, by name.

use alloc::boxed::Box;
use alloc::vec::Vec;

use decode::zstd::Tables;
use decode::{Path, lz4, zstd};
use ruzstd::decoding::FrameDecoder;

/// Decodes a frame to its content's place, and says whether it could.
type Decoder = fn(&[u8], &mut [u8]) -> bool;

pub(crate) fn find(name: &[u8]) -> Result<Decoder, &'static str> {
    Ok(match name {
        b"zstd" => |stored, content| zstd(stored, content, Path::PLAIN),
        b"zstd-bmi2" => |stored, content| zstd(stored, content, Path::detect()),
        b"lz4" => |stored, content| lz4::decode(stored, content).is_ok(),
        b"lz4_flex" => |stored, content| lz4_flex::block::decompress_into(stored, content).is_ok(),
        b"ruzstd" => ruzstd,
        b"zrip" => zrip,
        b"none" => |_, _| true,
        _ => return Err("there is no such decoder"),
    })
}

fn zstd(stored: &[u8], content: &mut [u8], path: Path) -> bool {
    let mut tables = Tables::new();
    zstd::decode(stored, content, &mut tables, path).is_ok()
}

fn ruzstd(stored: &[u8], content: &mut [u8]) -> bool {
    FrameDecoder::new().decode_all(stored, content).is_ok()
}

fn zrip(stored: &[u8], content: &mut [u8]) -> bool {
    let mut to = Vec::with_capacity(content.len() + 64);
    let mut context = Box::new(zrip_decode::context::DecompressContext::new());
    let decoded = context.decompress_into(stored, &mut to).is_ok();
    content.copy_from_slice(&to);
    decoded
}
