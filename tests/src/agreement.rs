//! Whether our reading of a kernel is libelf's, and where it differs on purpose.

use object::Endianness;
use object::elf::{FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use shared::kernel::{
    Decisions, Entry, Kernel, Metadata, Outside, Pae, Plan, PlanError, Protocol, ReadError, SliceFile,
};
use shared::memory::PhysRange;

use crate::oracle::Answer;

/// How the two readings of a kernel relate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Both take it, and say the same of it.
    BothTake,
    /// Both refuse it.
    BothRefuse,
    /// We refuse what libelf takes, for a stated reason.
    Exception(&'static str),
    /// Anything else: what differs.
    Disagreement(String),
}

/// Compares the two readings of `elf`, for a PVH domain or a PV one.
pub fn compare(elf: &[u8], pvh: bool, answer: &Answer) -> Verdict {
    let ours = ours(elf, pvh);
    match (&ours, answer.accepted(pvh)) {
        (Ok((kernel, plan)), true) => {
            let numbers = differences(kernel, plan, pvh, answer);
            if !numbers.is_empty() {
                return Verdict::Disagreement(numbers.join("; "));
            }
            names(&kernel.xen, answer)
        }
        (Err(_), false) => Verdict::BothRefuse,
        (Ok((kernel, _)), false) if pvh && kernel.xen.paddr_offset.is_some() && kernel.xen.virt_base.is_none() => {
            Verdict::Exception("PVH: PADDR_OFFSET without VIRT_BASE, which libelf ignores only since 2023")
        }
        (Ok(_), false) => {
            let error = answer.text("error");
            Verdict::Disagreement(format!("we take it; libelf: {}", String::from_utf8_lossy(&error).trim()))
        }
        (Err(refusal), true) if refusal.is_of_a_text_cut_short(answer) => Verdict::Exception(READ_ON),
        (Err(refusal), true) => match refusal.exception() {
            Some(name) => Verdict::Exception(name),
            None => Verdict::Disagreement(format!("libelf takes it; we: {refusal:?}")),
        },
    }
}

/// A difference: we end a text with its note.
const READ_ON: &str = "text without a NUL, which libelf reads on";

/// Why we refuse a kernel.
#[derive(Debug)]
enum Refusal {
    Read(ReadError<Outside>),
    Plan(PlanError),
}

fn ours(elf: &[u8], pvh: bool) -> Result<(Kernel, Plan), Refusal> {
    let kernel = Kernel::read(&mut SliceFile(elf)).map_err(Refusal::Read)?;
    let auto = Decisions::default();
    let plan = if pvh { kernel.plan(Protocol::Pvh, &auto) } else { kernel.layout_pv(&auto) };
    let plan = plan.map_err(Refusal::Plan)?;
    Ok((kernel, plan))
}

impl Refusal {
    /// Whether a text is refused of which libelf read more.
    fn is_of_a_text_cut_short(&self, answer: &Answer) -> bool {
        let more = |name: &str, ours: &str| {
            let theirs = answer.text(name);
            theirs.len() > ours.len() && theirs.starts_with(ours.as_bytes())
        };
        match self {
            Self::Plan(PlanError::Loader { loader, guest_os }) => more("loader", loader) || more("guest_os", guest_os),
            Self::Plan(PlanError::XenVersion { found }) => more("xen_ver", found),
            _ => false,
        }
    }

    /// The name of the deliberate difference that this refusal is, if it is one. libelf reads such files too: fields outside
    /// the file are zero to it, and what cannot be loaded fails only when it is loaded.
    fn exception(&self) -> Option<&'static str> {
        match self {
            Self::Read(error) => read_exception(error),
            Self::Plan(PlanError::AreaTooLarge { .. } | PlanError::BelowOffset { .. }) => {
                Some("memory beyond 4 GiB from the kernel's first byte, or below address 0")
            }
            Self::Plan(PlanError::PlacedTooOften { .. }) => Some("segments of more than twice the kernel's memory"),
            Self::Plan(PlanError::EntryTooHigh { .. }) => Some("PHYS32_ENTRY of more than 32 bits, which libelf cuts"),
            Self::Plan(PlanError::SymbolsOutside { .. }) => {
                Some("symbols of an ELF32 that libelf has too little room for")
            }
            Self::Plan(_) => None,
        }
    }
}

