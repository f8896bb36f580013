//! Who holds which memory. A range is claimed before a byte of it is written.

use core::fmt;

use super::{PAGE_SIZE, Phys, PhysRange, Ram};

/// Most claims at a time: every segment of a kernel, every module, and all that stage0 has.
const MAX_CLAIMS: usize = 160;

/// Who may hold memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// stage0's image: its file's bytes, its code as it was unpacked, stack and tables.
    Stage0,
    /// The page tables on which stage0 runs while it loads.
    PageTables,
    /// What decoding needs.
    Scratch,
    /// The page from which the kernel is entered.
    Trampoline,
    /// The structures that the kernel is handed.
    StartInfo,
    /// The pack.
    Pack,
    /// Module n that the builder passed beside the pack.
    Module(usize),
    /// What a PV builder made for stage0: the list of frames, rings, page tables.
    Structures,
    /// The kernel.
    Kernel,
    /// ACPI's root pointer, which the builder wrote to memory that it calls RAM.
    Rsdp,
    /// What a kernel keeps by the direct protocol: its page tables, its stack, what it is handed.
    Block,
    /// Nobody: memory that such a kernel does not see at its 1:1 address.
    Shadow,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stage0 => "stage0",
            Self::PageTables => "stage0's page tables",
            Self::Scratch => "stage0's decoding scratch",
            Self::Trampoline => "stage0's trampoline",
            Self::StartInfo => "the kernel's start_info",
            Self::Pack => "the pack",
            Self::Module(n) => return write!(f, "the builder's module {n}"),
            Self::Structures => "the builder's structures",
            Self::Kernel => "the kernel",
            Self::Rsdp => "ACPI's root pointer",
            Self::Block => "the kernel's page tables and stack",
            Self::Shadow => "the kernel's own addresses",
        })
    }
}

/// A range of memory and who holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The range.
    pub range: PhysRange,
    /// Who.
    pub holder: Holder,
}

/// Why memory cannot be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimError {
    /// Somebody else holds a byte of it.
    Held {
        /// What was wanted.
        wanted: Claim,
        /// Who stands in the way.
        held: Claim,
    },
    /// A byte of it is not RAM.
    NotRam {
        /// What was wanted.
        wanted: Claim,
    },
    /// Nowhere is enough free memory.
    NoRoom {
        /// For whom.
        holder: Holder,
        /// Bytes.
        len: u64,
        /// Where it would have to lie.
        within: PhysRange,
    },
    /// More claims than are kept.
    TooMany,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { wanted, held } => write!(
                f,
                "memory is taken: {} at {}, expected free memory, found {} at {}",
                wanted.holder, wanted.range, held.holder, held.range
            ),
            Self::NotRam { wanted } => write!(
                f,
                "memory is not RAM: {} at {}, expected RAM, found a hole or a reserved range",
                wanted.holder, wanted.range
            ),
            Self::NoRoom { holder, len, within } => {
                write!(f, "no room: {holder}, expected {len:#x} free bytes within {within}, found fewer")
            }
            Self::TooMany => write!(f, "too many claims: memory, expected at most {MAX_CLAIMS}, found more"),
        }
    }
}

impl core::error::Error for ClaimError {}

/// The claims of a domain.
#[derive(Clone, Default, Debug)]
pub struct Claims {
    list: heapless::Vec<Claim, MAX_CLAIMS>,
}

impl Claims {
    /// All claims, in the order in which they were made.
    pub fn list(&self) -> &[Claim] {
        &self.list
    }

    /// Who holds a byte of `range`, if anyone.
    pub fn held(&self, range: &PhysRange) -> Option<&Claim> {
        self.list.iter().find(|claim| claim.range.overlaps(range))
    }

    /// Claims `range`, of which nobody may hold a byte.
    pub fn claim(&mut self, range: PhysRange, holder: Holder) -> Result<(), ClaimError> {
        let wanted = Claim { range, holder };
        match self.held(&range) {
            Some(held) => Err(ClaimError::Held { wanted, held: *held }),
            None => self.list.push(wanted).map_err(|_| ClaimError::TooMany),
        }
    }

