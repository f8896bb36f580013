//! Compresses a kernel's frames, over as many threads as wished; the result does not depend on how many.

use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lz4::block::CompressionMode;
use shared::format::{Codec, EncodedFrame, MAX_FRAME_LEN, zstd_blocks};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::decode;

/// How hard a codec may try: the more, the smaller a pack and the longer packing takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Levels {
    /// The quickest.
    pub least: i32,
    /// That which makes the smallest packs.
    pub most: i32,
    /// That which is used if none is given.
    pub default: i32,
}

impl Levels {
    /// zstd's. Those above the default make hardly smaller packs.
    pub const ZSTD: Self = Self { least: 1, most: 22, default: 19 };

    /// lz4's, as its own program counts them: the first is the fast compressor, the others are the high compressor's.
    pub const LZ4: Self = Self { least: 1, most: 12, default: 12 };

    /// Those of `codec`, if it has any.
    pub const fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Zstd => Some(Self::ZSTD),
            Codec::Lz4 => Some(Self::LZ4),
            Codec::None => None,
        }
    }
}

/// How frames are compressed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The codec. zstd is used for every frame, lz4 only where it makes one smaller.
    pub codec: Codec,
    /// One of the codec's [`Levels`], or the nearest is used; without meaning for a codec that has none.
    pub level: i32,
    /// Threads to use.
    pub threads: NonZero<usize>,
}

impl Settings {
    /// `codec` at its default level, on every core that this process may use.
    pub fn of(codec: Codec) -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self { codec, level: Levels::of(codec).map_or(0, |levels| levels.default), threads }
    }

    /// For a pack that is started once: what takes the least time to make and to start together.
    pub fn quick() -> Self {
        Self { level: Levels::LZ4.least, ..Self::of(Codec::Lz4) }
    }
}

impl Default for Settings {
    /// zstd at its default level, on every core that this process may use.
    fn default() -> Self {
        Self::of(Codec::Zstd)
    }
}

/// What is told of the work done so far: bytes of the kernel compressed since the last call. Called from any thread.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// Why there are no frames.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// A compressor has no memory, or a piece lies outside of the kernel.
    #[error("cannot be compressed: {0}")]
    Compressor(#[from] io::Error),
    /// A frame just made does not decode to what went in.
    #[error("cannot be compressed: {} frame, expected the {len} bytes that went in, found other when decoded: report it", codec.name())]
    Misread {
        /// Its codec.
        codec: Codec,
        /// Bytes that went in.
        len: usize,
    },
}

/// Compresses each of `pieces`, ranges of `elf` one after the other, as [`crate::cut::pieces`] gives them. Each frame is decoded
/// again, as those of packs are.
///
/// # Errors
/// A compressor has no memory, a piece lies outside of `elf`, or a frame does not decode to its piece.
pub fn frames(
    elf: &[u8],
    pieces: &[Range<u64>],
    settings: Settings,
    progress: Progress<'_>,
) -> Result<Vec<EncodedFrame>, CompressError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, EncodedFrame)>, CompressError> {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(index) else { return Ok(done) };
            let content = content(elf, piece)?;
            let frame = frame(content, settings)?;
            prove(&frame, content)?;
            done.push((index, frame));
            progress(piece.end - piece.start);
        }
    };
    let mut frames = Vec::with_capacity(pieces.len());
    thread::scope(|scope| {
        let threads = settings.threads.get().min(pieces.len());
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            // A thread that panicked has said so; the panic goes on here.
            frames.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok::<_, CompressError>(())
    })?;
    frames.sort_unstable_by_key(|(index, _)| *index);
    Ok(frames.into_iter().map(|(_, frame)| frame).collect())
}

/// The bytes of `elf` in `piece`.
fn content<'a>(elf: &'a [u8], piece: &Range<u64>) -> io::Result<&'a [u8]> {
    let start = usize::try_from(piece.start).map_err(io::Error::other)?;
    let end = usize::try_from(piece.end).map_err(io::Error::other)?;
    elf.get(start..end).ok_or_else(|| io::Error::other("a piece lies outside of the kernel"))
}