fn read_exception(error: &ReadError<Outside>) -> Option<&'static str> {
    match error {
        ReadError::Class { .. } | ReadError::Data { .. } => Some("unknown class, or not little-endian"),
        ReadError::Machine { .. } => Some("another machine than i386 or x86-64"),
        ReadError::ProgramHeaderSize { .. } => Some("program headers of another size than the class has"),
        ReadError::TooManyProgramHeaders { .. } => Some("more than 64 program headers"),
        ReadError::ProgramHeadersOutside { .. } | ReadError::SectionHeadersOutside { .. } => {
            Some("tables of headers that wrap around 64 bits")
        }
        ReadError::SegmentOutside { .. } => Some("segment's bytes not in the file"),
        ReadError::SegmentShrinks { .. } => Some("segment with more bytes in the file than in memory"),
        ReadError::SegmentWraps { .. } => Some("segment that wraps around 64 bits"),
        ReadError::NotesOutside { .. } => Some("notes not in the file"),
        ReadError::NotesTooLong { .. } | ReadError::TooManyNotes => Some("more notes than the bound"),
        ReadError::NoteTruncated { .. } => Some("Xen note that runs past the end of the file"),
        ReadError::GuestString { .. } => Some("__xen_guest not in the file, or longer than the bound"),
        ReadError::TooManySections { .. } | ReadError::SectionNamesTooLong { .. } => {
            Some("more sections or section names than the bound")
        }
        ReadError::SymbolsOutside { .. } => Some("symbols not in the file"),
        ReadError::File(_)
        | ReadError::View { .. }
        | ReadError::Magic
        | ReadError::Short { .. }
        | ReadError::Header
        | ReadError::NothingToLoad => None,
    }
}

/// What the two say differently of a kernel that both take.
fn differences(kernel: &Kernel, plan: &Plan, pvh: bool, answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    let mut number = |name: &str, ours: Option<u64>, theirs: Option<u64>| {
        if ours != theirs {
            found.push(format!("{name}: we {ours:x?}, libelf {theirs:x?}"));
        }
    };
    let offset = plan.pv.as_ref().map_or(0, |pv| pv.paddr_offset);
    number("pstart", Some(plan.extent.start().0), Some(answer.number("pstart").wrapping_sub(offset)));
    number("entry", Some(address(plan.entry)), Some(answer.number("virt_entry")));
    match &plan.pv {
        Some(pv) => {
            number("virt_base", Some(pv.virt_base.0), answer.address("virt_base"));
            number("paddr_offset", Some(pv.paddr_offset), answer.address("paddr_offset"));
            number("virt_kstart", Some(pv.virt_kstart.0), Some(answer.number("virt_kstart")));
            number("virt_kend", Some(pv.virt_kend.0), Some(answer.number("virt_kend")));
        }
        None => {
            number("kernel's start", Some(plan.extent.start().0), Some(answer.number("virt_kstart")));
            number("kernel's end", Some(plan.extent.end().0), Some(answer.number("virt_kend")));
        }
    }
    said(&kernel.xen, pvh, answer, number);
    found
}