    /// Claims `range` as [`Claims::claim`] does, and only if it is RAM.
    pub fn claim_ram(&mut self, ram: &Ram, range: PhysRange, holder: Holder) -> Result<(), ClaimError> {
        if !ram.covers(&range) {
            return Err(ClaimError::NotRam { wanted: Claim { range, holder } });
        }
        self.claim(range, holder)
    }

    /// Claims `len` bytes of RAM, whole pages, as high as possible `within` a range, and clear of all in `avoid`. No
    /// bytes are the empty range, which nobody holds.
    pub fn allocate(
        &mut self,
        ram: &Ram,
        len: u64,
        within: PhysRange,
        holder: Holder,
        avoid: &[PhysRange],
    ) -> Result<PhysRange, ClaimError> {
        let no_room = ClaimError::NoRoom { holder, len, within };
        if len == 0 {
            return Ok(PhysRange::EMPTY);
        }
        let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or(no_room)?;
        let range = self.highest_free(ram, len, within, avoid).ok_or(no_room)?;
        self.claim(range, holder)?;
        Ok(range)
    }

    /// The same, as low as possible from `from` on, or where nothing is free there, as high as possible below.
    pub fn allocate_behind(
        &mut self,
        ram: &Ram,
        len: u64,
        from: Phys,
        within: PhysRange,
        holder: Holder,
        avoid: &[PhysRange],
    ) -> Result<PhysRange, ClaimError> {
        let whole = len.checked_next_multiple_of(PAGE_SIZE).filter(|len| *len != 0);
        match whole.and_then(|len| self.lowest_free(ram, len, from, within, avoid)) {
            Some(range) => self.claim(range, holder).map(|()| range),
            None => self.allocate(ram, len, within, holder, avoid),
        }
    }

    /// Keeps what comes later off `range`, whoever holds it.
    pub fn shadow(&mut self, range: PhysRange) -> Result<(), ClaimError> {
        self.list.push(Claim { range, holder: Holder::Shadow }).map_err(|_| ClaimError::TooMany)
    }

    /// Gives up all that `holder` has.
    pub fn release(&mut self, holder: Holder) {
        self.list.retain(|claim| claim.holder != holder);
    }

    /// The first byte behind all that `holder` has.
    pub fn end_of(&self, holder: Holder) -> Phys {
        let held = self.list.iter().filter(|claim| claim.holder == holder);
        held.map(|claim| claim.range.end()).max().unwrap_or_default()
    }

    /// The lowest free range of `len` bytes (whole pages) of RAM from `from` on. It takes at most as many steps as
    /// [`highest_free`](Self::highest_free).
    fn lowest_free(
        &self,
        ram: &Ram,
        len: u64,
        from: Phys,
        within: PhysRange,
        avoid: &[PhysRange],
    ) -> Option<PhysRange> {
        let taken = || self.list.iter().map(|claim| &claim.range).chain(avoid);
        for part in ram.ranges().iter().filter_map(|ram| ram.intersection(&within)) {
            let mut start = part.start().max(from).align_up(PAGE_SIZE)?;
            while let Some(range) = PhysRange::sized(start, len).ok().filter(|range| range.end() <= part.end()) {
                match taken().filter(|held| held.overlaps(&range)).map(PhysRange::end).max() {
                    Some(held) => start = held.align_up(PAGE_SIZE)?,
                    None => return Some(range),
                }
            }
        }
        None
    }

    /// The highest free range of `len` bytes (whole pages) of RAM. Each step leaves a claim behind, so that there are
    /// at most as many steps as there are claims and ranges to avoid, for each range of RAM.
    fn highest_free(&self, ram: &Ram, len: u64, within: PhysRange, avoid: &[PhysRange]) -> Option<PhysRange> {
        let taken = || self.list.iter().map(|claim| &claim.range).chain(avoid);
        for part in ram.ranges().iter().rev().filter_map(|ram| ram.intersection(&within)) {
            let mut end = part.end().align_down(PAGE_SIZE);
            while let Some(start) = end.checked_sub(len).filter(|start| *start >= part.start()) {
                let range = PhysRange::new(start, end).ok()?;
                match taken().filter(|held| held.overlaps(&range)).map(PhysRange::start).min() {
                    Some(held) => end = held.align_down(PAGE_SIZE),
                    None => return Some(range),
                }
            }
        }
        None
    }
}

