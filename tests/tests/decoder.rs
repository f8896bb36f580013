//! Every level of zstd and LZ4 over parts of the distribution's kernels, by each path of the decoder and by others.

use decode::zstd::Checksum;
use grammar::others::{Others, compare_lz4};
use harness::kernels;
use harness::trial::{self, Trouble, check};
use lz4::block::CompressionMode;
use pack::open;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

fn main() {
    trial::main(vec![trial::test("kernels_decode_as_they_were", kernels_decode)])
}

/// Of each kernel other parts for each level, so that all take little time together.
fn kernels_decode() -> Result<(), Trouble> {
    const PART: usize = 256 << 10;
    let mut others = Others::default();
    let kernels = kernels::all()?;
    check(!kernels.is_empty(), "there is a kernel")?;
    for (n, kernel) in kernels.iter().enumerate() {
        let elf = open::open(&kernel.vmlinuz).map_err(|error| error.to_string())?.elf;
        let parts: Vec<&[u8]> = elf.chunks(PART).collect();
        for (k, level) in (-7..=22).enumerate() {
            let part = parts[(k * 7 + n * 3) % parts.len()];
            let mut compressor = Compressor::new(level)?;
            compressor.set_parameter(CParameter::WindowLog(PART.ilog2()))?;
            compressor.set_parameter(CParameter::ChecksumFlag(true))?;
            let stored = compressor.compress(part)?;
            let compared = others.compare(&stored, part.len());
            let expected = Some(Ok(Checksum(grammar::checksum(part))));
            check(compared.ours == expected, format!("{}, level {level}: {compared:?}", kernel.release))?;
            check(compared.libzstd && compared.ruzstd, format!("{}, level {level}: others", kernel.release))?;
            // Its fast compressor and each level of the high one.
            let level = 1 + (k as i32 + n as i32) % 12;
            let mode = if level == 1 { CompressionMode::FAST(1) } else { CompressionMode::HIGHCOMPRESSION(level) };
            for block in [lz4_flex::block::compress(part), lz4::block::compress(part, Some(mode), false)?] {
                check(compare_lz4(&block, part.len()).is_ok(), format!("{}, lz4, {mode:?}", kernel.release))?;
            }
        }
    }
    Ok(())
}
