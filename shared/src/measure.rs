//! What was started: SHA-256 digests in the order in which things got their say, for a verifier who compares them with
//! those that `pack digest` prints.
//!
//! # The log
//!
//! ASCII text, a line for each digest, and for what all of them come to:
//!
//! ```text
//! mstrap measurements 1
//! stage0 DIGEST
//! manifest DIGEST
//! kernel DIGEST
//! module DIGEST
//! cmdline DIGEST
//! chain DIGEST
//! ```
//!
//! | line | SHA-256 of |
//! |---|---|
//! | `stage0` | the bytes of stage0's loadable segment that are in its file, as they lie in memory |
//! | `manifest` | the manifest but for its digest and its signature slot: what names the pack |
//! | `kernel` | the kernel's ELF file, as the manifest vouches for it |
//! | `module` | a module, as the manifest vouches for it; one line for each, in order |
//! | `cmdline` | the command line that the kernel gets, without a NUL |
//! | `chain` | what a TPM's PCR of 32 zero bytes becomes when these are extended into it, one after the other: the SHA-256 of what it was and the digest |
//!
//! A digest is 64 lower-case hexadecimal digits.
//!
//! # Where a kernel finds it
//!
//! A pack that wants measurements has [`ROOM_LEN`] bytes of room before its modules. The first [`ARCHIVE_AT`] are zeros, and
//! stage0 writes the log to their start: in a PVH domain every kernel gets it as one more module, the last, with the command
//! line [`NAME`]. The others are a cpio archive ("newc") of one file, [`NAME`], and zeros up to the end. The file is as long
//! as the log; its bytes are zeros, and stage0 writes the log in their place. A Linux gets the archive and its initrd as one
//! module: it unpacks an archive, skips zeros, and goes on with what follows, however that is compressed.

use core::fmt::{self, Write};

use crate::format::{MAX_MEMBERS, Manifest, MemberKind};
use crate::hash::sha256;

/// The log's name: as a file in Linux' first root file system, and as a PVH module.
pub const NAME: &str = "mstrap.measurements";

/// Bytes of room in a pack: twice what the log of as many modules as a pack may have takes, in whole pages.
pub const ROOM_LEN: usize = 16384;

/// Where the archive begins in the room.
pub const ARCHIVE_AT: usize = ROOM_LEN / 2;

/// Bytes of a cpio header ("newc").
const CPIO_HEADER: usize = 110;
/// Where the file's bytes begin in the room: behind a header and a name, at a multiple of 4.
const FILE_AT: usize = ARCHIVE_AT + (CPIO_HEADER + NAME.len() + 1).next_multiple_of(4);
/// What the text begins with.
const TITLE: &str = "mstrap measurements 1\n";

// A line for each member, five besides, and the trailer.
const _: () = assert!(FILE_AT + TITLE.len() + 74 * (MAX_MEMBERS as usize + 5) + CPIO_HEADER + 16 <= ROOM_LEN);

/// All that is measured.
pub struct Measured<'a> {
    /// The digest of stage0's file.
    pub stage0: &'a [u8; 32],
    /// The pack's manifest.
    pub manifest: &'a Manifest<'a>,
    /// The command line that the kernel gets.
    pub cmdline: &'a str,
}

/// SHA-256 of the bytes of stage0's file that are loaded.
pub fn stage0(file: &[u8]) -> [u8; 32] {
    sha256(file, &[])
}

impl Measured<'_> {
    /// Writes the log into `room`, which is what the pack has for it, both times; returns how long it is.
    pub fn write(&self, room: &mut [u8]) -> usize {
        let mut writer = Writer { room, at: 0 };
        let written = self.write_text(&mut writer);
        debug_assert!(written.is_ok(), "the room is large enough for as many modules as a pack may have");
        let Writer { room, at: len } = writer;
        if len <= room.len().saturating_sub(FILE_AT) {
            room.copy_within(..len, FILE_AT);
        }
        len
    }

    fn write_text(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let mut chain = [0; 32];
        writer.write_str(TITLE)?;
        writer.add("stage0", self.stage0, &mut chain)?;
        writer.add("manifest", self.manifest.digest(), &mut chain)?;
        for member in self.manifest.members() {
            let name = match member.kind {
                MemberKind::Kernel => "kernel",
                MemberKind::Module => "module",
                // Part of the command line; and what this goes to.
                MemberKind::Cmdline | MemberKind::Measurements => continue,
            };
            writer.add(name, member.sha256, &mut chain)?;
        }
        writer.add("cmdline", &sha256(self.cmdline.as_bytes(), &[]), &mut chain)?;
        writer.line("chain", &chain)
    }
}