/// A constant range: `start` lies below `end`.
pub(super) const fn span(start: u64, end: u64) -> PhysRange {
    match PhysRange::new(Phys(start), Phys(end)) {
        Ok(range) => range,
        Err(_) => PhysRange::EMPTY,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Region, RegionKind};
    use super::*;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::new(Phys(start), Phys(end)).unwrap()
    }

    fn ram(ranges: &[PhysRange]) -> Ram {
        let regions = ranges.iter().map(|range| Region { range: *range, kind: RegionKind::Ram });
        Ram::from_regions(regions).unwrap()
    }

    #[test]
    fn a_conflict_names_both_holders_and_both_ranges() {
        let mut claims = Claims::default();
        claims.claim(range(0x1000, 0x3000), Holder::Pack).unwrap();
        let error = claims.claim(range(0x2000, 0x4000), Holder::Kernel).unwrap_err();
        let text = std::format!("{error}");
        for part in ["the kernel", "0x2000..0x4000", "the pack", "0x1000..0x3000"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn memory_behind_a_place_is_taken_as_low_as_it_is_free() {
        let ram = ram(&[range(0, 0x8000), range(0x10000, 0x14000)]);
        let mut claims = Claims::default();
        claims.claim(range(0x3000, 0x4010), Holder::Kernel).unwrap();
        assert_eq!(claims.end_of(Holder::Kernel), Phys(0x4010));
        assert_eq!(claims.end_of(Holder::Pack), Phys(0));
        let all = range(0, 1 << 32);
        let mut behind = |len, from, avoid: &[PhysRange]| {
            claims.allocate_behind(&ram, len, Phys(from), all, Holder::StartInfo, avoid)
        };
        assert_eq!(behind(0, 0x4010, &[]), Ok(PhysRange::EMPTY));
        assert_eq!(behind(1, 0x4010, &[]), Ok(range(0x5000, 0x6000)));
        assert_eq!(behind(0x1000, 0x4010, &[range(0x6fff, 0x7000)]), Ok(range(0x7000, 0x8000)));
        // Behind a hole.
        assert_eq!(behind(0x3000, 0x4010, &[]), Ok(range(0x10000, 0x13000)));
        // Nothing behind it is free: the highest below.
        assert_eq!(behind(0x2000, 0x4010, &[]), Ok(range(0x1000, 0x3000)));
        let none = behind(0x2000, 0x4010, &[]);
        assert!(matches!(none, Err(ClaimError::NoRoom { len: 0x2000, .. })), "{none:?}");
        assert!(behind(u64::MAX, 0, &[]).is_err());
    }

    #[test]
    fn free_memory_is_taken_from_the_top_around_what_is_held() {
        let ram = ram(&[range(0, 0x8000), range(0x10000, 0x12000)]);
        let mut claims = Claims::default();
        let all = range(0, 1 << 32);
        assert_eq!(claims.allocate(&ram, 0x1000, all, Holder::Scratch, &[]), Ok(range(0x11000, 0x12000)));
        assert_eq!(claims.allocate(&ram, 0x2000, all, Holder::Scratch, &[]), Ok(range(0x6000, 0x8000)));
        let avoid = [range(0x5000, 0x5001)];
        assert_eq!(claims.allocate(&ram, 0xfff, all, Holder::Scratch, &avoid), Ok(range(0x10000, 0x11000)));
        assert_eq!(claims.allocate(&ram, 0x1000, all, Holder::Scratch, &avoid), Ok(range(0x4000, 0x5000)));
        assert!(matches!(
            claims.allocate(&ram, 0x5000, all, Holder::Scratch, &[]),
            Err(ClaimError::NoRoom { len: 0x5000, .. })
        ));
    }
}
