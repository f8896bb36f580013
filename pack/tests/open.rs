//! Opening kernels of every form: stored streams, streams that the real programs make, and what must be refused.
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "common/bzimage.rs"]
mod bzimage;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bzimage::bzimage;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use pack::input::InputCause;
use pack::open::{Compression, Layer, MAX_STREAMS, OpenCause, OpenError, Opened, open, open_bytes};

/// Bytes of the kernel that the stored streams were made from: more than one block of lzop (256 KiB).
const KERNEL_LEN: usize = 300_000;

/// Bytes of it that are code.
const CODE_END: usize = 16_000;

/// An ELF header, a Linux banner, code with a call instruction every few bytes, which xz' x86 filter rewrites, and then
/// a pattern.
fn kernel() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    elf.resize(64, 0);
    elf.extend_from_slice(b"Linux version 6.0.0-probe (a@b) #1\0");
    while elf.len() < CODE_END {
        let target = 0x2000u32.wrapping_sub(elf.len() as u32);
        elf.extend_from_slice(&[0x55, 0x48, 0x89, 0xe5, 0xe8]);
        elf.extend_from_slice(&target.to_le_bytes());
        elf.extend_from_slice(&[0x5d, 0xc3]);
    }
    elf.extend((0..=250u8).cycle().take(KERNEL_LEN - elf.len()));
    elf
}

/// The file in tests/data that each compression's stored stream is in, and the command that made it of `kernel()`; the
/// tests also run those of the programs that the machine has.
const STORED: [(Compression, &str, &[&str]); 8] = [
    (Compression::Gzip, "kernel.gz", &["gzip", "-n", "-9"]),
    (Compression::Bzip2, "kernel.bz2", &["bzip2", "-9"]),
    (Compression::Lzma, "kernel.lzma", &["lzma", "-9"]),
    (Compression::Xz, "kernel.xz", &["xz", "--check=crc32", "--x86", "--lzma2=,dict=32MiB"]),
    (Compression::Lzo, "kernel.lzo", &["lzop", "-9"]),
    (Compression::Lz4Legacy, "kernel.lz4-legacy", &["lz4", "-l", "-9", "-", "-"]),
    (Compression::Lz4, "kernel.lz4", &["lz4", "-9", "-", "-"]),
    (Compression::Zstd, "kernel.zst", &["zstd", "-19"]),
];

