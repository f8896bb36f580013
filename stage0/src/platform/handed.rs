//! What a PVH builder handed over, copied before anything is written. It may lie anywhere, also where the kernel goes.

use core::fmt;

use shared::cmdline::MAX_BUILDER_LEN;
use shared::memory::{
    MAX_MODULE_CMDLINE_LEN, MAX_MODULES, MAX_REGIONS, PAGE_SIZE, Phys, PhysRange, Ram, Region, RegionKind,
    TooManyRegions,
};
use shared::xen::{HvmMemmapEntry, HvmModlistEntry, HvmStartInfo, START_INFO_MAGIC};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::load::Memory;

/// A module that the builder passed.
#[derive(Clone, Debug)]
pub struct HandedModule {
    /// Its bytes.
    pub range: PhysRange,
    /// Its own command line, without NUL; `None` where the builder gave none.
    pub cmdline: Option<heapless::Vec<u8, MAX_MODULE_CMDLINE_LEN>>,
}

/// A memory map as the builder writes it.
pub type Memmap = heapless::Vec<HvmMemmapEntry, MAX_REGIONS>;

/// What the builder handed over.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Version of start_info.
    pub version: u32,
    /// `SIF_*` flags.
    pub flags: u32,
    /// ACPI's root pointer; 0 if there is none.
    pub rsdp: Phys,
    /// The command line.
    pub cmdline: heapless::String<MAX_BUILDER_LEN>,
    /// The pack is the first of them.
    pub modules: heapless::Vec<HandedModule, { MAX_MODULES + 1 }>,
    /// The memory map, whether start_info had it or not.
    pub memmap: Memmap,
    /// Whether start_info had it.
    pub memmap_handed: bool,
}

/// A thing that the builder hands over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Thing {
    /// `hvm_start_info`.
    StartInfo,
    /// The list of modules.
    Modlist,
    /// Module n.
    Module(u32),
    /// The memory map.
    Memmap,
    /// The command line.
    Cmdline,
    /// The command line of module n.
    ModuleCmdline(u32),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartInfo => f.write_str("start_info"),
            Self::Modlist => f.write_str("module list"),
            Self::Module(n) => write!(f, "module {n}"),
            Self::Memmap => f.write_str("memory map"),
            Self::Cmdline => f.write_str("command line"),
            Self::ModuleCmdline(n) => write!(f, "command line of module {n}"),
        }
    }
}

/// Why what the builder handed over cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandedError {
    /// No start_info where EBX points.
    Magic {
        /// The first four bytes there.
        found: u32,
    },
    /// Something lies, or reaches, where stage0 does not.
    Unreachable {
        /// What.
        thing: Thing,
        /// Its address.
        start: Phys,
        /// Its length, bytes.
        len: u64,
    },
    /// More modules than are kept.
    TooManyModules {
        /// How many.
        found: u32,
    },
    /// A memory map with more regions than are kept.
    TooManyRegions {
        /// How many.
        found: u32,
    },
    /// A text longer than its bound.
    TooLong {
        /// Which.
        thing: Thing,
        /// Bytes of its bound.
        limit: usize,
    },
    /// A text that is not UTF-8.
    NotText {
        /// Which.
        thing: Thing,
    },
    /// No memory map, and no hypervisor that could be asked.
    NoMemmap,
}

impl fmt::Display for HandedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => {
                write!(f, "no start_info: where EBX points, expected magic {START_INFO_MAGIC:#x}, found {found:#x}")
            }
            Self::Unreachable { thing, start, len } => {
                write!(f, "memory out of reach: {thing}, expected below 4 GiB, found {len:#x} bytes at {start}")
            }
            Self::TooManyModules { found } => {
                write!(f, "too many modules: builder, expected at most {} and the pack, found {found}", MAX_MODULES)
            }
            Self::TooManyRegions { found } => {
                write!(f, "memory map too long: builder, expected at most {MAX_REGIONS} regions, found {found}")
            }
            Self::TooLong { thing, limit } => {
                write!(f, "text too long: {thing}, expected at most {limit} bytes, found more")
            }
            Self::NotText { thing } => write!(f, "text is damaged: {thing}, expected UTF-8, found other"),
            Self::NoMemmap => f.write_str("no memory map: start_info, expected one or a Xen to ask, found neither"),
        }
    }
}

impl core::error::Error for HandedError {}

impl Handed {
    /// Nothing.
    pub const EMPTY: Self = Self {
        version: 0,
        flags: 0,
        rsdp: Phys(0),
        cmdline: heapless::String::new(),
        modules: heapless::Vec::new(),
        memmap: Memmap::new(),
        memmap_handed: false,
    };

    /// Copies what `start_info` leads to, in place of what was here. `ask` gives the memory map if start_info has none and
    /// somebody knows it.
    pub fn read<M: Memory>(
        &mut self,
        memory: &M,
        start_info: Phys,
        ask: impl FnOnce(&mut Memmap) -> bool,
    ) -> Result<(), HandedError> {
        let magic = bytes(memory, Thing::StartInfo, start_info, 4)?;
        let magic = magic.first_chunk().map_or(0, |magic| u32::from_le_bytes(*magic));
        if magic != START_INFO_MAGIC {
            return Err(HandedError::Magic { found: magic });
        }
        let mut info = HvmStartInfo::default();
        let version_0 = bytes(memory, Thing::StartInfo, start_info, HvmStartInfo::VERSION_0_LEN as u64)?;
        zerocopy::IntoBytes::as_mut_bytes(&mut info)[..version_0.len()].copy_from_slice(version_0);
        if info.version.get() >= 1 {
            info = item(memory, Thing::StartInfo, start_info)?;
        }
        (self.version, self.flags) = (info.version.get(), info.flags.get());
        self.rsdp = Phys(info.rsdp_paddr.get());
        self.memmap.clear();
        self.memmap_handed = info.memmap_paddr.get() != 0 && info.memmap_entries.get() != 0;
        if self.memmap_handed {
            read_memmap(memory, &info, &mut self.memmap)?;
        } else if !ask(&mut self.memmap) {
            return Err(HandedError::NoMemmap);
        }
        read_cmdline(memory, Phys(info.cmdline_paddr.get()), &mut self.cmdline)?;
        read_modules(memory, &info, &mut self.modules)
    }

