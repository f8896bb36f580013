//! Where `pack` cuts a kernel file into frames, beside the frames' own bound on length.

use super::head::Head;
use super::sections::{SHT_NOTE, SHT_SYMTAB, Section, Sections};
use super::segment::MAX_SEGMENTS;
use super::{Kernel, KernelFile, MAX_VIEW, Metadata, ReadError, notes};
use crate::memory::FileRange;

/// The most sections of notes that are cut out. A kernel with more can still be read, from larger frames.
const MAX_NOTE_SECTIONS: usize = 64;
/// The most ranges that are cut out: two headers, segments or notes and the ends of these, sections of notes, and five more
/// of sections.
pub const MAX_CUTS: usize = 2 + 2 * MAX_SEGMENTS + MAX_NOTE_SECTIONS + 5;

/// Ranges of a file, sorted by offset, none empty. They may overlap: each start and each end is a place to cut.
pub type Cuts = heapless::Vec<FileRange, MAX_CUTS>;

impl Kernel {
    /// The ranges at whose starts and ends a pack cuts: ELF header, program headers, notes, the segments' bytes, section
    /// headers, section names, sections of notes, `__xen_guest`, symbol table and its strings. Thus what a plan needs, and what is placed,
    /// are each made of whole frames.
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
