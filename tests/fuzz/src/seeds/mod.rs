//! Real inputs, from which fuzzers and tests begin.

use std::fs;
use std::io::Write;

use harness::corpus::{self, Description};
use harness::pie::{Form, Pie};
use harness::{cache, kernels};
use shared::format::{Codec, EncodedFrame, EncodedKernel, EncodedModule, MAX_FRAME_LEN, PackContent};
use shared::kernel::{Decisions, Kernel, SliceFile};
use zstd::zstd_safe::CParameter;

/// Largest of a real file's head that is worth the fuzzer's time.
const HEAD: usize = 24 << 10;

/// The kernels of the corpus.
pub fn descriptions() -> Vec<Description> {
    corpus::corpus().expect("the corpus").into_iter().map(|entry| entry.description).collect()
}

/// Their files, as far as they are small.
pub fn kernels() -> Vec<Vec<u8>> {
    descriptions().iter().map(Description::elf).filter(|elf| elf.len() < 4 * HEAD).collect()
}

/// Static PIEs with relocations of each kind.
pub fn pies() -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(13);
    let forms = [Form::Rela, Form::Rel, Form::Relr].into_iter().flat_map(|form| [(true, form), (false, form)]);
    forms.map(|(is_64, form)| Pie::generate(&mut rng, is_64, form, 30).elf).collect()
}

/// The distribution's kernels that have been fetched already, or none.
fn real() -> Vec<Vec<u8>> {
    if !cache::root().is_dir() {
        return Vec::new();
    }
    let kernels = kernels::all().unwrap_or_default();
    kernels.iter().filter_map(|kernel| fs::read(&kernel.vmlinuz).ok()).collect()
}

/// The heads of real kernels' ELF files: headers and, if they are there, notes. All else is cut off, and headers say so.
pub fn heads() -> Vec<Vec<u8>> {
    let opened = real().into_iter().filter_map(|image| pack::open::open_bytes(image).ok());
    opened.map(|opened| opened.elf[..opened.elf.len().min(HEAD)].to_vec()).collect()
}

/// A frame as `pack` makes them.
pub fn zstd_frame(content: &[u8], level: i32) -> Vec<u8> {
    let mut encoder = zstd::bulk::Compressor::new(level).expect("an encoder");
    let parameters = [
        CParameter::ChecksumFlag(true),
        CParameter::ContentSizeFlag(true),
        CParameter::WindowLog(MAX_FRAME_LEN.ilog2()),
    ];
    parameters.into_iter().for_each(|parameter| encoder.set_parameter(parameter).expect("a parameter"));
    encoder.compress(content).expect("a frame")
}

/// Packs of kernels of the corpus.
pub fn packs() -> Vec<Vec<u8>> {
    let small = kernels().into_iter().filter(|elf| elf.len() < HEAD).take(6);
    let pack = |(n, elf): (usize, Vec<u8>)| {
        let cuts = Kernel::cuts(&mut SliceFile(&elf)).ok()?;
        let mut ends: Vec<usize> =
            cuts.iter().flat_map(|range| [range.offset() as usize, range.end() as usize]).collect();
        ends.extend([0, elf.len()]);
        ends.sort_unstable();
        ends.dedup();
        let frame = |pair: &[usize]| {
            let piece = &elf[pair[0]..pair[1]];
            let codec = if n % 2 == 0 { Codec::Zstd } else { Codec::Lz4 };
            let stored = if n % 2 == 0 { zstd_frame(piece, 3) } else { lz4_flex::block::compress(piece) };
            EncodedFrame { content_len: piece.len() as u32, codec, stored }
        };
        let frames = ends.windows(2).map(frame).collect();
        let module = EncodedModule { name: "initrd".into(), content: vec![7; 100 * n] };
        let content = PackContent {
            kernel: EncodedKernel { name: "kernel".into(), sha256: [0; 32], frames },
            cmdline: (n % 3 == 0).then(|| "console=hvc0".into()),
            modules: if n % 2 == 0 { vec![module] } else { vec![] },
            decisions: Decisions::default(),
            locked: n % 3 == 1,
            measured: n % 2 == 1,
            allowed: vec!["quiet".into(), "a=*".into()],
        };
        content.encode().ok()
    };
    small.enumerate().filter_map(pack).collect()
}

/// A kernel in every compression, those in boot images too, and the heads of real boot images.
pub fn compressed() -> Vec<Vec<u8>> {
    let elf = kernels().into_iter().min_by_key(Vec::len).unwrap_or_default();
    let mut files = vec![elf.clone(), zstd_frame(&elf, 3), zstd_frame(&zstd_frame(&elf, 3), 3)];
    // The same for which `pack` has tests: made by the tools that people use.
    let folder = cache::workspace().join("pack/tests/data");
    let made = fs::read_dir(folder).into_iter().flatten().flatten();
    files.extend(made.filter_map(|entry| fs::read(entry.path()).ok()));
    files.extend(real().into_iter().map(|image| image[..image.len().min(HEAD)].to_vec()));
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).expect("an encoder");
    xz.write_all(&elf).expect("memory");
    files.push(xz.finish().expect("memory"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&elf).expect("memory");
    files.push(gzip.finish().expect("memory"));
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&elf).expect("memory");
    files.push(bzip2.finish().expect("memory"));
    let images: Vec<Vec<u8>> = files.iter().filter(|file| file.len() < HEAD).map(|file| bzimage(file)).collect();
    files.extend(images);
    files
}

/// A boot image of one setup sector around a payload.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    let len = u32::try_from(payload.len() + 4).unwrap_or(0).to_le_bytes();
    let fields: [(usize, &[u8]); 5] =
        [(0x1f1, &[1]), (0x1fe, &[0x55, 0xaa]), (0x202, b"HdrS"), (0x206, &[15, 2]), (0x24c, &len)];
    fields.iter().for_each(|(at, field)| image[*at..][..field.len()].copy_from_slice(field));
    image.extend(payload);
    image.extend([0, 0, 1, 0]);
    image
}
