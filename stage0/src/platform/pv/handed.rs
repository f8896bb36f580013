//! What a PV builder handed over: start_info, and what it leads to.

use core::fmt;

use shared::memory::{MIB, PAGE_SIZE, Phys, PhysRange, TooManyRegions, Virt};
use shared::pv::{MAX_PAGES, PvBuilder, PvDomain};
use shared::xen::pv::{PV_MAGIC, SIF_INITDOMAIN, SIF_MOD_START_PFN, StartInfo};

use crate::platform::VIRT_BASE;
use crate::platform::handed::{Handed, HandedError, HandedModule, Thing};

/// What a PV builder handed over.
#[derive(Debug)]
pub struct PvHanded {
    /// start_info, as it was.
    pub info: StartInfo,
    /// Its address: Xen has more behind it in the initial domain.
    pub info_at: Virt,
    /// Size and builder.
    pub domain: PvDomain,
    /// From the list of frames to the end of the boot stack, as numbered at first.
    pub structures: PhysRange,
}

/// Why what a PV builder handed over cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PvHandedError {
    /// No start_info where RSI points.
    Magic {
        /// Its address.
        at: Virt,
    },
    /// Something is not where a PV builder puts it.
    Misplaced {
        /// What.
        thing: &'static str,
        /// Where it is.
        at: Virt,
    },
    /// A domain of no frame, or of more than there can be.
    Pages {
        /// How many.
        found: u64,
    },
    /// The frames have too many holes.
    Memory(TooManyRegions),
    /// The list of frames has none for something that is there.
    NoFrames {
        /// What.
        thing: &'static str,
        /// Its place.
        range: PhysRange,
    },
    /// No room for page tables that show the domain's memory.
    NoRoom {
        /// Bytes of the domain.
        found: u64,
    },
    /// As in other domains.
    Handed(HandedError),
}

impl fmt::Display for PvHandedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { at } => {
                write!(f, "no start_info: where RSI points, expected magic xen-3, found other at {at}")
            }
            Self::Misplaced { thing, at } => {
                write!(f, "start_info is wrong: {thing}, expected between stage0 and its boot stack, found {at}")
            }
            Self::Pages { found } => {
                write!(f, "start_info is wrong: nr_pages, expected 1 to {MAX_PAGES}, found {found}")
            }
            Self::Memory(error) => error.fmt(f),
            Self::NoFrames { thing, range } => {
                write!(f, "list of frames is wrong: {thing}, expected frames for {range}, found holes")
            }
            Self::NoRoom { found } => {
                write!(f, "not enough memory: domain, expected room for page tables, found {} MiB", found.div_ceil(MIB))
            }
            Self::Handed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PvHandedError {}

impl PvHanded {
    /// Takes over start_info; command line and pack, which every kind of domain has, go to `handed`.
    ///
    /// The builder says that start_info is at `info_at`, and the end of its boot stack at `stack_end`; `copy` copies start_info from
    /// there, and is called only if it lies between the end of stage0's `image` and that stack's end, all of which a builder maps.
    pub fn read(
        image: PhysRange,
        info_at: Virt,
        stack_end: Virt,
        copy: impl FnOnce(Virt) -> [u8; size_of::<StartInfo>()],
        handed: &mut Handed,
    ) -> Result<Self, PvHandedError> {
        let misplaced = |thing, at| PvHandedError::Misplaced { thing, at };
        let floor = Virt(VIRT_BASE.wrapping_add(image.end().0));
        let is_inside = |at: Virt, len: u64| at >= floor && at.checked_add(len).is_some_and(|end| end <= stack_end);
        if !info_at.is_aligned(PAGE_SIZE) || !is_inside(info_at, size_of::<StartInfo>() as u64) {
            return Err(misplaced("start_info", info_at));
        }
        let info: StartInfo = zerocopy::transmute!(copy(info_at));
        if !info.magic.starts_with(PV_MAGIC) {
            return Err(PvHandedError::Magic { at: info_at });
        }
        let nr_pages = info.nr_pages.get();
        if nr_pages == 0 || nr_pages > MAX_PAGES {
            return Err(PvHandedError::Pages { found: nr_pages });
        }
        let (list, tables) = (Virt(info.mfn_list.get()), Virt(info.pt_base.get()));
        let tables_len = info.nr_pt_frames.get().checked_mul(PAGE_SIZE);
        if !list.is_aligned(PAGE_SIZE) || !is_inside(list, nr_pages * 8) {
            return Err(misplaced("mfn_list", list));
        }
        if !tables.is_aligned(PAGE_SIZE) || !tables_len.is_some_and(|len| is_inside(tables, len)) {
            return Err(misplaced("pt_base", tables));
        }
        let first = list.min(tables).min(info_at.align_down(PAGE_SIZE));
        let phys = |at: Virt| Phys(at.0.wrapping_sub(VIRT_BASE));
        let end = phys(stack_end).align_up(PAGE_SIZE).unwrap_or_default();
        let structures = PhysRange::new(phys(first), end).map_err(|_| misplaced("boot stack", stack_end))?;
        read_handed(&info, image, &structures, handed)?;
        // libxenguest says where the list's frames are only if they are not in the linear mapping, as stage0's are; Xen always
        // says how many it had given out.
        let builder = match (info.flags.get() & SIF_INITDOMAIN, info.first_p2m_pfn.get()) {
            (0, 0) => PvBuilder::Toolstack,
            (initial, _) => PvBuilder::Xen { rings: initial == 0 },
        };
        Ok(Self { info, info_at, domain: PvDomain { nr_pages, builder }, structures })
    }