/// A log shortened for people: four bytes of each digest, and the whole of the chain.
pub struct Short<'a>(pub &'a [u8]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.trim_ascii_end().split(|byte| *byte == b'\n').skip(1).try_for_each(|line| {
            let cut = if line.starts_with(b"chain") { 0 } else { 56 };
            let shown = line.get(..line.len().saturating_sub(cut)).unwrap_or_default();
            f.write_str(" ")?;
            f.write_str(str::from_utf8(shown).unwrap_or_default())
        })
    }
}

/// Bytes as people compare them.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Writes into the room, from `at` on.
struct Writer<'r> {
    room: &'r mut [u8],
    at: usize,
}

impl Writer<'_> {
    /// Writes a line, and extends `chain` by its digest.
    #[inline(never)]
    fn add(&mut self, name: &str, digest: &[u8; 32], chain: &mut [u8; 32]) -> fmt::Result {
        *chain = sha256(chain, digest);
        self.line(name, digest)
    }

    #[inline(never)]
    fn line(&mut self, name: &str, digest: &[u8; 32]) -> fmt::Result {
        writeln!(self, "{name} {}", Hex(digest))
    }
}

impl Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.room.get_mut(self.at..).and_then(|rest| rest.get_mut(..text.len()));
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.at += text.len();
        Ok(())
    }
}

/// The room of a pack with this many modules, for a log that is not there yet.
#[cfg(any(test, feature = "std"))]
pub fn room(modules: usize) -> std::vec::Vec<u8> {
    const LINE: usize = " ".len() + 64 + "\n".len();
    let names = ["stage0", "manifest", "kernel", "cmdline", "chain"];
    let lines = names.iter().map(|name| name.len() + LINE).sum::<usize>() + modules * ("module".len() + LINE);
    let len = TITLE.len() + lines;
    // A regular file that everyone may read (S_IFREG of stat.h); what ends an archive.
    let mut room = std::vec![0; ARCHIVE_AT];
    room.extend(cpio_header(0o100_444, len, NAME).into_bytes());
    room.resize((FILE_AT + len).next_multiple_of(4), 0);
    room.extend(cpio_header(0, 0, "TRAILER!!!").into_bytes());
    debug_assert!(room.len() < ROOM_LEN);
    room.resize(ROOM_LEN, 0);
    room
}

