//! What is in the memory that the builder wrote: the kernel, the module, its own pages, and between them.

use core::fmt::Display;
use core::ops::Range;

use probe::{MAX_SEGMENTS, MODULE_MAGIC, ModuleHeader, Segment, TABLE_MAGIC};
use shared::xen::pv::StartInfo;
use zerocopy::IntoBytes;

use crate::domain::Domain;
use crate::entry::{self, State};
use crate::memory::{self, PAGE, Source};
use crate::report::{check, info};

/// Bytes of a slot of the hypercall page.
const SLOT: usize = 32;

/// The segments, at their virtual addresses.
fn segments(domain: &Domain) -> impl Iterator<Item = Segment> {
    let table = &domain.table;
    let count = usize::try_from(table.segment_count).map_or(0, |count| count.min(MAX_SEGMENTS));
    let offset = table.virt_base.wrapping_sub(table.paddr_offset);
    table.segments.into_iter().take(count).map(move |mut segment| {
        segment.paddr = segment.paddr.wrapping_add(offset);
        segment
    })
}

/// Where the kernel begins and ends, gaps included.
fn hull(domain: &Domain) -> (u64, u64) {
    let start = segments(domain).map(|segment| segment.paddr).min().unwrap_or(0);
    let end = segments(domain).map(|segment| segment.paddr.wrapping_add(segment.memory_size)).max().unwrap_or(0);
    (start, end)
}

/// Everything that the table says, and what surrounds the kernel.
pub(crate) fn kernel(domain: &Domain, state: &State) {
    let table = &domain.table;
    let valid = table.magic == TABLE_MAGIC && table.hash == table.expected_hash();
    check(valid, "table", format_args!("hash {:#018x}", table.hash));
    let (start, end) = hull(domain);
    zeros(domain, "below", Source::Virtual(table.virt_base), 0, start.wrapping_sub(table.virt_base));
    for (number, segment) in segments(domain).enumerate() {
        bytes(domain, number, &segment);
        bss(domain, number, &segment, state);
        let linked = table.linked[number];
        if linked != 0 {
            self::linked(domain, number, &Segment { paddr: linked, ..segment });
        }
    }
    gaps(domain, start);
    if table.symbols != 0 {
        symbols(domain, end);
    } else {
        zeros(domain, "kernel.tail", Source::Virtual(end), 0, end.next_multiple_of(PAGE) - end);
    }
    hypercall_page();
}

/// The file's bytes, by hash.
fn bytes(domain: &Domain, number: usize, segment: &Segment) {
    let found = Source::Virtual(segment.paddr).hash(domain, segment.hashed);
    check(
        found == Some(segment.hash),
        format_args!("segment[{number}].bytes"),
        format_args!("{:#x} of {:#x}, hash {:#018x}", segment.hashed, segment.memory_size, found.unwrap_or(0)),
    );
}

/// The same where the segment was linked; of the image, what is never written.
fn linked(domain: &Domain, number: usize, segment: &Segment) {
    let found = Source::Virtual(segment.paddr).hash(domain, segment.hashed);
    let rest = Source::Virtual(segment.paddr).nonzero(domain, segment.file_size, segment.memory_size);
    let holds = found == Some(segment.hash) && (number == 0 || rest == Ok(None));
    check(holds, format_args!("segment[{number}].linked"), format_args!("at {:#x}", segment.paddr));
}

/// The bytes that are not in the file. The image's the entry has looked at, before they were used.
fn bss(domain: &Domain, number: usize, segment: &Segment, state: &State) {
    let size = segment.memory_size - segment.file_size;
    let first = match (number, state.bss_nonzero) {
        (0, 0) => Ok(None),
        (0, address) => Ok(Some(address)),
        _ => Source::Virtual(segment.paddr).nonzero(domain, segment.file_size, segment.memory_size),
    };
    let name = format_args!("segment[{number}].bss");
    check(first == Ok(None), name, format_args!("{size:#x} bytes, {}", Zero(first)));
}

fn gaps(domain: &Domain, start: u64) {
    let end_of = |segment: &Segment| segment.paddr.wrapping_add(segment.memory_size);
    let mut from = start;
    let mut number = 0;
    loop {
        let covering = segments(domain).find(|segment| segment.paddr <= from && from < end_of(segment));
        if let Some(segment) = covering {
            from = end_of(&segment);
            continue;
        }
        let Some(next) = segments(domain).map(|segment| segment.paddr).filter(|start| *start > from).min() else {
            break;
        };
        let found = Source::Virtual(from).nonzero(domain, 0, next - from);
        check(
            found == Ok(None),
            format_args!("gap[{number}]"),
            format_args!("{:#x} bytes, {}", next - from, Zero(found)),
        );
        from = next;
        number += 1;
    }
}