/// Whether all that decode `frame` get `content` from it.
fn prove(frame: &EncodedFrame, content: &[u8]) -> Result<(), CompressError> {
    let mut decoded = vec![0; content.len()];
    match decode::frame(frame.codec, &frame.stored, &mut decoded) {
        Ok(()) if decoded == content => Ok(()),
        _ => Err(CompressError::Misread { codec: frame.codec, len: content.len() }),
    }
}

/// One frame of `content`, which is at most 2 MiB.
fn frame(content: &[u8], settings: Settings) -> io::Result<EncodedFrame> {
    let content_len = u32::try_from(content.len()).map_err(io::Error::other)?;
    let plain = || EncodedFrame { content_len, codec: Codec::None, stored: content.to_vec() };
    Ok(match settings.codec {
        Codec::None => plain(),
        Codec::Lz4 => {
            let stored = lz4_block(content, settings.level)?;
            if stored.len() < content.len() { EncodedFrame { content_len, codec: Codec::Lz4, stored } } else { plain() }
        }
        Codec::Zstd => EncodedFrame { content_len, codec: Codec::Zstd, stored: zstd_frame(content, settings.level)? },
    })
}

/// An LZ4 block without a frame around it. The library cannot say why it makes none: it lacks memory, for content is never too long.
fn lz4_block(content: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mode = match level.clamp(Levels::LZ4.least, Levels::LZ4.most) {
        1 => CompressionMode::FAST(1),
        level => CompressionMode::HIGHCOMPRESSION(level),
    };
    lz4::block::compress(content, Some(mode), false)
}

/// A zstd frame that a pack may have. From level 16 on, libzstd splits content whose parts differ much into more blocks than that;
/// up to 15 it makes at most 16 of a block.
fn zstd_frame(content: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let level = level.clamp(Levels::ZSTD.least, Levels::ZSTD.most);
    let frame = compressed(content, level)?;
    if zstd_blocks(&frame).is_some() { Ok(frame) } else { compressed(content, level.min(15)) }
}

