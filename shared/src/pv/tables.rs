//! The page tables of a PV domain: how many there are, in which frames, and what each slot leads to. Pure arithmetic.

use crate::kernel::MAX_SEGMENT_MAP;
use crate::memory::{PAGE_SIZE, Pfn, Phys, PhysRange, Virt};

/// Slots of a table.
pub const SLOTS: u64 = 512;

/// Tables for a page at an address that a builder's tables do not reach: one of each level below the top.
const SPARE: u64 = 3;

/// Bytes of stage0's own tables in a PV domain: of level 1, 2 and 3 for a window on `frames` frames, then spare ones.
pub const fn window_len(frames: u64) -> u64 {
    let low = frames.div_ceil(SLOTS);
    (low + low.div_ceil(SLOTS) + 1 + SPARE) * PAGE_SIZE
}
/// Bits of an address that the tables translate.
const VIRT_BITS: u32 = 48;
/// Most mappings: the builder's linear one, the list of frames, and segments at their own addresses.
pub const MAX_MAPPINGS: usize = 2 + MAX_SEGMENT_MAP;

/// The tables of one level, 1 to 3, that one mapping adds: those for consecutive slots of the level above, counted from
/// address 0 on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Level {
    first: u64,
    count: u64,
}

impl Level {
    /// The tables that the addresses `first` to `last` need; one where they are none that [`exist`].
    const fn of(level: u32, first: u64, last: u64) -> Self {
        let (first, last) = (slot(level, first), slot(level, last));
        Self { first, count: last.saturating_sub(first) + 1 }
    }

    const fn end(self) -> u64 {
        self.first + self.count
    }

    /// These without those of `other`, as libxenguest's `count_pgtables` has it: what is left is taken to be one piece.
    const fn without(mut self, other: Self) -> Self {
        if other.count == 0 || self.first >= other.end() || self.end() <= other.first {
            return self;
        }
        if self.first >= other.first && self.end() <= other.end() {
            return Self { first: 0, count: 0 };
        }
        if self.first >= other.first {
            self.count = self.end() - other.end();
            self.first = other.end();
        } else {
            self.count = other.first - self.first;
        }
        self
    }
}

/// Number of the table of `level` that translates `at`, counted from address 0 on.
const fn slot(level: u32, at: u64) -> u64 {
    (at & ((1 << VIRT_BITS) - 1)) >> (12 + 9 * level)
}

/// The order in which the tables of the first mapping lie behind the top one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// libxenguest's: all of level 3, all of level 2, all of level 1.
    ByLevel,
    /// Xen's dom0 builder's: as it comes upon them, page by page, the lowest level first.
    ByUse,
}

/// Pages that are mapped in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mapping {
    /// First address.
    pub virt: Virt,
    /// What is mapped there.
    pub memory: PhysRange,
    levels: [Level; 3],
    /// Behind the top table, or the first table of all.
    tables: Pfn,
}

/// The tables of all mappings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tables {
    order: Order,
    top: Pfn,
    mappings: heapless::Vec<Mapping, MAX_MAPPINGS>,
}

/// Whether there are `len` addresses (at least one) from `virt` on, the start of a page: canonical ones (Intel SDM volume 1,
/// 3.3.7.1), and none of the two halves in one.
pub const fn exist(virt: Virt, len: u64) -> bool {
    let last = virt.0.wrapping_add(len - 1);
    let (first_half, last_half) = (virt.0 as i64 >> (VIRT_BITS - 1), last as i64 >> (VIRT_BITS - 1));
    virt.is_aligned(PAGE_SIZE) && last >= virt.0 && first_half == last_half && matches!(first_half, 0 | -1)
}

/// Tables that a mapping of `len` bytes (at least one) from `virt` on needs, the top one among them.
pub fn table_count(virt: Virt, len: u64) -> u64 {
    let last = virt.0.wrapping_add(len - 1);
    1 + (1..=3).map(|level| Level::of(level, virt.0, last).count).sum::<u64>()
}

