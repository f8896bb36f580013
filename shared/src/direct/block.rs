//! What stage0 leaves in memory for a kernel: one range, so that one entry of the memory map keeps it.

use super::Map;
use crate::kernel::Plan;
use crate::memory::{PAGE_SIZE, Phys, PhysRange, Ram, START_INFO_LEN};

/// Bytes of the stack.
pub const STACK_LEN: u64 = 64 << 10;

/// Tables that a block's own place adds at most: its first two pages are not mapped as their neighbours, and each may be the
/// first to need a table of level 1 and one of level 2.
const OWN_TABLES: u64 = 4;

/// What stage0 leaves behind: the page with its last instructions and the segment descriptors, a page that is not mapped,
/// the stack, start_info with all that it leads to, the page tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Block(PhysRange);

impl Block {
    /// None.
    pub const NONE: Self = Self(PhysRange::EMPTY);

    /// The one at `range`, which is as long as [`Block::len`] says.
    pub const fn at(range: PhysRange) -> Self {
        Self(range)
    }

    /// Bytes that a kernel's block has at most, wherever it lies.
    pub fn len(plan: &Plan, ram: &Ram, gib_pages: bool) -> u64 {
        let map = Map { plan, ram, block: Self::NONE, gib_pages };
        let tables = map.tables(Phys(0), &mut |_, _| ()).saturating_add(OWN_TABLES);
        tables.saturating_mul(PAGE_SIZE).saturating_add(2 * PAGE_SIZE + STACK_LEN + START_INFO_LEN)
    }

    /// All of it.
    pub const fn range(&self) -> PhysRange {
        self.0
    }

    /// The page with the last instructions.
    pub fn trampoline(&self) -> PhysRange {
        self.part(0, PAGE_SIZE)
    }

    /// The page below the stack.
    pub fn guard(&self) -> PhysRange {
        self.part(PAGE_SIZE, PAGE_SIZE)
    }

    /// The stack.
    pub fn stack(&self) -> PhysRange {
        self.part(2 * PAGE_SIZE, STACK_LEN)
    }

    /// start_info and all that it leads to.
    pub fn start_info(&self) -> PhysRange {
        self.part(2 * PAGE_SIZE + STACK_LEN, START_INFO_LEN)
    }

    /// The page tables, the top one first.
    pub fn tables(&self) -> PhysRange {
        let before = 2 * PAGE_SIZE + STACK_LEN + START_INFO_LEN;
        self.part(before, self.0.len().saturating_sub(before))
    }

    fn part(&self, offset: u64, len: u64) -> PhysRange {
        let part = PhysRange::sized(Phys(self.0.start().0.saturating_add(offset)), len).unwrap_or_default();
        self.0.intersection(&part).unwrap_or_default()
    }
}
