//! BLAKE3, by vectors: its tree, over the assembly that the crate `blake3` brings. By itself the crate would not use that
//! here: on a bare machine it takes it that nobody has switched vectors on.

use core::mem;

// It is linked for its assembly alone.
use blake3 as _;

/// A hash, or what stands for a part of the tree.
type Hash = [u8; 32];

/// Bytes of a chunk, a leaf of the tree, and of a block (BLAKE3 specification, 2.1).
const CHUNK: usize = 1024;
const BLOCK: usize = 64;
/// Chunks that are hashed at a time, a power of two, so that they are a whole part of the tree.
const BATCH: usize = 64;
/// Parts of the tree that wait for their right neighbours: one for each bit of a number of batches.
const DEPTH: usize = u64::BITS as usize - (BATCH * CHUNK).ilog2() as usize;

/// Marks of blocks (the same, 2.1, table 3).
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const ROOT: u8 = 1 << 3;

/// What the first block of a chunk, and each parent, begins with (the same, 2.2, table 1).
const KEY: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Hashes as many inputs as there are, each of as many whole blocks: writes 32 bytes for each (blake3_impl.h).
type Many = unsafe extern "C" fn(
    inputs: *const *const u8,
    count: usize,
    blocks: usize,
    key: *const u32,
    counter: u64,
    increment: bool,
    marks: u8,
    marks_first: u8,
    marks_last: u8,
    out: *mut u8,
);

unsafe extern "C" {
    fn blake3_hash_many_sse2(
        inputs: *const *const u8,
        count: usize,
        blocks: usize,
        key: *const u32,
        counter: u64,
        increment: bool,
        marks: u8,
        marks_first: u8,
        marks_last: u8,
        out: *mut u8,
    );
    fn blake3_hash_many_avx2(
        inputs: *const *const u8,
        count: usize,
        blocks: usize,
        key: *const u32,
        counter: u64,
        increment: bool,
        marks: u8,
        marks_first: u8,
        marks_last: u8,
        out: *mut u8,
    );
    fn blake3_compress_in_place_sse2(state: *mut u32, block: *const u8, len: u8, counter: u64, marks: u8);
}

/// Hashes.
#[derive(Clone, Copy, Debug)]
pub struct Blake3 {
    many: Many,
}

impl Blake3 {
    /// By SSE2.
    ///
    /// # Safety
    /// As long as it is used, the processor executes SSE2's instructions.
    pub const unsafe fn sse2() -> Self {
        Self { many: blake3_hash_many_sse2 }
    }

    /// By AVX2.
    ///
    /// # Safety
    /// As long as it is used, the processor executes the instructions of AVX2, and so those of SSE2.
    pub const unsafe fn avx2() -> Self {
        Self { many: blake3_hash_many_avx2 }
    }

    /// The hash of `bytes`.
    pub fn hash(self, bytes: &[u8]) -> Hash {
        let mut parts: heapless::Vec<Hash, DEPTH> = heapless::Vec::new();
        let (mut rest, mut batches) = (bytes, 0_u64);
        // Something follows each of these, so that none ends the tree.
        while let Some((batch, after)) = rest.split_at_checked(BATCH * CHUNK).filter(|(_, after)| !after.is_empty()) {
            let mut part = self.part(batch, batches * BATCH as u64, 0);
            rest = after;
            batches += 1;
            // Two neighbours of one size are a part of twice the size.
            for _ in 0..batches.trailing_zeros() {
                part = parts.pop().map_or(part, |left| self.parent(&left, &part, 0));
            }
            // There are as many as bits set in `batches`.
            let _ = parts.push(part);
        }
        let root = |parts: &heapless::Vec<_, DEPTH>| if parts.is_empty() { ROOT } else { 0 };
        let mut part = self.part(rest, batches * BATCH as u64, root(&parts));
        while let Some(left) = parts.pop() {
            part = self.parent(&left, &part, root(&parts));
        }
        part
    }

    /// The part of the tree over `bytes`, at most [`BATCH`] chunks, of which the first is number `first`. `root` is [`ROOT`] where
    /// that is the whole tree, else 0.
    fn part(self, bytes: &[u8], first: u64, root: u8) -> Hash {
        if bytes.len() <= CHUNK {
            return self.chunk(bytes, first, root);
        }
        let (mut these, mut those) = ([[0; 32]; BATCH], [[0; 32]; BATCH]);
        let (mut hashes, mut above) = (&mut these, &mut those);
        let (chunks, rest) = bytes.as_chunks::<CHUNK>();
        let mut count = chunks.len().min(BATCH);
        self.many(chunks, first, [0, CHUNK_START, CHUNK_END], hashes);
        if let Some(last) = hashes.get_mut(count).filter(|_| !rest.is_empty()) {
            *last = self.chunk(rest, first + count as u64, 0);
            count += 1;
        }
        // From the leaves up: neighbours in pairs. One that is left over goes up as it is.
        while count > 2 {
            let (pairs, _) = hashes[..count].as_flattened().as_chunks::<BLOCK>();
            self.many(pairs, 0, [PARENT, 0, 0], above);
            if count % 2 != 0 {
                above[count / 2] = hashes[count - 1];
            }
            count = count.div_ceil(2);
            mem::swap(&mut hashes, &mut above);
        }
        self.parent(&hashes[0], &hashes[1], root)
    }

