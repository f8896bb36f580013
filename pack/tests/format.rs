//! A second reader of packs, written from the tables in the documentation of `shared::format` and from nothing else: it takes no
//! number, name or structure from the code there. What it finds in a pack must be what went in.
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

const HEADER: usize = 256;
const MEMBER: usize = 128;
const FRAME: usize = 64;
const ALLOWED: usize = 8;

/// A pack's bytes, and where its tables are.
struct Reader {
    bytes: Vec<u8>,
    frames_at: usize,
    allowed_at: usize,
    strings_at: usize,
    manifest_len: usize,
}

impl Reader {
    /// Checks the header, and that the parts add up.
    fn new(bytes: Vec<u8>) -> Self {
        let mut reader = Self { bytes, frames_at: 0, allowed_at: 0, strings_at: 0, manifest_len: 0 };
        assert_eq!(reader.bytes[..8], *b"mstrap\r\n");
        assert_eq!((reader.u32(8), reader.u32(12)), (1, 0), "version, flags");
        assert_eq!(reader.u64(16), reader.bytes.len(), "pack_len");
        reader.frames_at = HEADER + MEMBER * reader.u32(32);
        reader.allowed_at = reader.frames_at + FRAME * reader.u32(36);
        reader.strings_at = reader.allowed_at + ALLOWED * reader.u32(40);
        reader.manifest_len = reader.strings_at + reader.u32(44);
        assert_eq!(reader.u64(24), reader.manifest_len, "manifest_len");
        assert!(reader.zero(72, 24) && reader.zero(128, 128), "reserved bytes, no signature");
        reader
    }

    fn u32(&self, at: usize) -> usize {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize
    }

    fn u64(&self, at: usize) -> usize {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap()) as usize
    }

    fn zero(&self, at: usize, len: usize) -> bool {
        self.bytes[at..at + len].iter().all(|byte| *byte == 0)
    }

    /// SHA-256 of the manifest but for the digest and the signature.
    fn digest(&self) -> Vec<u8> {
        let hasher = Sha256::new().chain_update(&self.bytes[..96]);
        hasher.chain_update(&self.bytes[232..self.manifest_len]).finalize().to_vec()
    }

    /// The string of which the offset stands at `at`, and behind it the length.
    fn string(&self, at: usize) -> &str {
        let start = self.strings_at + self.u32(at);
        str::from_utf8(&self.bytes[start..start + self.u32(at + 4)]).unwrap()
    }

    /// Kind, name and stored bytes of member `n`, whose rules are checked.
    fn member(&self, n: usize) -> (usize, &str, &[u8]) {
        let at = HEADER + MEMBER * n;
        assert!(self.zero(at + 4, 4) && self.zero(at + 40, 24), "flags, reserved bytes");
        let (offset, len) = (self.u64(at + 16), self.u64(at + 24));
        let (kind, stored) = (self.u32(at), &self.bytes[offset..offset + len]);
        if kind == 1 {
            assert!(self.zero(at + 96, 32), "the kernel's BLAKE3");
        } else {
            assert_eq!(self.u64(at + 32), len, "content length");
            assert_eq!(self.bytes[at + 96..at + 128], *blake3::hash(stored).as_bytes());
            assert_eq!(self.bytes[at + 64..at + 96], *Sha256::digest(stored));
        }
        if kind == 3 {
            assert!(offset.is_multiple_of(4096), "a module's place");
            assert!(self.zero(offset + len, (offset + len).next_multiple_of(4096) - offset - len));
        }
        (kind, self.string(at + 8), stored)
    }

    /// The kernel's content, decoded frame by frame.
    fn kernel(&self) -> Vec<u8> {
        let mut content = Vec::new();
        let mut stored_end = self.u64(HEADER + 16);
        for at in (self.frames_at..self.allowed_at).step_by(FRAME) {
            let (len, codec) = (self.u32(at + 8), self.u32(at + 12));
            assert_eq!((self.u64(at), self.u64(at + 16)), (content.len(), stored_end), "offsets");
            stored_end += self.u32(at + 24);
            let stored = &self.bytes[self.u64(at + 16)..stored_end];
            assert_eq!(self.bytes[at + 32..at + 64], *blake3::hash(stored).as_bytes());
            content.extend(match codec {
                0 => stored.to_vec(),
                1 => lz4_flex::block::decompress(stored, len).unwrap(),
                _ => zstd::bulk::decompress(stored, len).unwrap(),
            });
        }
        assert_eq!(content.len(), self.u64(HEADER + 32), "content length");
        assert_eq!(stored_end, self.u64(HEADER + 16) + self.u64(HEADER + 24), "stored length");
        assert_eq!(self.bytes[HEADER + 64..HEADER + 96], *Sha256::digest(&content));
        content
    }
}

fn pack(folder: &Path, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pack"));
    let status = command.current_dir(folder).args(words).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{words:?}");
}

#[test]
fn a_reader_made_from_the_documentation_finds_what_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let initrd: Vec<u8> = (0..9000u32).map(|n| (n >> 3) as u8 | 1).collect();
    // stage0 is a kernel, too.
    let kernel = pack::stage0::EMBEDDED;
    fs::write(folder.path().join("kernel"), kernel).unwrap();
    fs::write(folder.path().join("initrd"), &initrd).unwrap();
    let words = ["kernel", "-o", "image", "--initrd", "initrd", "--cmdline", "ro quiet", "--lock-cmdline"];
    let allowed = ["--allow-arg", "ip=*", "--allow-arg", "single"];
    for codec in ["none", "lz4", "zstd"] {
        pack(folder.path(), &[&words[..], &allowed, &["--codec", codec]].concat());
        let reader = Reader::new(fs::read(folder.path().join("image")).unwrap());
        assert_eq!(reader.bytes[96..128], *reader.digest());
        // Locked, and nothing else decided.
        assert!(reader.zero(48, 12) && reader.u32(60) == 2 && reader.zero(64, 8), "decisions");
        assert_eq!((reader.member(0).0, reader.member(0).1), (1, "kernel"));
        assert_eq!((reader.member(1).0, reader.member(1).2), (2, &b"ro quiet"[..]));
        assert_eq!(reader.member(2), (3, "initrd", &initrd[..]));
        let words: Vec<&str> = (0..2).map(|n| reader.string(reader.allowed_at + ALLOWED * n)).collect();
        assert_eq!(words, ["ip=*", "single"]);
        assert!(reader.kernel() == kernel, "{codec}");
    }
}