/// A zstd frame of a single segment with a content size and a checksum. The compressor is a new one for each frame, so that
/// nothing of the frame before can show in it.
fn compressed(content: &[u8], level: i32) -> io::Result<Vec<u8>> {
    /// What libzstd takes (ZSTD_WINDOWLOG_MIN), and what covers the largest content.
    const WINDOW_LOGS: (u32, u32) = (10, MAX_FRAME_LEN.ilog2());

    // A window as large as the content makes it a single segment.
    let window_log = content.len().next_power_of_two().ilog2().clamp(WINDOW_LOGS.0, WINDOW_LOGS.1);
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::WindowLog(window_log))?;
    compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut;

    fn content_of(len: usize) -> Vec<u8> {
        (0..len).map(|n| ((n / 7) ^ (n / 4093)) as u8).collect()
    }

    fn compressed_by(elf: &[u8], codec: Codec, threads: usize) -> Vec<EncodedFrame> {
        let settings = Settings { codec, level: 3, threads: NonZero::new(threads).unwrap() };
        let pieces = cut::pieces(elf.len() as u64, [64, 1000]);
        frames(elf, &pieces, settings, &|_| {}).unwrap()
    }

    #[test]
    fn the_result_does_not_depend_on_the_threads() {
        let elf = content_of(9 << 20);
        for codec in [Codec::Zstd, Codec::Lz4, Codec::None] {
            let one = compressed_by(&elf, codec, 1);
            for threads in [2, 3, 64] {
                let many = compressed_by(&elf, codec, threads);
                assert_eq!(one.len(), many.len());
                assert!(one.iter().zip(&many).all(|(a, b)| a.stored == b.stored && a.codec == b.codec));
            }
        }
    }

    /// 2 MiB of short matches among a few letters, of which every 800 bytes have others.
    fn mixed() -> Vec<u8> {
        let mut state = 1u64;
        let mut below = move |bound: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % bound) as usize
        };
        let mut content: Vec<u8> = (0..4096).map(|_| below(256) as u8).collect();
        while content.len() < MAX_FRAME_LEN as usize {
            let letters: Vec<u8> = (0..8).map(|_| below(256) as u8).collect();
            let (near, len, end) = (32 << below(7), 4 + below(3), content.len() + 800);
            while content.len() < end {
                content.extend((0..4).map(|_| letters[below(8)]));
                let from = content.len().saturating_sub(near + below(near as u64));
                content.extend_from_within(from..from + len);
            }
        }
        content.truncate(MAX_FRAME_LEN as usize);
        content
    }

    #[test]
    fn every_zstd_frame_is_as_the_format_wants_it() {
        let too_many = mixed();
        assert!(zstd_blocks(&compressed(&too_many, 19).unwrap()).is_none(), "not so many blocks");
        for content in [content_of(2 << 20), content_of(100), too_many] {
            for level in [1, 3, 15, 16, 19, 22] {
                let frame = frame(&content, Settings { codec: Codec::Zstd, level, ..Settings::default() }).unwrap();
                assert_eq!(frame.codec, Codec::Zstd);
                assert!(prove(&frame, &content).is_ok(), "level {level}");
            }
        }
    }

    /// Two kinds of content, around the lengths at which LZ4's last bytes have rules of their own.
    fn contents() -> Vec<Vec<u8>> {
        let (lens, mixed) = ([1, 4, 5, 11, 12, 13, 14, 64, 100, 4096, 70_000, 300_000], mixed());
        lens.into_iter().flat_map(|len| [content_of(len), mixed[4096..4096 + len].to_vec()]).collect()
    }

    #[test]
    fn every_level_of_each_codec_round_trips() {
        for content in contents() {
            for codec in [Codec::Zstd, Codec::Lz4] {
                let Levels { least, most, default } = Levels::of(codec).unwrap();
                assert!((least..=most).contains(&default) && Settings::of(codec).level == default);
                for level in least..=most {
                    let frame = frame(&content, Settings { level, ..Settings::of(codec) }).unwrap();
                    assert!(frame.stored.len() <= content.len() + 40, "{codec:?} {level}: {}", content.len());
                    prove(&frame, &content).unwrap_or_else(|error| panic!("level {level}: {error}"));
                }
            }
        }
    }

    #[test]
    fn higher_levels_make_smaller_frames_and_none_is_beyond_the_last() {
        let content = mixed();
        for codec in [Codec::Zstd, Codec::Lz4] {
            let Levels { least, most, .. } = Levels::of(codec).unwrap();
            let stored = |level| frame(&content, Settings { level, ..Settings::of(codec) }).unwrap().stored;
            assert!(stored(most).len() < stored(least).len(), "{codec:?}");
            assert!(stored(most) == stored(i32::MAX) && stored(least) == stored(i32::MIN), "{codec:?}");
        }
    }

    #[test]
    fn a_frame_of_other_content_than_went_in_is_never_written() {
        let content = content_of(5000);
        for codec in [Codec::Zstd, Codec::Lz4, Codec::None] {
            let whole = frame(&content, Settings { codec, level: 3, ..Settings::default() }).unwrap();
            prove(&whole, &content).unwrap();
            for other in [&[content[0] ^ 1], &content[1..]].map(|start| [start, &content[start.len()..]].concat()) {
                let error = prove(&whole, &other).unwrap_err().to_string();
                let what =
                    format!("cannot be compressed: {} frame, expected the 5000 bytes that went in", codec.name());
                assert!(error.starts_with(&what), "{error}");
            }
            let cut = EncodedFrame { stored: whole.stored[..whole.stored.len() - 1].to_vec(), ..whole };
            prove(&cut, &content).unwrap_err();
        }
    }

    #[test]
    fn what_cannot_be_made_smaller_is_stored_as_the_codec_asks() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u8
        })
        .take(100_000)
        .collect();
        assert!(compressed_by(&noise, Codec::Zstd, 1).iter().all(|frame| frame.codec == Codec::Zstd));
        assert!(compressed_by(&noise, Codec::Lz4, 1).iter().all(|frame| frame.codec == Codec::None));
    }

    #[test]
    fn progress_adds_up_to_the_kernel() {
        let elf = content_of(5 << 20);
        let seen = std::sync::atomic::AtomicU64::new(0);
        let pieces = cut::pieces(elf.len() as u64, [100]);
        let settings = Settings { level: 1, ..Settings::default() };
        frames(&elf, &pieces, settings, &|bytes| _ = seen.fetch_add(bytes, Ordering::Relaxed)).unwrap();
        assert_eq!(seen.into_inner(), elf.len() as u64);
    }
}