impl Tables {
    /// The tables that map `memory`, which is not empty, from `virt` on; they lie from `top` on.
    pub fn new(order: Order, top: Pfn, virt: Virt, memory: PhysRange) -> Self {
        let mut tables = Self { order, top, mappings: heapless::Vec::new() };
        tables.add(virt, memory, Pfn(top.0 + 1));
        tables
    }

    /// Also maps `memory`, which is not empty, from `virt` on, where nothing is mapped yet, by further tables from
    /// `place` on.
    pub fn add(&mut self, virt: Virt, memory: PhysRange, place: Pfn) {
        let levels = self.levels(virt, memory.len());
        // The caller adds no more than there is room for.
        let _ = self.mappings.push(Mapping { virt, memory, levels, tables: place });
    }

    /// How many tables are missing to map `len` bytes (at least one) from `virt` on.
    pub fn missing(&self, virt: Virt, len: u64) -> u64 {
        self.levels(virt, len).iter().map(|level| level.count).sum()
    }

    fn levels(&self, virt: Virt, len: u64) -> [Level; 3] {
        let last = virt.0.wrapping_add(len - 1);
        [1, 2, 3].map(|level| {
            let others = self.mappings.iter().map(|other| other.levels[level as usize - 1]);
            others.fold(Level::of(level, virt.0, last), Level::without)
        })
    }

    /// The mappings.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The top table.
    pub const fn top(&self) -> Pfn {
        self.top
    }

    /// All tables but the top one, with level and slot of each.
    pub fn all(&self) -> impl Iterator<Item = (u32, u64, Pfn)> + '_ {
        let all = self.mappings.iter().flat_map(|mapping| (1..).zip(mapping.levels));
        let all = all.flat_map(|(level, tables)| (tables.first..tables.end()).map(move |slot| (level, slot)));
        all.filter_map(|(level, slot)| Some((level, slot, self.find(level, slot)?)))
    }

    /// The table of `level` (1 to 4) that translates `virt`.
    pub fn table(&self, level: u32, virt: Virt) -> Option<Pfn> {
        self.find(level, slot(level, virt.0))
    }

    /// The table for this slot, counted from address 0 on, of the level above.
    pub fn find(&self, level: u32, slot: u64) -> Option<Pfn> {
        if level == 4 {
            return Some(self.top);
        }
        let holds = |mapping: &&Mapping| {
            let tables = mapping.levels[level as usize - 1];
            tables.first <= slot && slot < tables.end()
        };
        let (number, mapping) = self.mappings.iter().enumerate().find(|(_, mapping)| holds(mapping))?;
        let order = if number == 0 { self.order } else { Order::ByLevel };
        let position = match order {
            Order::ByLevel => position_by_level(&mapping.levels, level, slot),
            Order::ByUse => position_by_use(&mapping.levels, level, slot),
        };
        Some(Pfn(mapping.tables.0 + position))
    }
}

fn position_by_level(levels: &[Level; 3], level: u32, slot: u64) -> u64 {
    let above: u64 = levels.iter().skip(level as usize).map(|tables| tables.count).sum();
    above + slot - levels[level as usize - 1].first
}

/// Before a table come all those of its own level and below whose first page is no later than its own, and those above
/// whose first page is earlier.
fn position_by_use(levels: &[Level; 3], level: u32, slot: u64) -> u64 {
    // The first table of level 1 below it.
    let first = (slot << (9 * (level - 1))).max(levels[0].first);
    (1..).zip(levels).fold(0, |sum, (other, tables)| {
        let shift = 9 * (other - 1);
        let own = first >> shift;
        let starts_here = (own << shift).max(levels[0].first) == first;
        let before = own - tables.first;
        // The table of that level for the same page was already there, comes right before this one, or right behind it.
        sum + before + u64::from(!starts_here || other < level)
    })
}

/// Where `virt` is in its table of `level`.
pub const fn index(level: u32, virt: Virt) -> usize {
    (virt.0 >> (12 + 9 * (level - 1)) & (SLOTS - 1)) as usize
}

