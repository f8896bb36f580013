//! zstd frames that are malformed in a way that decoders differ in: a block's literals are in four streams, of which each must hold a
//! quarter of them (RFC 8878, 3.1.1.3.1.6), and end with its last bit (4.2.2). Here the streams hold more or fewer, and the sum is
//! right. A decoder that reads each stream to its end makes one content of it, one that counts makes another. In the last stream are
//! eight literals too many, which only the former sees: they are chosen so that the frame's 32-bit checksum fits both contents.
//!
//! And a kernel that tells which of the contents it has in memory.

use sha2::{Digest, Sha256};
use shared::format::{Codec, EncodedFrame, EncodedKernel, PackContent};
use shared::kernel::{Decisions, Kernel, SliceFile};

/// How a frame is malformed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Where random numbers begin.
    pub(crate) seed: u64,
    /// Literals of a quarter: a multiple of 8, and 2.
    pub(crate) quarter: usize,
    /// How many more the first three streams hold, together at most -8.
    pub(crate) more: [isize; 3],
    /// Which symbols there are.
    pub(crate) code: Code,
}

/// A Huffman code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    /// 128 symbols of 7 bits.
    Seven,
    /// 64 symbols of 6 bits.
    Six,
    /// One of a bit, and 64 of 7.
    Uneven,
}

impl Code {
    /// The weight of each symbol, the last of which a frame leaves out (RFC 8878, 4.2.1).
    fn weights(self) -> Vec<u8> {
        match self {
            Self::Seven => vec![1; 128],
            Self::Six => vec![1; 64],
            Self::Uneven => [&[7][..], &[1; 64]].concat(),
        }
    }

    /// The first of the symbols that have the longest codes.
    fn first(self) -> u8 {
        u8::from(self == Self::Uneven)
    }

    /// Code and bits of each symbol.
    fn codes(self) -> Vec<(u64, u32)> {
        let weights = self.weights();
        let most = weights.iter().map(|weight| 1_u64 << (weight - 1)).sum::<u64>().ilog2();
        let mut codes = vec![(0, 0); weights.len()];
        let mut next = 0_u64;
        for weight in 1..=7 {
            for symbol in (0..weights.len()).filter(|symbol| weights[*symbol] == weight) {
                codes[symbol] = (next >> (weight - 1), most + 1 - u32::from(weight));
                next += 1 << (weight - 1);
            }
        }
        codes
    }
}

/// Ten frames and more, each malformed in another way.
pub(crate) fn shapes() -> Vec<Shape> {
    let codes = [Code::Seven, Code::Six, Code::Uneven];
    let more = [[-8, 0, 0], [0, -8, 0], [0, 0, -8], [-24, 8, 8], [-3, -3, -2], [-1, -5, -40]];
    let quarters = [514, 2050, 10_002];
    (0..12).map(|n| Shape { seed: n as u64, quarter: quarters[n % 3], more: more[n % 6], code: codes[n % 3] }).collect()
}

/// A malformed frame.
pub(crate) struct Malformed {
    /// The frame.
    pub(crate) stored: Vec<u8>,
    /// What it is to a decoder that reads each stream to its end.
    pub(crate) by_streams: Vec<u8>,
    /// What it is to libzstd, if that takes it, which depends on the processor: only its quicker loop does.
    pub(crate) by_counts: Option<Vec<u8>>,
}

/// The frame of a shape.
pub(crate) fn malformed(shape: &Shape) -> Malformed {
    let Shape { seed, quarter, more, code } = *shape;
    assert!(quarter % 8 == 2 && more.iter().sum::<isize>() <= -8);
    let mut random = random(seed);
    let (first, symbols) = (code.first(), code.weights().len() as u64);
    let mut content: Vec<u8> = (0..4 * quarter).map(|_| (random() % symbols) as u8).collect();
    let mut lengths = more.map(|more| quarter.strict_add_signed(more)).to_vec();
    lengths.push(4 * quarter - lengths.iter().sum::<usize>());
    let free = content.len() - 8;
    content[free..].fill(first);
    let by_counts = zstd::bulk::decompress(&frame(&content, &lengths, code, None), content.len()).ok();
    if let Some(other) = &by_counts {
        let state = state(&content);
        let number = loop {
            let hash = u64::from(checksum(other)) | random() << 32;
            let number = number_for(hash, state);
            if number.to_le_bytes().iter().all(|byte| *byte >= first && u64::from(*byte) < symbols) {
                break number;
            }
        };
        content[free..].copy_from_slice(&number.to_le_bytes());
        assert_eq!(checksum(&content), checksum(other));
    }
    let stored = frame(&content, &lengths, code, Some(checksum(&content)));
    let found = zstd::bulk::decompress(&stored, content.len()).ok();
    assert!(found == by_counts && by_counts.as_ref() != Some(&content), "{shape:?}: not what it should be");
    Malformed { stored, by_streams: content, by_counts }
}

