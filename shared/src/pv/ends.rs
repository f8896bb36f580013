//! Where the linear mapping ends, which each builder computes in its own way.

use super::PvError;
use super::tables::table_count;
use crate::memory::{MIB, PAGE_SIZE, Phys, Virt};

/// Bytes that a builder maps at least behind the boot stack.
const PADDING: u64 = 512 << 10;
/// What the end of the mapping is a multiple of.
const END_ALIGN: u64 = 4 * MIB;

/// Where libxenguest ends the mapping (`alloc_pgtables_pv`), `used` bytes of which are laid out before the tables.
pub(super) fn toolstack_end(base: Virt, used: u64) -> Result<Phys, PvError> {
    let wrapped = || PvError::BeyondAddresses { base, used };
    let start = base.0.checked_add(used).ok_or_else(wrapped)?;
    let extra = PAGE_SIZE + PADDING;
    let mut len = extra;
    // Each step adds the tables for what the one before added: two or three do.
    loop {
        let last = start.checked_add(len).ok_or_else(wrapped)? | (END_ALIGN - 1);
        let mapped = last - base.0;
        len = extra + table_count(base, mapped + 1) * PAGE_SIZE;
        if start.checked_add(len - 1).ok_or_else(wrapped)? <= last {
            return mapped.checked_add(1).map(Phys).ok_or_else(wrapped);
        }
    }
}

/// Where Xen's dom0 builder ends the mapping (`dom0_construct_pv`).
pub(super) fn xen_end(base: Virt, used: u64) -> Result<Phys, PvError> {
    let wrapped = || PvError::BeyondAddresses { base, used };
    let start = base.0.checked_add(used).ok_or_else(wrapped)?;
    let mut tables = 2;
    // More tables are needed only where the mapping grows, by 4 MiB and two tables at a time.
    loop {
        let stack_end = start.checked_add((tables + 1) * PAGE_SIZE).ok_or_else(wrapped)?;
        let mut last = (stack_end - 1) | (END_ALIGN - 1);
        if last - (stack_end - 1) < PADDING {
            last = last.checked_add(END_ALIGN).ok_or_else(wrapped)?;
        }
        let len = (last - base.0).checked_add(1).ok_or_else(wrapped)?;
        if table_count(base, len) <= tables {
            return Ok(Phys(len));
        }
        tables += 1;
    }
}
