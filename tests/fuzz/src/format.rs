//! Decoding a pack's manifest. What is taken keeps every rule that its readers rely on.

use pack::image::Image;
use shared::format::{
    MAX_CMDLINE_LEN, MAX_FRAME_LEN, MAX_KERNEL_LEN, MAX_MANIFEST_LEN, MAX_PACK_LEN, Manifest, MemberKind,
};
use shared::memory::{FileRange, PAGE_SIZE};

use crate::input::Input;
use crate::{said, seal, seeds};

/// First byte: bit 0, whether the digest is made right; bit 1, all hashes; bit 2, whether there is more behind the bytes. The
/// rest is a pack.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mode = input.u8();
    let mut pack = input.rest().to_vec();
    if mode & 2 != 0 {
        seal::all(&mut pack);
    } else if mode & 1 != 0 {
        seal::manifest(&mut pack);
    }
    let available = if mode & 4 == 0 { pack.len() as u64 } else { MAX_PACK_LEN };
    let manifest = match Manifest::parse(&pack, available) {
        Ok(manifest) => manifest,
        Err(error) => return said::note(&error),
    };
    check(&manifest, available);
    look_into(&pack);
}

fn check(manifest: &Manifest<'_>, available: u64) {
    assert!(manifest.pack_len() <= available && manifest.manifest_len() <= MAX_MANIFEST_LEN);
    let mut free = manifest.manifest_len();
    for (n, member) in manifest.members().enumerate() {
        assert_eq!(n == 0, member.kind == MemberKind::Kernel);
        assert!(!member.name.is_empty() && member.name.len() <= 255 && !member.name.contains('\0'));
        assert!(member.stored.offset() >= free && member.stored.end() <= manifest.pack_len());
        free = member.stored.end();
        match member.kind {
            MemberKind::Kernel => assert!((1..=MAX_KERNEL_LEN).contains(&member.content_len)),
            MemberKind::Cmdline => assert!(n == 1 && member.content_len <= MAX_CMDLINE_LEN),
            MemberKind::Module | MemberKind::Measurements => {
                assert!(member.stored.offset().is_multiple_of(PAGE_SIZE));
                free = free.next_multiple_of(PAGE_SIZE);
                assert!(free <= manifest.pack_len());
            }
        }
        assert!(member.kind == MemberKind::Kernel || member.content_len == member.stored.len());
    }
    let kernel = manifest.kernel();
    let (mut content, mut stored) = (0, kernel.stored.offset());
    for frame in manifest.frames() {
        assert_eq!((frame.content.offset(), frame.stored.offset()), (content, stored));
        assert!((1..=u64::from(MAX_FRAME_LEN)).contains(&frame.content.len()) && !frame.stored.is_empty());
        (content, stored) = (frame.content.end(), frame.stored.end());
    }
    assert_eq!((content, stored), (kernel.content_len, kernel.stored.end()));
    for len in [0, 1, 64, kernel.content_len / 2, kernel.content_len] {
        let Ok(range) = FileRange::new(kernel.content_len / 3, len) else { continue };
        let has = |part: FileRange| !range.is_empty() && part.offset() < range.end() && range.offset() < part.end();
        let expected = manifest.frames().filter(|frame| has(frame.content)).map(|frame| frame.index);
        assert!(manifest.frames_of(range).map(|frame| frame.index).eq(expected));
    }
    manifest.allowed().for_each(|pattern| assert!(!pattern.is_empty()));
}

/// What `pack` does with a pack from elsewhere: unpack it, and tell of it.
fn look_into(pack: &[u8]) {
    /// Bytes of a kernel that are worth the time.
    const LOOKED_AT: u64 = 1 << 20;
    let Ok(image) = Image::parse(pack) else { return };
    if image.manifest.kernel().content_len > LOOKED_AT {
        return;
    }
    if let Err(error) = image.check() {
        said::note(&error);
    }
    if let Ok(info) = pack::info::Info::of(&image, pack::stage0::EMBEDDED, None) {
        let _ = format!("{info:?}");
    }
}

/// Packs, as they are and to be sealed.
pub fn seeds() -> Vec<Vec<u8>> {
    let packs = seeds::packs();
    let with = |mode: u8| packs.iter().map(move |pack| [&[mode], &pack[..]].concat());
    with(0).chain(with(1)).chain(with(2)).chain(with(5)).collect()
}
