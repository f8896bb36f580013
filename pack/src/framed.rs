//! Whether a pack's frames are cut so that stage0 can look at the kernel in them, and put its parts where they go.

use shared::format::Manifest;
use shared::kernel::{Kernel, KernelFile, Pieces, Plan, ReadError, Relocated, relocate};
use shared::memory::{FileRange, Phys, PhysRange, VIEW_LEN};
use stage0::load::{Clock, LoadError, Memory, Meter, PackedFile, Ramdisk};

use crate::image::Image;
use crate::relocated::{number, slice};

/// Looks at the frames of the pack in `image` as stage0 does for `plan`.
pub(crate) fn check(image: &Image<'_>, plan: &Plan) -> Result<(), LoadError> {
    read(&image.manifest, image.bytes())?;
    read_tables(&image.manifest, image.bytes(), plan)?;
    let symbols = plan.symbols.iter().flat_map(|symbols| [symbols.symbols, symbols.strings]);
    for range in plan.placements.iter().map(|placement| placement.file).chain(symbols) {
        let straddles = |frame: &shared::format::Frame<'_>| {
            frame.content.offset() < range.offset() || frame.content.end() > range.end()
        };
        if let Some(frame) = image.manifest.frames_of(range).find(straddles) {
            return Err(LoadError::Straddles { index: frame.index, range });
        }
    }
    Ok(())
}

/// Reads the kernel of `pack`, which has `manifest`, as stage0 does. What else is wrong with the kernel than with its frames is found
/// where it is read as a file.
pub(crate) fn read(manifest: &Manifest<'_>, pack: &[u8]) -> Result<(), LoadError> {
    let mut memory = Scratch { view: vec![0; VIEW_LEN as usize], pack };
    let (mut ramdisk, mut meter) = (Ramdisk { base: PACK_AT }, Meter::new(Unread, |_| ()));
    let mut file = PackedFile::new(&mut memory, &mut ramdisk, *manifest, Phys(0), &mut meter);
    match Kernel::read(&mut file) {
        Err(ReadError::File(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Reads the relocations of a static PIE as stage0 does. What becomes of memory by them decides on nothing here.
fn read_tables(manifest: &Manifest<'_>, pack: &[u8], plan: &Plan) -> Result<(), LoadError> {
    let mut memory = Scratch { view: vec![0; VIEW_LEN as usize], pack };
    let (mut ramdisk, mut meter) = (Ramdisk { base: PACK_AT }, Meter::new(Unread, |_| ()));
    let file = PackedFile::new(&mut memory, &mut ramdisk, *manifest, Phys(0), &mut meter).for_tables();
    relocate(plan, manifest.kernel().content_len, &mut Tables { file, piece: Vec::new() })
}

/// The tables of a static PIE, of which no more can be seen at a time than stage0 decodes.
struct Tables<F> {
    file: F,
    piece: Vec<u8>,
}

impl<F: KernelFile<Error = LoadError>> Pieces for Tables<F> {
    type Error = LoadError;

    fn open(&mut self, piece: FileRange) -> Result<(), LoadError> {
        self.piece = self.file.view(piece)?.to_vec();
        Ok(())
    }

    fn number(&mut self, at: u64, len: u64) -> u64 {
        number(slice(&self.piece, at, len))
    }
}

impl<F: KernelFile<Error = LoadError>> Relocated for Tables<F> {
    fn get(&mut self, _: PhysRange) -> u64 {
        0
    }

    fn put(&mut self, _: PhysRange, _: u64) -> Result<(), LoadError> {
        Ok(())
    }
}

/// Where the pack lies: behind what its head is decoded into.
const PACK_AT: Phys = Phys(VIEW_LEN);

/// As much of a domain's memory as the kernel's head takes.
struct Scratch<'a> {
    view: Vec<u8>,
    pack: &'a [u8],
}

/// The bytes of `range` among `bytes`, which lie from `start` on.
fn indices(range: PhysRange, start: Phys) -> Option<std::ops::Range<usize>> {
    let index = |at: Phys| at.0.checked_sub(start.0).and_then(|at| usize::try_from(at).ok());
    Some(index(range.start())?..index(range.end())?)
}

impl Memory for Scratch<'_> {
    fn bytes(&self, range: PhysRange) -> Option<&[u8]> {
        self.view.get(indices(range, Phys(0))?)
    }

    fn bytes_mut(&mut self, range: PhysRange) -> Option<&mut [u8]> {
        self.view.get_mut(indices(range, Phys(0))?)
    }

    fn pair(&mut self, from: PhysRange, to: PhysRange) -> Option<(&[u8], &mut [u8])> {
        Some((self.pack.get(indices(from, PACK_AT)?)?, self.view.get_mut(indices(to, Phys(0))?)?))
    }

    fn relocate(&mut self, _: PhysRange, _: Phys) -> Option<()> {
        None
    }
}

/// A clock that nobody reads.
struct Unread;

impl Clock for Unread {
    fn now(&self) -> u64 {
        0
    }
}
