//! Reading a kernel: what it says of itself, and the plan that follows.
//!
//! [`Kernel::read`] takes from an ELF file what decides how it is loaded; [`Kernel::plan`] makes of it where each byte
//! goes and where to enter, for one protocol. `pack` on the host and `stage0` in the guest both run this, over the same
//! file, so what the one shows is what the other does.
//!
//! Notes, the `__xen_guest` string and the arithmetic follow libelf of Xen's tree (`xen/common/libelf`), which is what
//! every builder of Xen runs.

mod bytes;
mod cuts;
mod decisions;
mod error;
mod features;
mod file;
mod guest_string;
mod head;
mod metadata;
pub mod notes;
pub(crate) mod plan;
mod relocate;
mod sections;
mod segment;
mod symbols;
#[cfg(test)]
mod tests;

pub use cuts::{Cuts, MAX_CUTS};
pub use decisions::{Decisions, EntryRule, Mapping, Protocol};
pub use error::ReadError;
pub use features::{FeatureName, Features};
pub use file::{KernelFile, MAX_VIEW, Outside, SliceFile};
pub use head::{Class, Machine};
pub use metadata::{Metadata, Name, Pae, Source};
pub use plan::{
    Decision, Entry, MAX_KERNEL_AREA, MAX_SEGMENT_MAP, Placement, Plan, PlanError, PvLayout, Relocation, SegmentMap,
    SymbolPlan,
};
pub use relocate::{Dynamic, PIECE_LEN, Pie, Pieces, RelocError, Relocated, relocate};
pub use segment::{Access, MAX_SEGMENTS, Segment};
pub use symbols::{SYMBOL_HEADERS, Symbols};

use crate::memory::FileRange;
use head::Head;
use sections::{SHT_NOTE, Sections};

/// A section that every Linux vmlinux has, whatever it is stripped of.
const LINUX_SECTION: &[u8] = b"__ksymtab\0";
/// Sections of notes that are found at once. Kernels have about five.
const NOTES_AT_A_TIME: usize = 32;

/// What of a kernel file decides how it is loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// Width of the file.
    pub class: Class,
    /// Processor that it is for. PVH looks at neither: there are kernels of ELF32 for x86-64.
    pub machine: Machine,
    /// `e_entry`, as the file has it: virtual or physical, which the plan decides.
    pub elf_entry: u64,
    /// What is to be loaded, in the order of the program headers. At least one.
    pub segments: heapless::Vec<Segment, MAX_SEGMENTS>,
    /// What it says of itself to Xen.
    pub xen: Metadata,
    /// Its symbol table, if BSD_SYMTAB asks for it and there is one.
    pub symbols: Option<Symbols>,
    /// The dynamic table of a file of type DYN, as the file says it.
    pub dynamic: Option<Dynamic>,
}

impl Kernel {
    /// Reads a kernel.
    ///
    /// Bounds: [`MAX_SEGMENTS`] program headers; [`MAX_VIEW`] bytes each of notes in one place, section headers and
    /// section names, where these are needed; 4096 bytes of `__xen_guest`; 65536 notes.
    pub fn read<F: KernelFile>(file: &mut F) -> Result<Self, ReadError<F::Error>> {
        let head = Head::read(file)?;
        let xen = metadata(file, &head)?;
        let symbols = if xen.bsd_symtab { Symbols::read(file, &head)? } else { None };
        Ok(Self {
            class: head.class,
            machine: head.machine,
            elf_entry: head.entry,
            segments: head.segments,
            xen,
            symbols,
            dynamic: head.dynamic,
        })
    }
}

