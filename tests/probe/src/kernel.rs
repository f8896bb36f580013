//! The kernel itself: whether what the ELF names lies in memory, and nothing else between.

use probe::{MAX_SEGMENTS, Segment, TABLE_MAGIC, TABLE_PAGE, Table};

use crate::entry::State;
use crate::memory::{bytes, first_nonzero, read};
use crate::report::{check, info};

/// The host's table, which only the loaded image holds.
#[repr(C, align(4096))]
struct TablePage([u8; TABLE_PAGE]);
#[unsafe(link_section = ".table")]
#[used]
static TABLE: TablePage = TablePage([0; TABLE_PAGE]);

/// The kernel as the host made it, and where it was found.
pub(crate) struct Kernel {
    table: Table,
    /// How far the image was loaded from where its program header says (only by PHYS32_RELOC); wraps.
    moved: u64,
}

impl Kernel {
    /// Reads the table.
    pub(crate) fn find(state: &State) -> Self {
        let offset = (&raw const TABLE as u64).wrapping_sub(probe::IMAGE_VIRT);
        let table: Table = read(u64::from(state.image) + offset).unwrap_or_default();
        let moved = u64::from(state.image).wrapping_sub(table.segments[0].paddr);
        Self { table, moved }
    }

    /// The layout's name.
    pub(crate) fn name(&self) -> &str {
        let name = self.table.name.split(|byte| *byte == 0).next().unwrap_or_default();
        str::from_utf8(name).unwrap_or("?")
    }

    /// The segments, where they were found.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment> {
        let count = usize::try_from(self.table.segment_count).map_or(0, |count| count.min(MAX_SEGMENTS));
        self.table.segments.into_iter().take(count).map(|mut segment| {
            segment.paddr = segment.paddr.wrapping_add(self.moved);
            segment
        })
    }

    /// Where the kernel begins and ends, gaps included.
    pub(crate) fn hull(&self) -> (u64, u64) {
        let start = self.segments().map(|segment| segment.paddr).min().unwrap_or(0);
        let end = self.segments().map(|segment| segment.paddr.saturating_add(segment.memory_size)).max().unwrap_or(0);
        (start, end)
    }

    /// Everything that the table says.
    pub(crate) fn check(&self, state: &State) {
        let valid = self.table.magic == TABLE_MAGIC && self.table.hash == self.table.expected_hash();
        check(valid, "table", format_args!("hash {:#018x}", self.table.hash));
        info("image.address", format_args!("{:#x}", state.image));
        for (number, segment) in self.segments().enumerate() {
            check_bytes(number, &segment);
            check_bss(number, &segment, state);
        }
        let mut from = self.hull().0;
        let mut gap = 0;
        while let Some((start, end)) = self.next_gap(from) {
            check_zero(format_args!("gap[{gap}]"), format_args!("{:#x} bytes", end - start), first_nonzero(start, end));
            from = end;
            gap += 1;
        }
    }

    /// The first gap between segments behind `from`.
    fn next_gap(&self, from: u64) -> Option<(u64, u64)> {
        let mut start = from;
        loop {
            let covering = self.segments().find(|s| s.paddr <= start && start < s.paddr.saturating_add(s.memory_size));
            match covering {
                Some(segment) => start = segment.paddr.saturating_add(segment.memory_size),
                None => break,
            }
        }
        let end = self.segments().map(|segment| segment.paddr).filter(|paddr| *paddr > start).min()?;
        Some((start, end))
    }
}

/// The file's bytes, by hash.
fn check_bytes(number: usize, segment: &Segment) {
    let found = bytes(segment.paddr, segment.hashed).map(probe::hash);
    check(
        found == Some(segment.hash),
        format_args!("segment[{number}].bytes"),
        format_args!("{:#x} of {:#x}, hash {:#018x}", segment.hashed, segment.memory_size, found.unwrap_or(0)),
    );
}

/// The bytes that are not in the file. The image's the entry has looked at, before they were used.
fn check_bss(number: usize, segment: &Segment, state: &State) {
    let first = match number {
        0 if state.bss_nonzero != 0 => Ok(Some(u64::from(state.bss_nonzero))),
        0 => Ok(None),
        _ => first_nonzero(segment.paddr + segment.file_size, segment.paddr + segment.memory_size),
    };
    let size = segment.memory_size - segment.file_size;
    check_zero(format_args!("segment[{number}].bss"), format_args!("{size:#x} bytes"), first);
}

fn check_zero(name: impl core::fmt::Display, size: core::fmt::Arguments<'_>, first: Result<Option<u64>, ()>) {
    match first {
        Ok(None) => check(true, name, format_args!("{size}, all zero")),
        Ok(Some(address)) => check(false, name, format_args!("{size}, not zero at {address:#x}")),
        Err(()) => check(false, name, format_args!("{size}, beyond what can be read")),
    };
}