    /// One chunk, or what of one there is, which is number `counter`.
    fn chunk(self, bytes: &[u8], counter: u64, root: u8) -> Hash {
        let mut state = KEY;
        let mut marks = CHUNK_START;
        let (mut rest, mut more) = (bytes, true);
        while more {
            let (now, after) = rest.split_at(rest.len().min(BLOCK));
            let mut block = [0; BLOCK];
            block[..now.len()].copy_from_slice(now);
            more = !after.is_empty();
            if !more {
                marks |= CHUNK_END | root;
            }
            self.one(&mut state, &block, now.len() as u8, counter, marks);
            (rest, marks) = (after, 0);
        }
        bytes_of(&state)
    }

    /// What is above two parts.
    fn parent(self, left: &Hash, right: &Hash, root: u8) -> Hash {
        let mut state = KEY;
        self.one(&mut state, &join(left, right), BLOCK as u8, 0, PARENT | root);
        bytes_of(&state)
    }

    /// One block more, of which `len` bytes count.
    fn one(self, state: &mut [u32; 8], block: &[u8; BLOCK], len: u8, counter: u64, marks: u8) {
        // SAFETY: 1. the processor executes SSE2's instructions (`sse2`, `avx2`); 2. the code reads and writes eight words of
        // the state and reads a block (blake3_impl.h), and keeps to the calling convention.
        unsafe { blake3_compress_in_place_sse2(state.as_mut_ptr(), block.as_ptr(), len, counter, marks) }
    }

    /// All `inputs`, each whole blocks, at most [`BATCH`] and at most as many as there are in `out`. Chunks are numbered from `counter` on; parents
    /// all have 0. `marks` are of all blocks, of the first of each, of the last.
    fn many<const LEN: usize>(self, inputs: &[[u8; LEN]], counter: u64, marks: [u8; 3], out: &mut [Hash; BATCH]) {
        const { assert!(LEN.is_multiple_of(BLOCK) && LEN != 0) };
        let pointers: heapless::Vec<*const u8, BATCH> = inputs.iter().map(|input| input.as_ptr()).take(BATCH).collect();
        let [all, first, last] = marks;
        let (blocks, is_chunk) = (LEN / BLOCK, LEN == CHUNK);
        // SAFETY: 1. the processor executes the instructions of its kind (`sse2`, `avx2`); 2. each of the pointers is to
        // `blocks` blocks, and the key has eight words; 3. `out` has room for 32 bytes for each of them, of which there are at
        // most BATCH, and nothing else refers to it; 4. the code reads and writes only these (blake3_impl.h), and keeps to
        // the calling convention.
        unsafe {
            (self.many)(
                pointers.as_ptr(),
                pointers.len(),
                blocks,
                KEY.as_ptr(),
                counter,
                is_chunk,
                all,
                first,
                last,
                out.as_mut_ptr().cast(),
            );
        }
    }
}

/// Two hashes in a row: a block.
fn join(left: &Hash, right: &Hash) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..32].copy_from_slice(left);
    block[32..].copy_from_slice(right);
    block
}

fn bytes_of(state: &[u32; 8]) -> Hash {
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_le_bytes();
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the machine that tests can do.
    fn all() -> Vec<Blake3> {
        // SAFETY: SSE2 is a part of x86-64.
        let mut all = vec![unsafe { Blake3::sse2() }];
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has it, and the system says so.
            all.push(unsafe { Blake3::avx2() });
        }
        all
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|n| ((n as u32).wrapping_mul(0x9e37_79b1) >> 23) as u8).collect()
    }

    /// Lengths around every power of two of blocks, of chunks, and of batches; and in between.
    #[test]
    fn hashes_are_those_of_the_crate() {
        let edges = (0..=22).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        let batches = (1..12)
            .flat_map(|n| [n * BATCH * CHUNK - 1, n * BATCH * CHUNK, n * BATCH * CHUNK + 1, n * BATCH * CHUNK + 3000]);
        let chunks = (1..=2 * BATCH + 1).flat_map(|n| [n * CHUNK, n * CHUNK + 1, n * CHUNK - 65]);
        let bytes = content(5 << 20);
        for len in edges.chain(batches).chain(chunks).chain([0, 5 << 20]) {
            let bytes = &bytes[..len];
            for blake3 in all() {
                assert_eq!(blake3.hash(bytes), *::blake3::hash(bytes).as_bytes(), "{len} bytes, {blake3:?}");
            }
        }
    }

    #[test]
    fn bytes_need_not_be_aligned() {
        let bytes = content(200_000);
        for start in 0..65 {
            for blake3 in all() {
                assert_eq!(blake3.hash(&bytes[start..]), *::blake3::hash(&bytes[start..]).as_bytes(), "{start}");
            }
        }
    }
}
