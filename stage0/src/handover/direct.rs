//! What a kernel keeps of stage0 by the direct protocol: page tables and a stack.

use shared::direct::Map;
use shared::kernel::Class;
use shared::memory::{Phys, PhysRange};

use super::HandOverError;
use crate::load::Memory;
use crate::platform::no_execute;

/// Writes the tables and the stack, on which the kernel finds itself called with the address of start_info: its argument of
/// the C calling convention where that is not a register, and 0 to return to. Returns the stack's pointer.
pub fn write_block<M: Memory>(memory: &mut M, map: &Map<'_>) -> Result<Phys, HandOverError> {
    let (tables, stack) = (map.block.tables(), map.block.stack());
    let bytes = cleared(memory, tables)?;
    // What the processor may not have is reserved there.
    let missing = (1 << 63) ^ no_execute();
    let mut lost = false;
    map.tables(tables.start(), &mut |at, entry| {
        let offset = at.0.wrapping_sub(tables.start().0) as usize;
        match bytes.get_mut(offset..).and_then(|bytes| bytes.first_chunk_mut()) {
            Some(place) => *place = (entry & !missing).to_le_bytes(),
            None => lost = true,
        }
    });
    if lost {
        return Err(HandOverError::TooLong { block: tables });
    }
    let bytes = cleared(memory, stack)?;
    let argument = bytes.len().saturating_sub(16);
    if let Some(place) = bytes.get_mut(argument..).and_then(|bytes| bytes.first_chunk_mut()) {
        *place = map.block.start_info().start().0.to_le_bytes();
    }
    let word = if map.plan.class == Class::Elf32 { 4 } else { 8 };
    Ok(Phys(stack.end().0.saturating_sub(16 + word)))
}

fn cleared<M: Memory>(memory: &mut M, range: PhysRange) -> Result<&mut [u8], HandOverError> {
    let bytes = memory.bytes_mut(range).ok_or(HandOverError::Unreachable { range })?;
    bytes.fill(0);
    Ok(bytes)
}