/// Compares the numbers that are as said.
fn said(xen: &Metadata, pvh: bool, answer: &Answer, mut number: impl FnMut(&str, Option<u64>, Option<u64>)) {
    let plain = |name: &str| Some(answer.number(name));
    number("INIT_P2M", xen.init_p2m.map(|virt| virt.0), answer.address("p2m_base"));
    number("HYPERCALL_PAGE", xen.hypercall_page.map(|virt| virt.0), answer.address("hypercall"));
    number("HV_START_LOW", xen.hv_start_low.map(|virt| virt.0), answer.address("hv_start_low"));
    number("supported features", Some(xen.features.supported.into()), plain("supported"));
    number("required features", Some(xen.features.required.into()), plain("required"));
    number("BSD_SYMTAB", Some(xen.bsd_symtab.into()), plain("bsd_symtab"));
    number("MOD_START_PFN", Some(xen.mod_start_pfn.into()), plain("unmapped_initrd"));
    number("PAE", Some(pae(xen.pae)), plain("pae"));
    if pvh {
        number("PHYS32_ENTRY", xen.phys32_entry, plain("phys_entry"));
    }
}

/// Compares the names. libelf reads a text without a NUL on into what follows it.
fn names(xen: &Metadata, answer: &Answer) -> Verdict {
    let texts = [
        ("guest_os", &xen.guest_os),
        ("guest_ver", &xen.guest_version),
        ("xen_ver", &xen.xen_version),
        ("loader", &xen.loader),
    ];
    let mut verdict = Verdict::BothTake;
    for (name, ours) in texts {
        let shown = |byte: u8| if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '?' };
        let theirs: String = answer.text(name).into_iter().map(shown).collect();
        if !theirs.starts_with(ours.as_str()) {
            return Verdict::Disagreement(format!("{name}: we {ours:?}, libelf {theirs:?}"));
        }
        if theirs.len() > ours.len() {
            verdict = Verdict::Exception(READ_ON);
        }
    }
    verdict
}

/// libelf's numbers for kinds of page tables (`enum xen_pae_type`).
const fn pae(pae: Pae) -> u64 {
    match pae {
        Pae::No => 0,
        Pae::Yes => 1,
        Pae::ExtendedCr3 => 2,
        Pae::Bimodal => 3,
    }
}

const fn address(entry: Entry) -> u64 {
    match entry {
        Entry::Physical(entry) => entry.0,
        Entry::Virtual(entry) => entry.0,
    }
}

/// A segment as the library `object` reads it: `p_paddr`, `p_offset`, `p_filesz`, `p_memsz`.
struct Segment(u64, u64, u64, u64);

/// The loadable segments of a file, by the library `object`.
fn segments(elf: &[u8]) -> Result<Vec<Segment>, String> {
    match elf.get(4) {
        Some(1) => segments_of::<FileHeader32<Endianness>>(elf),
        _ => segments_of::<FileHeader64<Endianness>>(elf),
    }
}

fn segments_of<H: FileHeader<Endian = Endianness>>(elf: &[u8]) -> Result<Vec<Segment>, String> {
    let header = H::parse(elf).map_err(|error| error.to_string())?;
    let endian = header.endian().map_err(|error| error.to_string())?;
    let headers = header.program_headers(endian, elf).map_err(|error| error.to_string())?;
    let loaded = headers.iter().filter(|header| header.p_type(endian) == PT_LOAD && header.p_flags(endian).0 & 7 != 0);
    let numbers = |header: &H::ProgramHeader| {
        let (paddr, offset): (u64, u64) = (header.p_paddr(endian).into(), header.p_offset(endian).into());
        Segment(paddr, offset, header.p_filesz(endian).into(), header.p_memsz(endian).into())
    };
    Ok(loaded.map(numbers).collect())
}

/// The most memory of a plan that is looked at byte by byte.
const MAX_KEPT: u64 = 4 << 20;

