//! Section headers: read only when a kernel has no Xen note in its program headers, or wants its symbols loaded.

use super::bytes::{u32_at, u64_at};
use super::file::MAX_VIEW;
use super::head::{Class, SectionTable};
use super::{KernelFile, ReadError};
use crate::memory::FileRange;

/// Section types (ELF specification).
pub(super) const SHT_SYMTAB: u32 = 2;
/// String table.
pub(super) const SHT_STRTAB: u32 = 3;
/// Notes.
pub(super) const SHT_NOTE: u32 = 7;

/// A section header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Section {
    pub(super) index: u16,
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) link: u32,
    /// The header's bytes; those of an ELF32 header are the first 40.
    pub(super) bytes: [u8; 64],
}

impl Section {
    fn parse(class: Class, index: u16, header: &[u8]) -> Self {
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(header.iter().take(class.section_header_len())) {
            *to = *from;
        }
        let (offset, len, link) = match class {
            Class::Elf32 => (u32_at(&bytes, 16).into(), u32_at(&bytes, 20).into(), u32_at(&bytes, 24)),
            Class::Elf64 => (u64_at(&bytes, 24), u64_at(&bytes, 32), u32_at(&bytes, 40)),
        };
        Self { index, name: u32_at(&bytes, 0), kind: u32_at(&bytes, 4), offset, len, link, bytes }
    }

    /// Where its bytes are, or `None` if not in the file.
    pub(super) fn range(&self, file_len: u64) -> Option<FileRange> {
        FileRange::new(self.offset, self.len).ok().filter(|range| range.end() <= file_len)
    }
}

/// The section headers of a file: a table that fits into one view.
#[derive(Clone, Copy)]
pub(super) struct Sections {
    class: Class,
    table: SectionTable,
}

impl Sections {
    /// Bounds the table to [`MAX_VIEW`] bytes: 1024 headers of ELF64. Kernels of today have 30 to 80.
    pub(super) fn new<E>(class: Class, table: SectionTable) -> Result<Self, ReadError<E>> {
        if table.range.len() > MAX_VIEW {
            return Err(ReadError::TooManySections { found: table.count });
        }
        Ok(Self { class, table })
    }

    /// The first section from number `from` on for which `wanted` holds.
    pub(super) fn find<F: KernelFile>(
        &self,
        file: &mut F,
        from: u16,
        wanted: &dyn Fn(&Section) -> bool,
    ) -> Result<Option<Section>, ReadError<F::Error>> {
        Ok(self.first::<F, 1>(file, from, wanted)?.pop())
    }

    /// The first `N` sections from number `from` on for which `wanted` holds, or all that there are.
    pub(super) fn first<F: KernelFile, const N: usize>(
        &self,
        file: &mut F,
        from: u16,
        wanted: &dyn Fn(&Section) -> bool,
    ) -> Result<heapless::Vec<Section, N>, ReadError<F::Error>> {
        let headers = super::view(file, self.table.range.offset(), self.table.range.len())?;
        let stride = usize::try_from(self.table.stride).unwrap_or(usize::MAX);
        let sections = (0..self.table.count).zip(headers.chunks_exact(stride));
        let sections = sections.map(|(index, header)| Section::parse(self.class, index, header));
        let mut found = heapless::Vec::new();
        for section in sections.filter(|section| section.index >= from && wanted(section)) {
            if found.push(section).is_err() || found.is_full() {
                break;
            }
        }
        Ok(found)
    }

    /// Section number `index`.
    pub(super) fn get<F: KernelFile>(&self, file: &mut F, index: u32) -> Result<Option<Section>, ReadError<F::Error>> {
        match u16::try_from(index) {
            Ok(index) => self.find(file, index, &|section| section.index == index),
            Err(_) => Ok(None),
        }
    }

    /// The section that holds the names.
    pub(super) fn names<F: KernelFile>(&self, file: &mut F) -> Result<Option<Section>, ReadError<F::Error>> {
        self.get(file, self.table.names.into())
    }

    /// The first section whose name is `name`, which ends with its NUL. Names that run past the end of the file end there.
    pub(super) fn named<F: KernelFile>(
        &self,
        file: &mut F,
        name: &[u8],
    ) -> Result<Option<Section>, ReadError<F::Error>> {
        let file_len = file.len();
        let Some((offset, len)) = self.names(file)?.map(|section| (section.offset, section.len)) else {
            return Ok(None);
        };
        let len = len.min(file_len.saturating_sub(offset));
        if len > MAX_VIEW {
            return Err(ReadError::SectionNamesTooLong { len });
        }
        if len == 0 {
            return Ok(None);
        }
        let text = super::view(file, offset, len)?;
        // A bit for each place in the text at which the name stands.
        let mut places = [0u64; MAX_VIEW as usize / 64];
        for (at, _) in text.windows(name.len()).enumerate().filter(|(_, window)| *window == name) {
            places[at / 64] |= 1 << (at % 64);
        }
        let has = |at: u32| places.get(at as usize / 64).is_some_and(|bits| bits >> (at % 64) & 1 != 0);
        self.find(file, 0, &|section| has(section.name))
    }
}
