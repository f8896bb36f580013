//! What is changed in the sample beyond single bytes of the pack. Where it is made anew, its hashes are right, and nothing else
//! need be: a packer's doing, not a transfer's.

use shared::format::{Codec, EncodedFrame};

use crate::Bad;
use crate::sample::{Sample, middle};

// Places in the sample's ELF64 file (System V ABI): the program headers of a note, the image and the filler, and the note.
pub(crate) const LOAD: usize = 64 + 2 * 56;
pub(crate) const P_OFFSET: usize = 8;
pub(crate) const P_PADDR: usize = 24;
pub(crate) const P_MEMSZ: usize = 40;
pub(crate) const NOTE: usize = 64 + 3 * 56;

/// A pack of the kernel with these bytes, by offset in the ELF file.
pub(crate) fn with_kernel(sample: &Sample, patches: &[(usize, &[u8])], says: &str) -> Bad {
    let mut kernel = sample.kernel.clone();
    for (offset, bytes) in patches {
        kernel[*offset..][..bytes.len()].copy_from_slice(bytes);
    }
    let ends = sample.manifest().frames().map(|frame| frame.content);
    let frames = ends.map(|part| as_it_is(&kernel[part.offset() as usize..part.end() as usize])).collect();
    Bad::pack(sample.encode(|content| content.kernel.frames = frames), says)
}

/// A frame that holds these bytes as they are.
fn as_it_is(bytes: &[u8]) -> EncodedFrame {
    EncodedFrame { content_len: bytes.len() as u32, codec: Codec::None, stored: bytes.to_vec() }
}

/// Small frames, so that the kernel can be read, and none of which ends where a segment does.
pub(crate) fn frames_not_cut_at_segments(sample: &Sample) -> Bad {
    let frames = sample.kernel.chunks(10_000).map(as_it_is).collect();
    Bad::pack(sample.encode(|content| content.kernel.frames = frames), "frame is cut wrongly: ")
}

/// Of which the first would have to be decoded for the ELF header.
pub(crate) fn frames_too_large_to_look_into(sample: &Sample) -> Bad {
    let frames = sample.kernel.chunks(1 << 20).map(as_it_is).collect();
    Bad::pack(sample.encode(|content| content.kernel.frames = frames), "frames are cut wrongly: ")
}

pub(crate) fn flipped_frame_of_a_segment(sample: &Sample) -> Bad {
    let n = sample.largest_frame();
    Bad::pack(sample.flip(middle(sample.frame(n))), format!("frame is damaged: frame {n}, "))
}

pub(crate) fn a_frame_that_does_not_decode(sample: &Sample) -> Bad {
    let n = sample.largest_frame();
    let pack = sample.encode(|content| content.kernel.frames[n].stored.truncate(1000));
    Bad::pack(pack, format!("frame does not decode: frame {n} (zstd), "))
}

/// What `zstd` takes as well as any other.
pub(crate) fn a_frame_without_a_checksum(sample: &Sample) -> Bad {
    of_zstd(sample, |content| zstd::bulk::compress(content, 1))
}

/// `zstd` takes them for one.
pub(crate) fn two_frames_in_one(sample: &Sample) -> Bad {
    of_zstd(sample, |content| {
        let (first, second) = content.split_at(content.len() / 2);
        Ok([zstd::encode_all(first, 1)?, zstd::encode_all(second, 1)?].concat())
    })
}

/// The sample with its largest frame as `make` makes it of its content.
fn of_zstd(sample: &Sample, make: impl Fn(&[u8]) -> std::io::Result<Vec<u8>>) -> Bad {
    let n = sample.largest_frame();
    let content = sample.manifest().frames().nth(n).map(|frame| frame.content).unwrap_or_default();
    let frame = make(&sample.kernel[content.offset() as usize..content.end() as usize]).unwrap_or_default();
    let pack = sample.encode(|content| content.kernel.frames[n].stored = frame);
    Bad::pack(pack, format!("frame does not decode: frame {n} (zstd), expected a zstd frame of one segment"))
}

/// A block of 131071 literals and as long a match, behind as much content as there is: 95 bytes that say twice as much as a block may have.
pub(crate) fn a_frame_whose_block_is_too_long(sample: &Sample) -> Bad {
    /// With codec and content length, 2 MiB, in front.
    const INPUT: &[u8] = include_bytes!("../../fuzz/regressions/decode/heap-overshoot-of-one-segment");
    let n = sample.largest_frame();
    let pack = sample.encode(|content| content.kernel.frames[n].stored = INPUT[4..].to_vec());
    Bad::pack(pack, format!("frame does not decode: frame {n} (zstd), expected a zstd block within the content"))
}

pub(crate) fn an_option_in_the_pack(sample: &Sample) -> Bad {
    let pack = sample.encode(|content| content.cmdline = Some("quiet stage0.quiet".to_owned()));
    Bad::pack(pack, "option for stage0 in a pack: ")
}