/// Whether `plan` puts every byte of the segments where the program headers say, the later over the earlier, and none
/// outside its areas. False if it could not be looked at: `object` does not read every file that libelf reads, and not
/// every plan is small enough.
///
/// # Errors
/// What is wrong.
pub fn keeps(plan: &Plan, elf: &[u8]) -> Result<bool, String> {
    let Ok(segments) = segments(elf) else { return Ok(false) };
    if plan.areas.iter().any(|area| area.len() > MAX_KEPT) {
        return Ok(false);
    }
    let Some(offset) = segments.first().zip(plan.placements.first()) else { return Err("nothing placed".to_owned()) };
    let offset = offset.0.0.wrapping_sub(offset.1.memory.start().0);
    if plan.placements.len() != segments.len() {
        return Err(format!("{} placements, {} segments", plan.placements.len(), segments.len()));
    }
    for (placement, Segment(paddr, at, file_len, memory_len)) in plan.placements.iter().zip(&segments) {
        let (memory, file) = (placement.memory, placement.file);
        let same_file = file.len() == *file_len && (file.is_empty() || file.offset() == *at);
        if !same_file || memory.start().0 != paddr.wrapping_sub(offset) || memory.len() != *memory_len {
            return Err(format!("segment {} is placed at {memory} from {file}", placement.index));
        }
        if !memory.is_empty() && !plan.areas.iter().any(|area| area.covers(&memory)) {
            return Err(format!("segment {} at {memory} is in no area", placement.index));
        }
    }
    plan.areas.iter().try_for_each(|area| {
        let placed = memory_of(area, plan, elf);
        let wrong = (0..area.len()).find(|at| {
            let place = area.start().0 + at;
            !is_symbol(plan, place) && placed[*at as usize] != expected(&segments, elf, place.wrapping_add(offset))
        });
        wrong.map_or(Ok(()), |at| Err(format!("the byte at {:#x} is another", area.start().0 + at)))
    })?;
    Ok(true)
}

/// The byte that the last segment which covers `paddr` puts there; 0 if none does.
fn expected(segments: &[Segment], elf: &[u8], paddr: u64) -> u8 {
    let holder = segments.iter().rev().find(|segment| paddr.wrapping_sub(segment.0) < segment.3);
    let byte = holder.filter(|segment| paddr - segment.0 < segment.2).map(|segment| segment.1 + paddr - segment.0);
    byte.and_then(|at| elf.get(at as usize)).copied().unwrap_or(0)
}

/// Whether the symbol table, which follows the segments, lies at `place`.
fn is_symbol(plan: &Plan, place: u64) -> bool {
    plan.symbols.as_ref().is_some_and(|symbols| place >= symbols.headers_at.start().0)
}

/// The memory that `plan` asks for in its first area.
pub fn memory(plan: &Plan, elf: &[u8]) -> Vec<u8> {
    plan.areas.first().map_or_else(Vec::new, |area| memory_of(area, plan, elf))
}

/// The memory of one area, written by the plainest code that can be: all zero, each segment's bytes and zeros in order,
/// then the symbols.
pub fn memory_of(area: &PhysRange, plan: &Plan, elf: &[u8]) -> Vec<u8> {
    let mut memory = vec![0; area.len() as usize];
    let mut put = |at: u64, bytes: &[u8]| {
        let at = (at - area.start().0) as usize;
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    };
    for placement in plan.placements.iter().filter(|placement| area.overlaps(&placement.memory)) {
        let file = placement.file;
        let mut bytes = elf[file.offset() as usize..file.end() as usize].to_vec();
        bytes.resize(placement.memory.len() as usize, 0);
        put(placement.memory.start().0, &bytes);
    }
    if let Some(symbols) = &plan.symbols {
        put(symbols.headers_at.start().0, &symbols.headers);
        for (file, at) in [(symbols.symbols, symbols.symbols_at), (symbols.strings, symbols.strings_at)] {
            put(at.start().0, &elf[file.offset() as usize..file.end() as usize]);
        }
    }
    memory
}

/// The plan by which `elf` is loaded in a PVH or a PV domain, if we take it.
pub fn plan(elf: &[u8], pvh: bool) -> Option<Plan> {
    ours(elf, pvh).ok().map(|(_, plan)| plan)
}