fn stored(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

/// What `program` makes of `input`, or `None` if the machine has no such program.
fn filter(command: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As Linux' build does it: the decoded length behind the stream.
fn with_appended_len(mut stream: Vec<u8>, len: usize) -> Vec<u8> {
    stream.extend_from_slice(&(len as u32).to_le_bytes());
    stream
}

fn refused(bytes: Vec<u8>) -> OpenCause {
    open_bytes(bytes).unwrap_err().1
}

fn assert_opens(bytes: Vec<u8>, layers: &[Layer], version: &str) -> Opened {
    let opened = open_bytes(bytes).map_err(|(_, cause)| cause).unwrap();
    assert!(opened.elf == kernel());
    assert_eq!(opened.layers, layers);
    assert_eq!(opened.linux_version.as_deref(), Some(version));
    opened
}

#[test]
fn an_elf_file_is_given_as_it_is() {
    let opened = assert_opens(kernel(), &[], "6.0.0-probe");
    assert_eq!(opened.file_len, KERNEL_LEN as u64);
}

#[test]
fn every_stored_stream_opens() {
    for (compression, name, _) in STORED {
        let layer = Layer::Compressed(compression);
        assert_opens(stored(name), std::slice::from_ref(&layer), "6.0.0-probe");
        let payload = with_appended_len(stored(name), KERNEL_LEN);
        assert_opens(bzimage(&payload), &[Layer::BzImage, layer], "6.0.0-boot");
    }
}

#[test]
fn what_the_real_programs_write_opens() {
    let mut found = Vec::new();
    for (compression, _, command) in STORED {
        let Some(stream) = filter(command, &kernel()) else { continue };
        let layer = Layer::Compressed(compression);
        assert_opens(stream.clone(), std::slice::from_ref(&layer), "6.0.0-probe");
        let image = bzimage(&with_appended_len(stream, KERNEL_LEN));
        assert_opens(image, &[Layer::BzImage, layer], "6.0.0-boot");
        found.push(command[0]);
    }
    println!("tried with: {}", found.join(" "));
    assert!(found.contains(&"gzip"), "no gzip on this machine");
}

#[test]
fn a_payload_may_be_the_elf_itself() {
    assert_opens(bzimage(&kernel()), &[Layer::BzImage], "6.0.0-boot");
}

#[test]
fn a_compressed_bzimage_is_three_layers_and_no_more_are_taken() {
    let image = bzimage(&stored("kernel.zst"));
    let once = gzip(&image);
    let zstd = Layer::Compressed(Compression::Zstd);
    let gz = Layer::Compressed(Compression::Gzip);
    assert_opens(once.clone(), &[gz, Layer::BzImage, zstd], "6.0.0-boot");
    assert!(matches!(refused(gzip(&once)), OpenCause::TooManyLayers));
}

#[test]
fn streams_one_after_the_other_are_one_file() {
    for (compression, name, _) in STORED {
        if compression == Compression::Lzma {
            continue;
        }
        let opened = open_bytes(stored(name).repeat(2)).map_err(|(_, cause)| cause).unwrap();
        assert!(opened.elf == kernel().repeat(2), "{compression}");
    }
}

/// Linux' header says where its payload is; what is in there behind the stream is Linux' own.
#[test]
fn what_follows_a_stream_is_refused_but_in_a_payload() {
    for (compression, name, _) in STORED {
        for len in [1, 4, 7, 100] {
            let followed = [stored(name), vec![b'x'; len]].concat();
            let layers = [Layer::BzImage, Layer::Compressed(compression)];
            assert_opens(bzimage(&followed), &layers, "6.0.0-boot");
            match refused(followed) {
                OpenCause::Followed { compression: found, len: behind } => {
                    assert_eq!((found, behind), (compression, len));
                }
                // Without an end mark, it is a block that is cut.
                OpenCause::TruncatedStream { .. } => assert!(compression == Compression::Lz4Legacy && len < 4),
                other => panic!("{compression}, {len} bytes behind: {other}"),
            }
        }
    }
    assert_eq!(
        message(&[stored("kernel.xz"), vec![0; 3]].concat()),
        "in the xz: 3 bytes follow the xz stream, and are no part of it: cut them off, or decompress the file first"
    );
}

#[test]
fn a_legacy_lz4_stream_of_several_blocks_opens() {
    const BLOCK: usize = 8 << 20;
    for len in [2 * BLOCK, 2 * BLOCK + 1000] {
        let mut elf = kernel();
        elf.resize(len, 0);
        let mut stream = vec![0x02, 0x21, 0x4c, 0x18];
        for block in elf.chunks(BLOCK) {
            let stored = lz4_flex::block::compress(block);
            stream.extend_from_slice(&(stored.len() as u32).to_le_bytes());
            stream.extend_from_slice(&stored);
        }
        let payload = bzimage(&with_appended_len(stream.clone(), len));
        for file in [stream, payload] {
            let opened = open_bytes(file).map_err(|(_, cause)| cause).unwrap();
            assert!(opened.elf == elf, "{len} bytes");
        }
    }
}

#[test]
fn a_cut_stream_is_called_cut() {
    for (compression, name, _) in STORED {
        let mut stream = stored(name);
        stream.truncate(stream.len() / 2);
        match refused(stream) {
            OpenCause::TruncatedStream { compression: found } => assert_eq!(found, compression),
            other => panic!("{compression}: {other}"),
        }
    }
}

#[test]
fn a_damaged_stream_is_refused() {
    // The two that have no check of their own are left out: damage in them may go unseen.
    for (compression, name, _) in STORED {
        if matches!(compression, Compression::Lzma | Compression::Lz4Legacy) {
            continue;
        }
        let whole = stored(name);
        for at in (whole.len() / 4..whole.len() * 3 / 4).step_by(whole.len() / 50) {
            let mut stream = whole.clone();
            stream[at] ^= 0x10;
            assert!(open_bytes(stream).is_err(), "{compression}: bit flipped at {at} of {}", whole.len());
        }
    }
}

#[test]
fn no_mutated_stream_makes_a_decoder_panic() {
    let mut state = 0x2006_0214_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (_, name, _) in STORED {
        let whole = bzimage(&stored(name));
        for _ in 0..50 {
            let mut image = whole.clone();
            for _ in 0..=random(4) {
                // The stream's own headers as often as all the rest of it.
                let at = 1024 + if random(2) == 0 { random(64) } else { random(image.len() - 1024) };
                image[at] = random(256) as u8;
            }
            if random(4) == 0 {
                image.truncate(1024 + random(image.len() - 1024));
            }
            // Whatever it is called, it comes back.
            let _ = open_bytes(image);
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_has_grown() {
    // 8 GiB of zeros in zstd frames: nothing that a kernel begins with, so known from its first page.
    let frame = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    assert!(matches!(refused(frame.repeat(128)), OpenCause::Unknown { .. }));
}

/// What hardly anything is in, behind a kernel: each stream costs its decoder all the same.
#[test]
fn streams_without_end_are_refused_soon() {
    /// Bytes in front of a file's first block, where no name is given.
    const LZO_HEADER: usize = 38;

    let largest_blocks = FrameInfo::new().block_size(BlockSize::Max4MB);
    let streams = [
        (Compression::Gzip, gzip(b"")),
        (Compression::Bzip2, b"BZh9\x17rE8P\x90\0\0\0\0".to_vec()),
        (Compression::Xz, b"\xfd7zXZ\0\0\x01i\"\xde6\0\0\0\0\x1c\xdfD!\x90B\x99\r\x01\0\0\0\0\x01YZ".to_vec()),
        (Compression::Lzo, [&stored("kernel.lzo")[..LZO_HEADER], &[0; 4]].concat()),
        (Compression::Lz4Legacy, b"\x02\x21\x4c\x18\x02\0\0\0\x10x".to_vec()),
        (Compression::Lz4, FrameEncoder::with_frame_info(largest_blocks, Vec::new()).finish().unwrap()),
        (Compression::Zstd, zstd::bulk::compress(b"", 1).unwrap()),
    ];
    for (compression, stream) in streams {
        let (_, name, _) = STORED.into_iter().find(|(of, ..)| *of == compression).unwrap();
        let begin = Instant::now();
        let few = open_bytes([stored(name), stream.repeat(100)].concat()).map_err(|(_, cause)| cause).unwrap();
        assert!(few.elf.starts_with(&kernel()), "{compression}");
        match refused([stored(name), stream.repeat(MAX_STREAMS)].concat()) {
            OpenCause::TooManyStreams { compression: found } => assert_eq!(found, compression),
            other => panic!("{compression}: {other}"),
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{compression}: {:?}", begin.elapsed());
    }
}

/// The one line that a person sees for a file with this content.
fn message(content: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("input");
    fs::write(&path, content).unwrap();
    line(&open(&path).unwrap_err())
}

fn line(error: &OpenError) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    let name = error.path.display().to_string();
    text.strip_prefix(&format!("{name}: ")).unwrap().to_owned()
}

#[test]
fn every_refusal_says_what_it_is_and_what_to_do() {
    const EXPECTED: &str = "expected an ELF file, a bzImage, or one of them compressed";
    assert_eq!(message(b""), "is empty: name a file that is not");
    assert_eq!(message(b"#!/bin/sh\nexit 0\n"), format!("is text (begins with \"#!/bin/sh\"): {EXPECTED}"));
    assert_eq!(
        message(&[0, 1, 2, 3, 4, 5, 6, 7, 8]),
        format!("is not a kernel: begins with 00 01 02 03 04 05 06 07; {EXPECTED}")
    );
    assert_eq!(
        message(b"070701000000"),
        "is a cpio archive, as an initrd is: expected a kernel (give an initrd with --initrd)"
    );
    assert_eq!(
        message(b"mstrap\r\n\x01\0\0\0"),
        "is a pack already: expected the kernel that it was made from (`pack info` shows what is in it)"
    );
    assert_eq!(message(b"MZ\x90\0"), "is an EFI program and not a bzImage: take the kernel out of it first");

    let image = bzimage(&stored("kernel.gz"));
    let cut = &image[..image.len() / 2];
    let needs = image.len() - b"the code that unpacks it".len();
    assert_eq!(
        message(cut),
        format!(
            "is a truncated bzImage: its payload ends at byte {needs}, the file has {}: get the whole file",
            cut.len()
        )
    );

    let mut arm = kernel();
    arm[18] = 183;
    assert_eq!(message(&arm), "is an ELF file for AArch64 (little endian): expected one for x86 (x86-64 or i386)");
    let gzipped = zstd::bulk::compress(&arm, 1).unwrap();
    assert_eq!(
        message(&gzipped),
        "in the zstd: is an ELF file for AArch64 (little endian): expected one for x86 (x86-64 or i386)"
    );
    assert_eq!(
        message(&kernel()[..12]),
        "is an ELF file of only 12 bytes, too short for its header: get the whole file"
    );
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(line(&open(dir.path()).unwrap_err()), "is a directory: name a file in it");
    let fifo: PathBuf = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(
        line(&open(&fifo).unwrap_err()),
        "is a pipe, not a regular file: save its content to a file and name that"
    );
    assert_eq!(
        line(&open(Path::new("/dev/null")).unwrap_err()),
        "is a device, not a regular file: save its content to a file and name that"
    );
    let error = open(&dir.path().join("absent")).unwrap_err();
    assert!(matches!(error.cause, OpenCause::Input(InputCause::Unreadable(_))));
    assert!(line(&error).starts_with("cannot be read: No such file"));
}