/// Random numbers of 32 bits.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 32
    }
}

/// A frame of one block, of literals only, in streams of `lengths` (RFC 8878, 3.1.1).
fn frame(content: &[u8], lengths: &[usize], code: Code, checksum: Option<u32>) -> Vec<u8> {
    let codes = code.codes();
    let mut rest = content;
    let streams: Vec<Vec<u8>> = lengths.iter().map(|len| stream(rest.split_off(..*len).unwrap(), &codes)).collect();
    let mut literals = tree(&code.weights());
    for stream in &streams[..3] {
        literals.extend(u16::try_from(stream.len()).unwrap().to_le_bytes());
    }
    literals.extend(streams.concat());
    // Compressed literals, both sizes in 18 bits.
    let header = 2 | 3 << 2 | (content.len() as u64) << 4 | (literals.len() as u64) << 22;
    let block = [&header.to_le_bytes()[..5], &literals, &[0]].concat();
    let mut frame = 0xfd2f_b528_u32.to_le_bytes().to_vec();
    // A single segment, its size in four bytes.
    frame.push(0xa0 | u8::from(checksum.is_some()) << 2);
    frame.extend((content.len() as u32).to_le_bytes());
    frame.extend(&(1 | 2 << 1 | (block.len() as u32) << 3).to_le_bytes()[..3]);
    frame.extend(block);
    frame.extend(checksum.iter().flat_map(|checksum| checksum.to_le_bytes()));
    frame
}

/// The description of a code: its weights as they are, but for the last.
fn tree(weights: &[u8]) -> Vec<u8> {
    let given = &weights[..weights.len() - 1];
    let pair = |pair: &[u8]| pair[0] << 4 | pair.get(1).copied().unwrap_or(0);
    [127 + given.len() as u8].into_iter().chain(given.chunks(2).map(pair)).collect()
}

/// Bits that are read from the end.
fn stream(symbols: &[u8], codes: &[(u64, u32)]) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u64, 0);
    for (code, len) in symbols.iter().rev().map(|symbol| codes[usize::from(*symbol)]).chain([(1, 1)]) {
        bits |= code << count;
        count += len;
        while count >= 8 {
            bytes.push(bits as u8);
            (bits, count) = (bits >> 8, count - 8);
        }
    }
    if count > 0 {
        bytes.push(bits as u8);
    }
    bytes
}

// XXH64 with seed 0 (RFC 8878 names it; its definition is in the xxHash project's doc/xxhash_spec.md).
const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;