/// What the kernel says to Xen: in notes of program headers, else in notes of sections, else in `__xen_guest`.
fn metadata<F: KernelFile>(file: &mut F, head: &Head) -> Result<Metadata, ReadError<F::Error>> {
    let mut metadata = Metadata::default();
    let mut count = 0;
    for range in &head.notes {
        if notes_at(file, *range, &mut count, &mut metadata)? > 0 {
            metadata.source = Source::Segments;
        }
    }
    let Some(table) = head.sections.filter(|_| metadata.source == Source::None) else {
        return Ok(metadata);
    };
    let sections = Sections::new(head.class, table)?;
    let mut next = 1;
    loop {
        // In a pack, notes and headers may have to be decoded anew after each other.
        let found = sections.first::<F, NOTES_AT_A_TIME>(file, next, &|section| section.kind == SHT_NOTE)?;
        for section in &found {
            let (offset, len, file_len) = (section.offset, section.len, file.len());
            let range = section.range(file_len).ok_or(ReadError::NotesOutside { offset, len, file_len })?;
            if notes_at(file, range, &mut count, &mut metadata)? > 0 {
                metadata.source = Source::Sections;
            }
            next = section.index.saturating_add(1);
        }
        if !found.is_full() {
            break;
        }
    }
    if metadata.source == Source::None {
        guest_string(file, &sections, &mut metadata)?;
    }
    Ok(metadata)
}

/// Reads the notes at one place. Returns how many were Xen's.
fn notes_at<F: KernelFile>(
    file: &mut F,
    range: FileRange,
    count: &mut u32,
    metadata: &mut Metadata,
) -> Result<u32, ReadError<F::Error>> {
    if range.len() > MAX_VIEW {
        return Err(ReadError::NotesTooLong { len: range.len() });
    }
    let bytes = view(file, range.offset(), range.len())?;
    let found = notes::parse(bytes, count, metadata).map_err(|_| ReadError::TooManyNotes)?;
    let Some(at) = found.cut else { return Ok(found.xen) };
    let offset = range.offset() + at as u64;
    let last = last_note(file, offset)?.ok_or(ReadError::NoteTruncated { offset })?;
    let bytes = view(file, last.offset(), last.len())?;
    let last = notes::parse(bytes, count, metadata).map_err(|_| ReadError::TooManyNotes)?;
    if last.cut.is_some() {
        notes::take_text(bytes, metadata);
        return Ok(found.xen + 1);
    }
    Ok(found.xen + last.xen)
}

/// Where the note at `offset` is, which runs past the end of its notes: libelf reads such a one all the same. Of one that is
/// not Xen's, only the start. Of a text, what is in the file: the images that GRUB makes for 32-bit PV end in one whose
/// length is wrong. `None` if a number is not in the file, and past [`MAX_VIEW`] bytes.
fn last_note<F: KernelFile>(file: &mut F, offset: u64) -> Result<Option<FileRange>, ReadError<F::Error>> {
    let file_len = file.len();
    let start = notes::start_of(offset, file_len);
    let bytes = view(file, start.offset(), start.len())?;
    if !notes::is_xen(bytes) {
        return Ok(Some(start));
    }
    let whole = notes::whole(offset, bytes).filter(|range| range.end() <= file_len);
    let rest = || FileRange::new(offset, file_len - offset).ok().filter(|_| notes::is_text(bytes));
    Ok(whole.or_else(rest).filter(|range| range.len() <= MAX_VIEW))
}

/// Reads `__xen_guest`, if there is one; else looks whether this is Linux.
fn guest_string<F: KernelFile>(
    file: &mut F,
    sections: &Sections,
    metadata: &mut Metadata,
) -> Result<(), ReadError<F::Error>> {
    let Some(section) = sections.named(file, b"__xen_guest\0")? else {
        metadata.linux_content |= sections.named(file, LINUX_SECTION)?.is_some();
        return Ok(());
    };
    let range = section
        .range(file.len())
        .filter(|range| range.len() <= guest_string::MAX_GUEST_STRING)
        .ok_or(ReadError::GuestString { offset: section.offset, len: section.len })?;
    guest_string::parse(view(file, range.offset(), range.len())?, metadata);
    metadata.source = Source::GuestString;
    Ok(())
}

/// The `len` bytes from `offset` on, all of them.
#[inline(never)]
fn view<F: KernelFile>(file: &mut F, offset: u64, len: u64) -> Result<&[u8], ReadError<F::Error>> {
    let file_len = file.len();
    let range = FileRange::new(offset, len).map_err(|_| ReadError::Short { found: file_len })?;
    let bytes = file.view(range).map_err(ReadError::File)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(ReadError::View { range, found: bytes.len() as u64 }) }
}