/// The header and name of a file of `len` bytes (cpio(5), "New ASCII Format").
#[cfg(any(test, feature = "std"))]
fn cpio_header(mode: usize, len: usize, name: &str) -> std::string::String {
    // ino, mode, uid, gid, nlink, mtime, filesize, four numbers of devices, namesize, check.
    let fields = [0, mode, 0, 0, 1, 0, len, 0, 0, 0, 0, name.len() + 1, 0];
    let fields: std::string::String = fields.iter().map(|field| std::format!("{field:08x}")).collect();
    std::format!("070701{fields}{name}\0")
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::format::{Codec, EncodedFrame, EncodedKernel, EncodedModule, PackContent};
    use crate::kernel::Decisions;

    fn pack(modules: u8) -> Vec<u8> {
        let frames = vec![EncodedFrame { content_len: 4, codec: Codec::None, stored: vec![1, 2, 3, 4] }];
        let content = PackContent {
            kernel: EncodedKernel { name: "kernel".into(), sha256: [0x4b; 32], frames },
            cmdline: Some("ro".into()),
            modules: (0..modules).map(|n| EncodedModule { name: "module".into(), content: vec![n; 5] }).collect(),
            measured: true,
            decisions: Decisions::default(),
            locked: false,
            allowed: Vec::new(),
        };
        content.encode().unwrap()
    }

    fn bytes(pack: &[u8], range: crate::memory::FileRange) -> &[u8] {
        &pack[usize::try_from(range.offset()).unwrap()..usize::try_from(range.end()).unwrap()]
    }

    fn log(pack: &[u8], stage0: &[u8], cmdline: &str) -> (Vec<u8>, String) {
        let manifest = Manifest::parse(pack, pack.len() as u64).unwrap();
        let mut room = bytes(pack, manifest.room().unwrap().stored).to_vec();
        let len = Measured { stage0: &super::stage0(stage0), manifest: &manifest, cmdline }.write(&mut room);
        let text = String::from_utf8(room[..len].to_vec()).unwrap();
        (room, text)
    }

    #[test]
    fn the_log_fills_its_file_whatever_the_number_of_modules() {
        // Miri takes hours for many.
        let most = if cfg!(miri) { 3 } else { 61 };
        for modules in [0, 1, 2, most] {
            let (room, text) = log(&pack(modules), b"stage0", "ro quiet");
            let archive = &room[ARCHIVE_AT..];
            let filesize = usize::from_str_radix(str::from_utf8(&archive[54..62]).unwrap(), 16).unwrap();
            assert_eq!(filesize, text.len());
            let file = &room[FILE_AT..];
            assert!(file.starts_with(text.as_bytes()));
            assert!(file[filesize.next_multiple_of(4)..].starts_with(b"070701"));
            assert_eq!(text.lines().count(), 6 + usize::from(modules));
        }
    }

    /// The log of a pack, read by nothing of this module: what a PCR becomes, and of what.
    #[test]
    fn the_chain_is_what_a_tpm_makes_of_the_digests() {
        use sha2::{Digest, Sha256};

        let pack = pack(2);
        let manifest = Manifest::parse(&pack, pack.len() as u64).unwrap();
        let (_, text) = log(&pack, b"stage0", "ro quiet");
        let lines: Vec<(&str, &str)> = text.lines().skip(1).map(|line| line.split_once(' ').unwrap()).collect();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| std::format!("{byte:02x}")).collect::<String>();
        let digests = [
            ("stage0", hex(&Sha256::digest("stage0"))),
            ("manifest", hex(manifest.digest())),
            ("kernel", "4b".repeat(32)),
            ("module", hex(&Sha256::digest([0; 5]))),
            ("module", hex(&Sha256::digest([1; 5]))),
            ("cmdline", hex(&Sha256::digest("ro quiet"))),
        ];
        let mut pcr = [0; 32];
        for ((name, digest), (expected_name, expected)) in lines.iter().zip(&digests) {
            assert_eq!((name, digest), (expected_name, &expected.as_str()));
            let extended: Vec<u8> =
                (0..64).step_by(2).map(|at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap()).collect();
            pcr = Sha256::digest([&pcr[..], &extended].concat()).into();
        }
        assert_eq!(lines[digests.len()..], [("chain", hex(&pcr).as_str())]);
    }

    #[test]
    fn a_linux_gets_the_room_and_its_initrd_as_one() {
        let pack = pack(2);
        let manifest = Manifest::parse(&pack, pack.len() as u64).unwrap();
        let modules: Vec<_> = manifest.modules().map(|module| module.stored).collect();
        assert_eq!(manifest.handed(false).collect::<Vec<_>>(), modules);
        let linux: Vec<_> = manifest.handed(true).collect();
        assert_eq!(bytes(&pack, linux[0]), [&room(2)[ARCHIVE_AT..], &[0; 5]].concat());
        assert_eq!(linux[1..], modules[1..]);
        let alone = self::pack(0);
        let manifest = Manifest::parse(&alone, alone.len() as u64).unwrap();
        let linux: Vec<_> = manifest.handed(true).collect();
        assert_eq!(linux.iter().map(|range| bytes(&alone, *range)).collect::<Vec<_>>(), [&room(0)[ARCHIVE_AT..]]);
        assert_eq!(manifest.handed(false).count(), 0);
    }

    #[test]
    fn people_are_shown_the_start_of_each_digest_and_the_whole_chain() {
        let (_, text) = log(&pack(0), b"", "");
        let shown = std::format!("{}", Short(text.as_bytes()));
        let words: Vec<&str> = shown.split(' ').collect();
        assert_eq!(words[..3], ["", "stage0", "e3b0c442"]);
        assert_eq!((words.len(), words[9], words[10].len()), (11, "chain", 64));
        assert!(!shown.contains('\n'));
    }
}
