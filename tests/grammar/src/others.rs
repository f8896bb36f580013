//! What other decoders make of a frame or a block, compared with what ours does.

use ::zstd::zstd_safe::{DCtx, DParameter};
use decode::lz4::BlockError;
use decode::zstd::{Checksum, FrameError, Tables};
use decode::{Path, lz4, zstd as ours};
use ruzstd::decoding::FrameDecoder;

/// The other decoders of zstd, and tables for ours; to be used for any number of frames.
pub struct Others {
    libzstd: DCtx<'static>,
    ruzstd: FrameDecoder,
    tables: Tables,
}

/// What `lz4_flex` makes of a block whose content is as long as `room`.
pub fn lz4_flex(stored: &[u8], room: &mut [u8]) -> bool {
    lz4_flex::block::decompress_into(stored, room).is_ok_and(|len| len == room.len())
}

/// What has been compared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// Whether there is a compressed block in the frame.
    pub compressed: bool,
    /// What ours makes of it.
    pub ours: Option<Result<Checksum, FrameError>>,
    /// Whether libzstd decodes it.
    pub libzstd: bool,
    /// Whether ruzstd decodes it.
    pub ruzstd: bool,
}

/// The errors of ours for which libzstd is known to decode some frames (docs/decoder.md).
pub const LIBZSTD_TAKES: [FrameError; 4] =
    [FrameError::CodesLong, FrameError::LiteralsStream, FrameError::TableEnd, FrameError::TableSingle];
/// The same of ruzstd.
pub const RUZSTD_TAKES: [FrameError; 7] = [
    FrameError::CodesLong,
    FrameError::CodesMany,
    FrameError::CodesShort,
    FrameError::CodesStream,
    FrameError::LiteralsStream,
    FrameError::Modes,
    FrameError::TableSingle,
];

impl Default for Others {
    fn default() -> Self {
        let mut libzstd = DCtx::create();
        let ignored = libzstd.set_parameter(DParameter::ForceIgnoreChecksum(true));
        assert!(ignored.is_ok(), "libzstd compares checksums");
        Self { libzstd, ruzstd: FrameDecoder::new(), tables: Tables::new() }
    }
}

impl Others {
    /// Whether libzstd decodes a frame to as many bytes as `room` has.
    pub fn libzstd(&mut self, stored: &[u8], room: &mut [u8]) -> bool {
        self.libzstd.decompress(room, stored) == Ok(room.len())
    }

    /// Whether ruzstd does.
    pub fn ruzstd(&mut self, stored: &[u8], room: &mut [u8]) -> bool {
        self.ruzstd.decode_all(stored, room).is_ok_and(|len| len == room.len())
    }

    /// Decodes a frame whose content is `len` bytes, by each path of ours and by the others.
    ///
    /// # Panics
    /// The paths of ours differ, or another decoder makes something else of the frame, and it is not known why.
    pub fn compare(&mut self, stored: &[u8], len: usize) -> Compared {
        let (mut content, mut other) = (vec![0x11; len], vec![0x22; len]);
        let result = ours::decode(stored, &mut content, &mut self.tables, Path::PLAIN);
        let by_bmi2 = ours::decode(stored, &mut other, &mut self.tables, Path::detect());
        assert_eq!(result, by_bmi2, "plain and BMI2");
        if result.is_ok() {
            assert!(content == other, "plain and BMI2 decode to different content");
        }
        let mut compared = Compared { compressed: has_compressed(stored), ours: Some(result), ..Compared::default() };
        if matches!(
            result,
            Err(FrameError::Magic | FrameError::Properties | FrameError::Size { .. } | FrameError::Blocks)
        ) {
            // What a pack's frame may not be, others take.
            return compared;
        }
        let check = |name: &str, decoded: bool, other: &[u8], known: &[FrameError]| match result {
            Ok(_) => assert!(decoded && content == other, "{name} refuses a frame or decodes it to something else"),
            Err(error) => assert!(!decoded || known.contains(&error), "{name} decodes what is refused for {error:?}"),
        };
        other.fill(0x33);
        compared.libzstd = self.libzstd(stored, &mut other);
        check("libzstd", compared.libzstd, &other, &LIBZSTD_TAKES);
        other.fill(0x44);
        compared.ruzstd = self.ruzstd(stored, &mut other);
        check("ruzstd", compared.ruzstd, &other, &RUZSTD_TAKES);
        compared
    }
}

/// Whether the headers of blocks name a compressed one.
fn has_compressed(stored: &[u8]) -> bool {
    let Some(descriptor) = stored.get(4) else { return false };
    let mut at = 5 + (1 << (descriptor >> 6));
    while let Some(header) = stored.get(at..).and_then(|rest| rest.first_chunk::<3>()) {
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        match header >> 1 & 3 {
            2 => return true,
            1 => at += 4,
            _ => at += 3 + (header >> 3) as usize,
        }
        if header & 1 != 0 {
            break;
        }
    }
    false
}

/// Decodes a block of LZ4 whose content is `len` bytes, and says whether it could.
///
/// # Panics
/// `lz4_flex` makes something else of the block, and it is not that ours wants the block's end as the specification has it.
pub fn compare_lz4(stored: &[u8], len: usize) -> Result<(), BlockError> {
    let (mut content, mut other) = (vec![0x11; len], vec![0x22; len]);
    let result = lz4::decode(stored, &mut content);
    let decoded = lz4_flex(stored, &mut other);
    match result {
        Ok(()) => assert!(decoded && content == other, "lz4_flex refuses a block or decodes it to something else"),
        Err(error) => assert!(!decoded || error == BlockError::End, "lz4_flex decodes what is refused for {error:?}"),
    }
    result
}