/// What BSD_SYMTAB asks for: a size, and as many bytes behind it.
fn symbols(domain: &Domain, end: u64) {
    let start = end.next_multiple_of(8);
    let size = memory::read_u64(start) & 0xffff_ffff;
    let whole = (4 + size).min(1 << 24);
    let hash = Source::Virtual(start).hash(domain, whole);
    info("symbols", format_args!("at {start:#x}, {size:#x} bytes, hash {:#018x}", hash.unwrap_or(0)));
    let after = start.wrapping_add(whole);
    zeros(domain, "symbols.tail", Source::Virtual(after), 0, after.next_multiple_of(PAGE) - after);
}

/// The page that a HYPERCALL_PAGE note names, or that no note names and nobody fills.
fn hypercall_page() {
    let mut page = [0; PAGE as usize];
    memory::copy(entry::hypercall_page(), &mut page);
    info("hypercall_page", format_args!("hash {:#018x}", probe::hash(&page)));
    for slot in [0, 23, 127] {
        let bytes: &[u8; 16] = page[slot * SLOT..].first_chunk().unwrap_or(&[0; 16]);
        info(format_args!("hypercall_page[{slot}]"), format_args!("{:#034x}", u128::from_be_bytes(*bytes)));
    }
}

/// The module, which is mapped or is not, and its page's rest.
pub(crate) fn module(domain: &Domain) {
    let (start, size) = (domain.start_info.mod_start.get(), domain.start_info.mod_len.get());
    if size == 0 {
        return;
    }
    let mapped = !domain.is_module_by_frame();
    let source = if mapped { Source::Virtual(start) } else { Source::Frame(start) };
    let mut header = ModuleHeader::default();
    let first = match source {
        Source::Frame(pfn) => match domain.mfn(pfn) {
            Some(mfn) if domain.window.map(mfn) => domain.window.virt,
            _ => return check(false, "module", format_args!("frame {pfn:#x} cannot be read")),
        },
        Source::Virtual(start) => start,
    };
    memory::copy(first, header.as_mut_bytes());
    let known = header.magic == MODULE_MAGIC && header.size <= size;
    let written = if known { header.size } else { size };
    let hash = source.hash(domain, written);
    check(known, "module", format_args!("{written} bytes, hash {:#018x}", hash.unwrap_or(0)));
    zeros(domain, "module.tail", source, written, size.next_multiple_of(PAGE));
}

/// The frames of a module that is not mapped; none where there is no such.
pub(crate) fn module_frames(domain: &Domain) -> Range<u64> {
    let (start, size) = (domain.start_info.mod_start.get(), domain.start_info.mod_len.get());
    if domain.is_module_by_frame() { start..start + size.div_ceil(PAGE) } else { 0..0 }
}

/// The pages that the builder made besides, and what lies behind them.
pub(crate) fn pages(domain: &Domain, state: &State) {
    let start_info = &domain.start_info;
    let struct_size = size_of::<StartInfo>() as u64;
    zeros(domain, "start_info.rest", Source::Virtual(state.start_info()), struct_size, PAGE);
    let page_of_stack = state.stack().wrapping_sub(PAGE);
    zeros(domain, "stack", Source::Virtual(page_of_stack), 0, PAGE);
    let list = start_info.nr_pages.get() * 8;
    zeros(domain, "p2m.tail", Source::Virtual(start_info.mfn_list.get()), list, list.next_multiple_of(PAGE));
}

/// The padding, from `from` to the end of the linear mapping, in which nothing is promised.
pub(crate) fn padding(domain: &Domain, from: u64, to: u64) {
    zeros(domain, "padding", Source::Virtual(from), 0, to.wrapping_sub(from));
}

/// A range of which nobody promises that it is zero.
fn zeros(domain: &Domain, name: impl Display, source: Source, from: u64, to: u64) {
    let found = source.nonzero(domain, from, to);
    info(name, format_args!("{:#x} bytes, {}", to - from, Zero(found)));
}

/// Whether all bytes are zero, for people.
struct Zero(Result<Option<u64>, ()>);

impl Display for Zero {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Ok(None) => f.write_str("all zero"),
            Ok(Some(offset)) => write!(f, "not zero at {offset:#x}"),
            Err(()) => f.write_str("beyond what can be read"),
        }
    }
}
