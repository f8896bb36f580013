//! Puts each byte of a kernel where it runs.

use shared::format::{Manifest, Member};
use shared::kernel::Plan;
use shared::memory::{FileRange, PhysRange, shifted};

use super::error::LoadError;
use super::frames::decode_frame;
use super::hash;
use super::memory::Memory;
use super::source::{Ramdisk, Source};
use super::timing::{Clock, Meter, Phase};

/// Decodes the kernel's segments into place, `shift` bytes (modulo 2^64) above where the plan has them, and zeroes all
/// else of its areas. Where segments overlap, the later in the program headers wins.
pub fn place<M: Memory, S: Source, C: Clock>(
    memory: &mut M,
    source: &mut S,
    manifest: &Manifest<'_>,
    plan: &Plan,
    shift: u64,
    meter: &mut Meter<C>,
) -> Result<(), LoadError> {
    for area in &plan.areas {
        zero_gaps(memory, plan, area, shift, meter)?;
    }
    for placement in &plan.placements {
        let unreachable = LoadError::Unreachable { range: placement.memory };
        let segment = shifted(&placement.memory, shift).ok_or(unreachable)?;
        decode_range(memory, source, manifest, placement.file, segment, meter)?;
        let bss = segment.len().checked_sub(placement.file.len());
        let bss = bss.and_then(|len| part(&segment, placement.file.len(), len)).ok_or(unreachable)?;
        zero(memory, bss, meter)?;
    }
    if let Some(symbols) = &plan.symbols {
        let moved = |range: &PhysRange| shifted(range, shift).ok_or(LoadError::Unreachable { range: *range });
        let headers = moved(&symbols.headers_at)?;
        let bytes = memory.bytes_mut(headers).ok_or(LoadError::Unreachable { range: headers })?;
        bytes.copy_from_slice(&symbols.headers);
        for (file, at) in [(symbols.symbols, symbols.symbols_at), (symbols.strings, symbols.strings_at)] {
            decode_range(memory, source, manifest, file, moved(&at)?, meter)?;
        }
    }
    Ok(())
}

/// Decodes the bytes `file` of the ELF file to the start of `target`.
fn decode_range<M: Memory, S: Source, C: Clock>(
    memory: &mut M,
    source: &mut S,
    manifest: &Manifest<'_>,
    file: FileRange,
    target: PhysRange,
    meter: &mut Meter<C>,
) -> Result<(), LoadError> {
    for frame in manifest.frames_of(file) {
        if frame.content.offset() < file.offset() || frame.content.end() > file.end() {
            return Err(LoadError::Straddles { index: frame.index, range: file });
        }
        let into = part(&target, frame.content.offset() - file.offset(), frame.content.len());
        decode_frame(memory, source, &frame, into.ok_or(LoadError::Unreachable { range: target })?, meter)?;
    }
    Ok(())
}

/// `len` bytes of `segment`, from `offset` on.
fn part(segment: &PhysRange, offset: u64, len: u64) -> Option<PhysRange> {
    let range = PhysRange::sized(segment.start().checked_add(offset)?, len).ok()?;
    segment.covers(&range).then_some(range)
}

/// Zeroes what of `area` no segment covers: steps from one segment's end to the next one's start. Each step passes a
/// segment, so that there are at most as many as segments, and one.
fn zero_gaps<M: Memory, C: Clock>(
    memory: &mut M,
    plan: &Plan,
    area: &PhysRange,
    shift: u64,
    meter: &mut Meter<C>,
) -> Result<(), LoadError> {
    let mut free = area.start();
    while free < area.end() {
        let segments = plan.placements.iter().map(|placement| &placement.memory);
        if let Some(end) = segments.clone().filter(|segment| segment.contains(free)).map(PhysRange::end).max() {
            free = end;
            continue;
        }
        let next = segments.filter(|segment| !segment.is_empty()).map(PhysRange::start).filter(|start| *start > free);
        let end = next.min().unwrap_or(area.end()).min(area.end());
        let gap = PhysRange::new(free, end).ok().and_then(|gap| shifted(&gap, shift));
        zero(memory, gap.ok_or(LoadError::Unreachable { range: *area })?, meter)?;
        free = end;
    }
    Ok(())
}

fn zero<M: Memory, C: Clock>(memory: &mut M, range: PhysRange, meter: &mut Meter<C>) -> Result<(), LoadError> {
    if range.is_empty() {
        return Ok(());
    }
    let bytes = memory.bytes_mut(range).ok_or(LoadError::Unreachable { range })?;
    meter.measure(Phase::Place, range.len(), || bytes.fill(0));
    Ok(())
}

/// Verifies member number `index`, a command line or a module, where it lies in the pack.
pub fn verify_member<M: Memory, C: Clock>(
    memory: &M,
    ramdisk: &Ramdisk,
    index: usize,
    member: &Member<'_>,
    meter: &mut Meter<C>,
) -> Result<(), LoadError> {
    let wanted: FileRange = member.stored;
    let whole = PhysRange::sized(ramdisk.base, wanted.end()).unwrap_or_default();
    let place = ramdisk.place(wanted).ok_or(LoadError::Unreachable { range: whole })?;
    let stored = memory.bytes(place).ok_or(LoadError::Unreachable { range: place })?;
    if meter.measure(Phase::Verify, wanted.len(), || hash::is_of(member.blake3, stored)) {
        Ok(())
    } else {
        Err(LoadError::MemberHash { index })
    }
}
