//! What a PVH kernel is handed: start_info, module list, memory map, command lines, in one block.

use core::fmt;

use shared::memory::{PAGE_SIZE, Phys, PhysRange, Virt};
use shared::xen::{HvmMemmapEntry, HvmModlistEntry, HvmStartInfo, MEMMAP_RAM, MEMMAP_RESERVED, START_INFO_MAGIC};
use zerocopy::IntoBytes;

use crate::load::Memory;
use crate::platform::handed::Handed;

/// A module as the kernel gets it.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Its bytes.
    pub range: PhysRange,
    /// Its own command line.
    pub cmdline: Option<&'a [u8]>,
}

/// What a PVH kernel is handed.
#[derive(Clone, Copy, Debug)]
pub struct PvhHandover<'a, I> {
    /// What the builder handed over, passed on but for the pack.
    pub handed: &'a Handed,
    /// The modules: the pack's, then the builder's.
    pub modules: I,
    /// The command line.
    pub cmdline: &'a str,
    /// Where ACPI's root pointer is; 0 for nowhere.
    pub rsdp: Phys,
    /// By the direct protocol: memory that the memory map, which there then is in any case, keeps from being used.
    pub reserved: PhysRange,
}

/// Why a kernel cannot be handed what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandOverError {
    /// More than fits into the block.
    TooLong {
        /// The block.
        block: PhysRange,
    },
    /// The block, or the end of a module, lies where stage0 does not reach.
    Unreachable {
        /// Where.
        range: PhysRange,
    },
    /// A PV kernel's addresses are those at which stage0 sees memory.
    Window {
        /// The kernel's.
        at: Virt,
    },
    /// A PV kernel is entered more than 2 GiB from its boot stack.
    EntryTooFar {
        /// Where.
        entry: Virt,
    },
    /// A PV kernel's hypercall page is not in its memory, up to its end.
    HypercallPage {
        /// Where.
        at: Virt,
    },
}

impl fmt::Display for HandOverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { block } => {
                write!(f, "start_info too long: {block}, expected at most {} bytes, found more", block.len())
            }
            Self::Unreachable { range } => {
                write!(f, "memory out of reach: {range}, expected memory below 4 GiB, found other")
            }
            Self::Window { at } => write!(f, "addresses are taken: kernel, expected others than stage0's, found {at}"),
            Self::EntryTooFar { entry } => {
                write!(f, "entry is out of reach: kernel, expected within 2 GiB of its boot stack, found {entry}")
            }
            Self::HypercallPage { at } => {
                write!(f, "hypercall page is misplaced: kernel, expected no later than its end, found {at}")
            }
        }
    }
}

impl core::error::Error for HandOverError {}

/// Writes the block, and zeroes each module's last page behind the module. start_info is at the block's start, of the
/// version that the builder's was, or the highest whose fields are known here; the rest follows, each aligned to 8 bytes.
pub fn write_start_info<'a, M: Memory>(
    memory: &mut M,
    block: PhysRange,
    handover: &PvhHandover<'a, impl ExactSizeIterator<Item = Module<'a>> + Clone>,
) -> Result<(), HandOverError> {
    for module in handover.modules.clone() {
        zero_page_end(memory, &module.range)?;
    }
    let bytes = memory.bytes_mut(block).ok_or(HandOverError::Unreachable { range: block })?;
    bytes.fill(0);
    let mut writer = Writer { block, bytes, used: 0 };
    let (handed, reserved) = (handover.handed, handover.reserved);
    let version = handed.version.max((!reserved.is_empty()).into()).min(HvmStartInfo::VERSION);
    let info_len = if version == 0 { HvmStartInfo::VERSION_0_LEN } else { size_of::<HvmStartInfo>() };
    let info_at = writer.reserve(size_of::<HvmStartInfo>())?;
    let modlist_len = handover.modules.len() * size_of::<HvmModlistEntry>();
    let modlist_at = writer.reserve(modlist_len)?;

    let mut info = HvmStartInfo {
        magic: START_INFO_MAGIC.into(),
        version: version.into(),
        flags: handed.flags.into(),
        rsdp_paddr: handover.rsdp.0.into(),
        ..HvmStartInfo::default()
    };
    for (n, module) in handover.modules.clone().enumerate() {
        let cmdline_at = module.cmdline.map_or(Ok(Phys(0)), |cmdline| writer.text(cmdline))?;
        let entry = HvmModlistEntry {
            paddr: module.range.start().0.into(),
            size: module.range.len().into(),
            cmdline_paddr: cmdline_at.0.into(),
            ..HvmModlistEntry::default()
        };
        writer.put(modlist_at + n * size_of::<HvmModlistEntry>(), entry.as_bytes());
    }
    if modlist_len != 0 {
        info.nr_modules = u32::try_from(handover.modules.len()).unwrap_or(0).into();
        info.modlist_paddr = writer.address(modlist_at).0.into();
    }
    // Before the memory map, which ends the block: a kernel may take memory from behind that (FreeBSD).
    info.cmdline_paddr = writer.text(handover.cmdline.as_bytes())?.0.into();
    if handed.memmap_handed || !reserved.is_empty() {
        let (memmap_at, entries) = writer.memmap(&handed.memmap, &reserved)?;
        info.memmap_paddr = writer.address(memmap_at).0.into();
        info.memmap_entries = entries.into();
    }
    writer.put(info_at, &info.as_bytes()[..info_len]);
    Ok(())
}

