//! Where `pack` cuts a kernel file into frames, beside the frames' own bound on length.

use super::bytes::u64_at;
use super::head::Head;
use super::relocate::Tables;
use super::sections::{SHT_NOTE, SHT_SYMTAB, Section, Sections};
use super::segment::MAX_SEGMENTS;
use super::{Dynamic, Kernel, KernelFile, MAX_VIEW, Metadata, PIECE_LEN, Pieces, ReadError, RelocError, notes};
use crate::memory::FileRange;

/// The most sections of notes that are cut out. A kernel with more can still be read, from larger frames.
const MAX_NOTE_SECTIONS: usize = 64;
/// The most pieces of relocations that are cut out. More, of 190 MiB, would be 16 million relocations.
const MAX_PIECES: usize = 1024;
/// The most ranges that are cut out: two headers, segments or notes and the ends of these, sections of notes, five more
/// of sections, the dynamic table and pieces of relocations.
pub const MAX_CUTS: usize = 2 + 2 * MAX_SEGMENTS + MAX_NOTE_SECTIONS + 5 + 1 + MAX_PIECES;

/// Ranges of a file, sorted by offset, none empty. They may overlap: each start and each end is a place to cut.
pub type Cuts = heapless::Vec<FileRange, MAX_CUTS>;

impl Kernel {
    /// The ranges at whose starts and ends a pack cuts: ELF header, program headers, notes, the segments' bytes, section
    /// headers, section names, sections of notes, `__xen_guest`, symbol table and its strings, a static PIE's dynamic table and
    /// relocations. Thus what a plan needs, and what is placed, are each made of whole frames.
    pub fn cuts<F: KernelFile>(file: &mut F) -> Result<Cuts, ReadError<F::Error>> {
        let head = Head::read(file)?;
        let mut cuts = Cuts::new();
        let headers = [FileRange::new(0, head.class.header_len() as u64).unwrap_or_default(), head.program_headers];
        let segments = head.segments.iter().map(|segment| segment.file);
        for range in headers.into_iter().chain(head.notes.iter().copied()).chain(segments) {
            add(&mut cuts, range);
        }
        for range in &head.notes {
            add(&mut cuts, cut_note(file, *range)?);
        }
        if let Some(dynamic) = head.dynamic {
            add_relocations(file, &head, dynamic, &mut cuts)?;
        }
        if let Some(table) = head.sections {
            add(&mut cuts, table.range);
            // What the section table leads to matters only to a kernel whose table stage0 could read.
            if let Ok(sections) = Sections::new::<F::Error>(head.class, table) {
                add_sections(file, &sections, &mut cuts)?;
            }
        }
        cuts.sort_unstable_by_key(|range| (range.offset(), range.len()));
        Ok(cuts)
    }
}

/// Adds the dynamic table, and relocations in pieces. Those of a file that has other ones than stage0 applies are not cut out.
fn add_relocations<F: KernelFile>(
    file: &mut F,
    head: &Head,
    dynamic: Dynamic,
    cuts: &mut Cuts,
) -> Result<(), ReadError<F::Error>> {
    let file_len = file.len();
    let table = FileRange::new(dynamic.offset, dynamic.len).ok().filter(|table| table.end() <= file_len);
    add(cuts, table.unwrap_or_default());
    let segments = head.segments.iter().map(|segment| (segment.vaddr.0, segment.file));
    let mut viewed = Viewed { file, piece: FileRange::default() };
    let tables = match Tables::read(&mut viewed, file_len, head.class, dynamic, segments) {
        Ok(tables) => tables,
        Err(Stop::Relocations) => return Ok(()),
        Err(Stop::File(error)) => return Err(error),
    };
    let pieces = tables.ranges().flat_map(|range| {
        let starts = (range.offset()..range.end()).step_by(PIECE_LEN as usize);
        starts.filter_map(move |start| FileRange::new(start, PIECE_LEN.min(range.end() - start)).ok())
    });
    pieces.take(MAX_PIECES).for_each(|piece| add(cuts, piece));
    Ok(())
}

/// A file that is looked at number by number.
struct Viewed<'a, F> {
    file: &'a mut F,
    piece: FileRange,
}

/// Why tables cannot be found.
enum Stop<E> {
    /// The file does not give them.
    File(ReadError<E>),
    /// They are not as they should be.
    Relocations,
}

impl<E> From<RelocError> for Stop<E> {
    fn from(_: RelocError) -> Self {
        Self::Relocations
    }
}

impl<F: KernelFile> Pieces for Viewed<'_, F> {
    type Error = Stop<F::Error>;

    fn open(&mut self, piece: FileRange) -> Result<(), Self::Error> {
        self.piece = piece;
        super::view(self.file, piece.offset(), piece.len()).map(drop).map_err(Stop::File)
    }

    fn number(&mut self, at: u64, len: u64) -> u64 {
        let at = self.piece.offset().saturating_add(at);
        super::view(self.file, at, len).map_or(0, |bytes| u64_at(bytes, 0))
    }
}

/// The note that runs past the end of its notes, which is looked at as a whole; empty if there is none.
fn cut_note<F: KernelFile>(file: &mut F, range: FileRange) -> Result<FileRange, ReadError<F::Error>> {
    if range.len() > MAX_VIEW {
        return Ok(FileRange::default());
    }
    let found = notes::parse(super::view(file, range.offset(), range.len())?, &mut 0, &mut Metadata::default());
    match found.ok().and_then(|found| found.cut) {
        Some(at) => Ok(super::last_note(file, range.offset() + at as u64)?.unwrap_or_default()),
        None => Ok(FileRange::default()),
    }
}

/// Adds section names, `__xen_guest`, symbols and their strings, and sections of notes.
fn add_sections<F: KernelFile>(file: &mut F, sections: &Sections, cuts: &mut Cuts) -> Result<(), ReadError<F::Error>> {
    let symtab = sections.find(file, 1, &|section| section.kind == SHT_SYMTAB)?;
    let strtab = match &symtab {
        Some(symtab) => sections.get(file, symtab.link)?,
        None => None,
    };
    let names = sections.names(file)?;
    let guest = match sections.named(file, b"__xen_guest\0") {
        Err(ReadError::SectionNamesTooLong { .. }) => None,
        found => found?,
    };
    for section in [symtab, strtab, names, guest].iter().flatten() {
        add_section(file.len(), section, cuts);
    }
    let mut next = 1;
    for _ in 0..MAX_NOTE_SECTIONS {
        let Some(section) = sections.find(file, next, &|section| section.kind == SHT_NOTE)? else { break };
        add_section(file.len(), &section, cuts);
        next = section.index.saturating_add(1);
    }
    Ok(())
}

fn add_section(file_len: u64, section: &Section, cuts: &mut Cuts) {
    if let Some(range) = section.range(file_len) {
        add(cuts, range);
    }
}

/// Adds a range, unless it is empty. The table has room for all that a file can have.
fn add(cuts: &mut Cuts, range: FileRange) {
    if !range.is_empty() {
        let _ = cuts.push(range);
    }
}