    /// Copies start_info.
    ///
    /// # Safety
    /// A PV builder mapped it at `at`.
    #[cfg(target_os = "none")]
    pub unsafe fn copy(at: Virt) -> [u8; size_of::<StartInfo>()] {
        let bytes = core::ptr::with_exposed_provenance::<[u8; size_of::<StartInfo>()]>(at.0 as usize);
        // SAFETY: promised by the caller; nobody writes to it.
        unsafe { bytes.read_unaligned() }
    }

    /// Where the list of frames is, an entry of 8 bytes for each.
    pub fn list(&self) -> Virt {
        Virt(self.info.mfn_list.get())
    }

    /// Copies what is behind start_info in its page.
    #[cfg(target_os = "none")]
    pub fn copy_rest(&self, rest: &mut [u8]) {
        let start = self.info_at.0.wrapping_add(size_of::<StartInfo>() as u64);
        let len = PAGE_SIZE - start % PAGE_SIZE;
        let bytes = core::ptr::with_exposed_provenance::<u8>(start as usize);
        // SAFETY: up to the end of a page that the builder maps, and that keeps its address; nobody writes to it.
        let bytes = unsafe { core::slice::from_raw_parts(bytes, len as usize) };
        let len = rest.len().min(bytes.len());
        rest[..len].copy_from_slice(&bytes[..len]);
    }

    /// Machine frame and event channel of the console ring; `None` in the initial domain.
    pub fn console(&self) -> Option<(u64, u32)> {
        let ring = (self.info.console.get(), self.info.console_evtchn.get());
        (self.info.flags.get() & SIF_INITDOMAIN == 0).then_some(ring)
    }
}

/// The pack and the command line.
fn read_handed(
    info: &StartInfo,
    image: PhysRange,
    structures: &PhysRange,
    handed: &mut Handed,
) -> Result<(), PvHandedError> {
    handed.flags = info.flags.get();
    let (start, len) = (info.mod_start.get(), info.mod_len.get());
    let start = match handed.flags & SIF_MOD_START_PFN {
        0 => Phys(start.wrapping_sub(VIRT_BASE)),
        _ => Phys(start.saturating_mul(PAGE_SIZE)),
    };
    if len != 0 {
        let module = PhysRange::sized(start, len).ok();
        let module = module.filter(|module| !module.overlaps(&image) && !module.overlaps(structures));
        let outside = HandedError::Unreachable { thing: Thing::Module(0), start, len };
        let range = module.ok_or(PvHandedError::Handed(outside))?;
        // There is room for one.
        let _ = handed.modules.push(HandedModule { range, cmdline: None });
    }
    let text = info.cmd_line.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = core::str::from_utf8(text).ok().and_then(|text| handed.cmdline.push_str(text).ok());
    text.ok_or(PvHandedError::Handed(HandedError::NotText { thing: Thing::Cmdline }))
}