fn round(sum: u64, number: u64) -> u64 {
    sum.wrapping_add(number.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

/// The state behind all but the last eight bytes, of which there are a multiple of 32.
fn state(content: &[u8]) -> u64 {
    let (stripes, []) = content[..content.len() - 8].as_chunks::<32>() else { panic!("no whole stripes") };
    let mut sums = [P1.wrapping_add(P2), P2, 0, P1.wrapping_neg()];
    for stripe in stripes {
        for (sum, number) in sums.iter_mut().zip(stripe.as_chunks::<8>().0) {
            *sum = round(*sum, u64::from_le_bytes(*number));
        }
    }
    let mut state =
        sums.iter().zip([1, 7, 12, 18]).fold(0, |all: u64, (sum, by)| all.wrapping_add(sum.rotate_left(by)));
    for sum in sums {
        state = (state ^ round(0, sum)).wrapping_mul(P1).wrapping_add(P4);
    }
    state.wrapping_add(content.len() as u64)
}

fn checksum(content: &[u8]) -> u32 {
    let last = u64::from_le_bytes(*content.last_chunk().unwrap());
    let mut hash = (state(content) ^ round(0, last)).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    hash = (hash ^ hash >> 33).wrapping_mul(P2);
    hash = (hash ^ hash >> 29).wrapping_mul(P3);
    (hash ^ hash >> 32) as u32
}

/// What the last eight bytes must be for `hash`, behind `state`: each step of the hash taken back.
fn number_for(hash: u64, state: u64) -> u64 {
    let mut hash = (hash ^ hash >> 32).wrapping_mul(const { inverse(P3) });
    hash = (hash ^ hash >> 29 ^ hash >> 58).wrapping_mul(const { inverse(P2) });
    hash ^= hash >> 33;
    let mixed = hash.wrapping_sub(P4).wrapping_mul(const { inverse(P1) }).rotate_right(27) ^ state;
    mixed.wrapping_mul(const { inverse(P1) }).rotate_right(31).wrapping_mul(const { inverse(P2) })
}

/// By which an odd number is multiplied to give 1 modulo 2^64: each step of Newton's doubles the bits that are right.
const fn inverse(number: u64) -> u64 {
    let (mut inverse, mut bits) = (number, 3);
    while bits < 64 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(number.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

/// What the kernel writes to port 0xf4 if its filler is what it should be; one more if it is not.
pub(crate) const FILLER_IS_RIGHT: u8 = 0x21;
/// Where the kernel, what its filler should be, and the filler lie.
const TEXT: u32 = 16 << 20;
const SHOULD: u32 = 17 << 20;
const FILLER: u32 = 18 << 20;

/// An ELF32 file for PVH of three segments: code, `should` and `filler`, equally long. The code compares the last two.
pub(crate) fn kernel(should: &[u8], filler: &[u8]) -> Vec<u8> {
    let word = |number: u32| number.to_le_bytes();
    let code = [
        // cld; mov esi, FILLER; mov edi, SHOULD; mov ecx, len; repe cmpsb; setne al; add al, FILLER_IS_RIGHT; out 0xf4, al; hlt
        &[0xfc, 0xbe][..],
        &word(FILLER),
        &[0xbf],
        &word(SHOULD),
        &[0xb9],
        &word(filler.len() as u32),
        &[0xf3, 0xa6, 0x0f, 0x95, 0xc0, 0x04, FILLER_IS_RIGHT, 0xe6, 0xf4, 0xf4],
    ]
    .concat();
    let note: Vec<u8> = [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), TEXT].into_iter().flat_map(word).collect();
    let parts = [(4, 0, &note[..]), (1, TEXT, &code), (1, SHOULD, should), (1, FILLER, filler)];
    let half = |number: u16| number.to_le_bytes();
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 3].into_iter().flat_map(half));
    file.extend([1, TEXT, 52, 0, 0].into_iter().flat_map(word));
    file.extend([52, 32, 4, 40, 0, 0].into_iter().flat_map(half));
    let mut offset = 52 + 4 * 32;
    for (kind, at, bytes) in parts {
        let len = bytes.len() as u32;
        file.extend([kind, offset, at, at, len, len, 7, 4].into_iter().flat_map(word));
        offset += len;
    }
    parts.iter().for_each(|(_, _, bytes)| file.extend(*bytes));
    file
}

/// A pack of [`kernel`] whose filler is stored as `stored`, and says that it is `says`; `should` is what it should be in memory. The
/// number of the filler's frame.
pub(crate) fn pack_of(stored: &[u8], should: &[u8], says: &[u8]) -> (Vec<u8>, usize) {
    let elf = kernel(should, says);
    let cuts = Kernel::cuts(&mut SliceFile(&elf)).unwrap();
    let mut ends: Vec<usize> = cuts.iter().flat_map(|range| [range.offset() as usize, range.end() as usize]).collect();
    ends.extend([0, elf.len()]);
    ends.sort_unstable();
    ends.dedup();
    let plain = |pair: &[usize]| {
        let stored = elf[pair[0]..pair[1]].to_vec();
        EncodedFrame { content_len: stored.len() as u32, codec: Codec::None, stored }
    };
    let mut frames: Vec<EncodedFrame> = ends.windows(2).map(plain).collect();
    let filler = frames.last_mut().unwrap();
    assert_eq!(filler.content_len as usize, says.len());
    (filler.codec, filler.stored) = (Codec::Zstd, stored.to_vec());
    let index = frames.len() - 1;
    let kernel = EncodedKernel { name: "kernel".into(), sha256: Sha256::digest(&elf).into(), frames };
    let (decisions, modules, allowed) = (Decisions::default(), vec![], vec![]);
    let content = PackContent { kernel, cmdline: None, modules, decisions, locked: false, measured: false, allowed };
    (content.encode().unwrap(), index)
}