/// The pages of a mapping: virtual address and frame of each.
pub fn pages(mapping: &Mapping) -> impl Iterator<Item = (Virt, Pfn)> {
    let (virt, start) = (mapping.virt.0, mapping.memory.start());
    (0..mapping.memory.len() / PAGE_SIZE).map(move |n| {
        let at = Phys(start.0 + n * PAGE_SIZE);
        (Virt(virt.wrapping_add(n * PAGE_SIZE)), at.pfn())
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::memory::{GIB, MIB};

    fn memory(len: u64) -> PhysRange {
        PhysRange::sized(Phys(0), len).unwrap()
    }

    #[test]
    fn addresses_exist_in_one_half_or_the_other() {
        for (virt, len, expected) in [
            (0, 1, true),
            (0x33, 1, false),
            (0x7fff_ffff_f000, 0x1000, true),
            (0x7fff_ffff_f000, 0x1001, false),
            (0x8000_0000_0000, 1, false),
            (0xffff_7fff_ffff_f000, 0x1001, false),
            (0xffff_8000_0000_0000, 1 << 47, true),
            (0xffff_ffff_ffff_f000, 0x1001, false),
        ] {
            assert_eq!(exist(Virt(virt), len), expected, "{virt:#x}, {len:#x}");
        }
    }

    /// The order of Xen's `dom0_construct_pv`, as a walk.
    fn walk(virt: u64, len: u64) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        for page in 0..len / PAGE_SIZE {
            for level in 1..=3 {
                let table = (level, slot(level, virt.wrapping_add(page * PAGE_SIZE)));
                if !found.contains(&table) {
                    found.push(table);
                }
            }
        }
        found
    }

    #[test]
    fn tables_by_use_lie_in_the_order_of_a_walk() {
        for (virt, len) in [
            (0xffff_ffff_8000_0000, 64 * MIB),
            (0, 8 * MIB),
            (GIB - 6 * MIB, 12 * MIB),
            (512 * GIB - 4 * MIB, 8 * MIB),
            (GIB - PAGE_SIZE, 2 * PAGE_SIZE),
        ] {
            let tables = Tables::new(Order::ByUse, Pfn(99), Virt(virt), memory(len));
            for (n, (level, slot)) in walk(virt, len).into_iter().enumerate() {
                assert_eq!(tables.find(level, slot), Some(Pfn(100 + n as u64)), "{virt:#x} {level} {slot:#x}");
            }
        }
    }

    #[test]
    fn each_table_has_a_frame_of_its_own_and_one_that_leads_to_it() {
        for order in [Order::ByLevel, Order::ByUse] {
            let (virt, len) = (Virt(0xffff_ffff_8000_0000), 80 * MIB);
            let mut tables = Tables::new(order, Pfn(5), virt, memory(len));
            assert_eq!(table_count(virt, len), 1 + 1 + 1 + 40);
            let list = PhysRange::sized(Phys(len), 4 * MIB).unwrap();
            assert_eq!(tables.missing(Virt(0x80_0000_0000), list.len()), 1 + 1 + 2);
            tables.add(Virt(0x80_0000_0000), list, Pfn(1000));
            let mut frames: Vec<u64> = tables.all().map(|(.., frame)| frame.0).collect();
            assert!(tables.all().all(|(level, slot, _)| tables.find(level + 1, slot >> 9).is_some()));
            frames.sort_unstable();
            assert_eq!(frames, (6..48).chain(1000..1004).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_second_mapping_shares_what_is_there() {
        let mut tables = Tables::new(Order::ByLevel, Pfn(0), Virt(GIB), memory(4 * MIB));
        let list = PhysRange::sized(Phys(0), PAGE_SIZE).unwrap();
        // Level 3 and level 2 of the first gibibyte... the third level is shared, the others are not.
        assert_eq!(tables.missing(Virt(0x1000), list.len()), 2);
        tables.add(Virt(0x1000), list, Pfn(50));
        assert_eq!(tables.table(3, Virt(0x1000)), Some(Pfn(1)));
        assert_eq!(tables.table(2, Virt(0x1000)), Some(Pfn(50)));
    }
}
