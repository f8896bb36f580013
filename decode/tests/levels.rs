//! What encoders make of real code decodes to that code, by each path.
#![allow(clippy::expect_used, reason = "a step that fails is a test that fails")]

use ::lz4::block::CompressionMode;
use ::zstd::bulk::Compressor;
use ::zstd::zstd_safe::{CParameter, Strategy};
use decode::zstd::Tables;
use decode::{Path, lz4, zstd};

/// A part of a program, which is this one.
fn program(skip: usize, len: usize) -> Vec<u8> {
    let file = std::env::current_exe().and_then(std::fs::read).expect("this program's file");
    file.into_iter().skip(skip).take(len).collect()
}

/// A frame as packs have them.
fn frame(content: &[u8], parameters: &[CParameter]) -> Vec<u8> {
    let window = content.len().next_power_of_two().ilog2().max(10);
    let always = [CParameter::WindowLog(window), CParameter::ContentSizeFlag(true), CParameter::ChecksumFlag(true)];
    let mut compressor = Compressor::new(3).expect("a compressor");
    for parameter in parameters.iter().chain(&always) {
        compressor.set_parameter(*parameter).expect("a parameter");
    }
    compressor.compress(content).expect("a frame")
}

fn check(content: &[u8], stored: &[u8], tables: &mut Tables, what: &str) {
    for path in [Path::PLAIN, Path::detect()] {
        let mut decoded = vec![0x5a; content.len()];
        let result = zstd::decode(stored, &mut decoded, tables, path);
        assert_eq!(result, Ok(zstd::Checksum(grammar::checksum(content))), "{what}, {path:?}");
        assert!(decoded == content, "{what}, {path:?}");
    }
}

#[test]
fn every_level_decodes_to_the_same() {
    let mut tables = Tables::new();
    for level in -7..=22 {
        let content = program(30_000 * (level + 8) as usize, if level < 12 { 700_001 } else { 250_001 });
        let stored = frame(&content, &[CParameter::CompressionLevel(level)]);
        check(&content, &stored, &mut tables, &format!("level {level}"));
    }
}

#[test]
fn every_strategy_decodes_to_the_same() {
    use Strategy::{
        ZSTD_btlazy2, ZSTD_btopt, ZSTD_btultra, ZSTD_btultra2, ZSTD_dfast, ZSTD_fast, ZSTD_greedy, ZSTD_lazy,
        ZSTD_lazy2,
    };
    let mut tables = Tables::new();
    let strategies = [
        ZSTD_fast,
        ZSTD_dfast,
        ZSTD_greedy,
        ZSTD_lazy,
        ZSTD_lazy2,
        ZSTD_btlazy2,
        ZSTD_btopt,
        ZSTD_btultra,
        ZSTD_btultra2,
    ];
    for (n, strategy) in strategies.into_iter().enumerate() {
        // Small ones have small tables, and all that is near a limit.
        for len in [0, 1, 2, 7, 60, 300, 1500, 20_000, 131_072, 131_073, 300_000] {
            let content = program(len * 3 + 100_000 * n, len);
            let stored = frame(&content, &[CParameter::Strategy(strategy), CParameter::MinMatch(3 + n as u32 % 4)]);
            check(&content, &stored, &mut tables, &format!("{strategy:?}, {len} bytes"));
        }
    }
}

/// Contents of long repetitions: matches at every short distance, far longer than a copy.
#[test]
fn repetitions_decode_to_the_same() {
    let mut tables = Tables::new();
    for period in 1..40 {
        for len in [100, 5000, 300_000] {
            let content: Vec<u8> = program(50_000, period).into_iter().cycle().take(len).collect();
            let stored = frame(&content, &[CParameter::CompressionLevel(9)]);
            check(&content, &stored, &mut tables, &format!("{len} bytes that repeat {period}"));
            for (by, stored) in blocks(&content) {
                let mut decoded = vec![0x5a; len];
                assert_eq!(lz4::decode(&stored, &mut decoded), Ok(()), "{by}, {len} bytes that repeat {period}");
                assert!(decoded == content, "{by}, {len} bytes that repeat {period}");
            }
        }
    }
}

#[test]
fn blocks_of_lz4_decode_to_the_same() {
    for (n, len) in [0, 1, 4, 5, 11, 12, 13, 14, 60, 63, 64, 65, 100, 1000, 70_000, 2 << 20].into_iter().enumerate() {
        let content = program(100_000 * n, len);
        for (by, stored) in blocks(&content) {
            let mut decoded = vec![0x5a; content.len()];
            assert_eq!(lz4::decode(&stored, &mut decoded), Ok(()), "{by}, {len} bytes");
            assert!(decoded == content, "{by}, {len} bytes");
        }
    }
}

/// The content's blocks by two compressors, one of them at every level that it has.
fn blocks(content: &[u8]) -> Vec<(String, Vec<u8>)> {
    let modes = (2..=12).map(CompressionMode::HIGHCOMPRESSION).chain([CompressionMode::FAST(1)]);
    let block = |mode| (format!("{mode:?}"), ::lz4::block::compress(content, Some(mode), false).expect("a block"));
    modes.map(block).chain([("lz4_flex".to_owned(), lz4_flex::block::compress(content))]).collect()
}