/// Zeroes the last page of `module` behind it.
pub(crate) fn zero_page_end<M: Memory>(memory: &mut M, module: &PhysRange) -> Result<(), HandOverError> {
    let Some(end) = module.end().align_up(PAGE_SIZE) else { return Ok(()) };
    let Ok(rest) = PhysRange::new(module.end(), end) else { return Ok(()) };
    if rest.is_empty() {
        return Ok(());
    }
    memory.bytes_mut(rest).ok_or(HandOverError::Unreachable { range: rest })?.fill(0);
    Ok(())
}

/// Fills the block from its start on.
struct Writer<'m> {
    block: PhysRange,
    bytes: &'m mut [u8],
    used: usize,
}

impl Writer<'_> {
    /// The offset of `len` bytes that are nobody else's.
    fn reserve(&mut self, len: usize) -> Result<usize, HandOverError> {
        let too_long = HandOverError::TooLong { block: self.block };
        let at = self.used;
        let end = at.checked_add(len).and_then(|end| end.checked_next_multiple_of(8)).ok_or(too_long)?;
        if end > self.bytes.len() {
            return Err(too_long);
        }
        self.used = end;
        Ok(at)
    }

    /// Writes to what was reserved at `at`.
    fn put(&mut self, at: usize, content: &[u8]) {
        self.bytes[at..][..content.len()].copy_from_slice(content);
    }

    /// Writes a memory map, of whose RAM `reserved` is no part; as it is, if nothing is. Returns its place, and its number of
    /// entries.
    fn memmap(&mut self, memmap: &[HvmMemmapEntry], reserved: &PhysRange) -> Result<(usize, u32), HandOverError> {
        if reserved.is_empty() {
            let at = self.reserve(memmap.as_bytes().len())?;
            self.put(at, memmap.as_bytes());
            return Ok((at, u32::try_from(memmap.len()).unwrap_or(0)));
        }
        let (start, mut count) = (self.used, 0);
        let mut put = |from: u64, to: u64, kind: u32| {
            if from < to {
                let size = (to - from).into();
                let entry = HvmMemmapEntry { addr: from.into(), size, kind: kind.into(), reserved: 0.into() };
                let at = self.reserve(size_of::<HvmMemmapEntry>())?;
                self.put(at, entry.as_bytes());
                count += 1;
            }
            Ok(())
        };
        let (mut from, to) = (reserved.start().0, reserved.end().0);
        for entry in memmap {
            let (first, kind) = (entry.addr.get(), entry.kind.get());
            let end = first.saturating_add(entry.size.get());
            if kind != MEMMAP_RAM || end <= reserved.start().0 || to <= first {
                put(first, end, kind)?;
                continue;
            }
            put(first, end.min(reserved.start().0), MEMMAP_RAM)?;
            // Once, though RAM may be in several entries.
            put(from, to, MEMMAP_RESERVED)?;
            from = to;
            put(first.max(to), end, MEMMAP_RAM)?;
        }
        Ok((start, count))
    }

    /// Writes a text and its NUL.
    fn text(&mut self, text: &[u8]) -> Result<Phys, HandOverError> {
        let at = self.reserve(text.len() + 1)?;
        self.put(at, text);
        Ok(self.address(at))
    }

    fn address(&self, at: usize) -> Phys {
        // Within the block, whose end exists.
        Phys(self.block.start().0 + at as u64)
    }
}