    /// The domain's RAM. A region that ends past 64 bits ends there.
    pub fn ram(&self) -> Result<Ram, TooManyRegions> {
        Ram::from_regions(self.memmap.iter().filter_map(|entry| {
            let (start, len) = (entry.addr.get(), entry.size.get());
            let range = PhysRange::new(Phys(start), Phys(start.saturating_add(len))).ok()?;
            Some(Region { range, kind: RegionKind::from_number(entry.kind.get()) })
        }))
    }
}

fn read_memmap<M: Memory>(memory: &M, info: &HvmStartInfo, memmap: &mut Memmap) -> Result<(), HandedError> {
    let found = info.memmap_entries.get();
    let too_many = HandedError::TooManyRegions { found };
    if found as usize > MAX_REGIONS {
        return Err(too_many);
    }
    for n in 0..u64::from(found) {
        let at = nth::<HvmMemmapEntry>(Thing::Memmap, info.memmap_paddr.get(), n)?;
        memmap.push(item(memory, Thing::Memmap, at)?).map_err(|_| too_many)?;
    }
    Ok(())
}

fn read_modules<M: Memory>(
    memory: &M,
    info: &HvmStartInfo,
    modules: &mut heapless::Vec<HandedModule, { MAX_MODULES + 1 }>,
) -> Result<(), HandedError> {
    modules.clear();
    let found = info.nr_modules.get();
    let too_many = HandedError::TooManyModules { found };
    if found as usize > MAX_MODULES + 1 {
        return Err(too_many);
    }
    for n in 0..found {
        let at = nth::<HvmModlistEntry>(Thing::Modlist, info.modlist_paddr.get(), n.into())?;
        let entry: HvmModlistEntry = item(memory, Thing::Modlist, at)?;
        let (start, len) = (Phys(entry.paddr.get()), entry.size.get());
        let outside = HandedError::Unreachable { thing: Thing::Module(n), start, len };
        let range = PhysRange::sized(start, len).map_err(|_| outside)?;
        modules.push(HandedModule { range, cmdline: None }).map_err(|_| too_many)?;
        if let (at @ 1.., Some(module)) = (entry.cmdline_paddr.get(), modules.last_mut()) {
            text(memory, Thing::ModuleCmdline(n), Phys(at), module.cmdline.insert(heapless::Vec::new()))?;
        }
    }
    Ok(())
}

fn read_cmdline<M: Memory>(
    memory: &M,
    at: Phys,
    cmdline: &mut heapless::String<MAX_BUILDER_LEN>,
) -> Result<(), HandedError> {
    let thing = Thing::Cmdline;
    let mut bytes = core::mem::take(cmdline).into_bytes();
    bytes.clear();
    if at != Phys(0) {
        text(memory, thing, at, &mut bytes)?;
    }
    *cmdline = heapless::String::from_utf8(bytes).map_err(|_| HandedError::NotText { thing })?;
    Ok(())
}

/// Appends the bytes of the text at `start`, up to its NUL, which follows at most `N` bytes on.
fn text<M: Memory, const N: usize>(
    memory: &M,
    thing: Thing,
    start: Phys,
    found: &mut heapless::Vec<u8, N>,
) -> Result<(), HandedError> {
    let mut at = start;
    // A page at a time: the next one need not exist. At most N bytes are kept, so that this ends.
    loop {
        let len = PAGE_SIZE - at.0 % PAGE_SIZE;
        for byte in bytes(memory, thing, at, len)? {
            if *byte == 0 {
                return Ok(());
            }
            found.push(*byte).map_err(|_| HandedError::TooLong { thing, limit: N })?;
        }
        at = at.checked_add(len).ok_or(HandedError::Unreachable { thing, start, len })?;
    }
}

fn nth<T>(thing: Thing, table: u64, n: u64) -> Result<Phys, HandedError> {
    let len = size_of::<T>() as u64;
    let outside = HandedError::Unreachable { thing, start: Phys(table), len };
    Phys(table).checked_add(n.checked_mul(len).ok_or(outside)?).ok_or(outside)
}

fn item<M: Memory, T: FromBytes + KnownLayout + Immutable>(
    memory: &M,
    thing: Thing,
    start: Phys,
) -> Result<T, HandedError> {
    let len = size_of::<T>() as u64;
    let found = bytes(memory, thing, start, len)?;
    T::read_from_bytes(found).map_err(|_| HandedError::Unreachable { thing, start, len })
}

fn bytes<M: Memory>(memory: &M, thing: Thing, start: Phys, len: u64) -> Result<&[u8], HandedError> {
    let range = PhysRange::sized(start, len).ok();
    range.and_then(|range| memory.bytes(range)).ok_or(HandedError::Unreachable { thing, start, len })
}
