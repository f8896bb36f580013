//! What stage0 makes of a kernel, in lines for people.

use std::fmt::{Result, Write};

use pack::identity::Identity;
use pack::info::{KernelInfo, MemoryInfo, PlanInfo, ProtocolInfo};

/// What the kernel is called, how it can be entered, and how much memory it needs.
pub(super) fn brief(out: &mut String, kernel: &KernelInfo) -> Result {
    identity(out, &kernel.identity)?;
    for protocol in &kernel.protocols {
        match (&protocol.plan, protocol.entered_by_stage0) {
            (Some(plan), true) => writeln!(out, "entry      {}, at {}", protocol.protocol, entry(plan))?,
            (Some(_), false) => {
                writeln!(out, "           {}: possible, but {}", protocol.protocol, protocol.otherwise)?
            }
            (None, _) => {}
        }
    }
    for protocol in &kernel.protocols {
        for memory in &protocol.memory {
            writeln!(out, "memory     {}: {}", protocol.protocol, need(memory))?;
        }
    }
    Ok(())
}

/// One line for each name that the kernel has beside its version.
fn identity(out: &mut String, identity: &Identity) -> Result {
    let lines = [
        ("build", identity.linux_build.as_deref()),
        ("made by", identity.distribution),
        ("build id", identity.build_id.as_deref()),
    ];
    lines
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)))
        .try_for_each(|(name, value)| writeln!(out, "{name:<10} {value}"))
}

/// Everything.
pub(super) fn full(out: &mut String, kernel: &KernelInfo) -> Result {
    let linux = kernel.identity.linux_version.as_ref().map_or(String::new(), |version| format!(", Linux {version}"));
    writeln!(out, "kernel     {}{linux}, e_entry {:#x}", kernel.class, kernel.elf_entry)?;
    identity(out, &kernel.identity)?;
    writeln!(out, "says       {}", kernel.notes.source)?;
    for note in &kernel.notes.values {
        writeln!(out, "           {} = {}", note.name, note.value)?;
    }
    for protocol in &kernel.protocols {
        by_protocol(out, protocol)?;
    }
    Ok(())
}

fn by_protocol(out: &mut String, info: &ProtocolInfo) -> Result {
    let note = if info.entered_by_stage0 { String::new() } else { format!(" ({})", info.otherwise) };
    if let Some(refused) = &info.refused {
        return writeln!(out, "{:<10} no{note}: {refused}", info.protocol);
    }
    let Some(plan) = &info.plan else { return Ok(()) };
    writeln!(out, "{:<10} entry at {}{note}", info.protocol, entry(plan))?;
    for segment in &plan.segments {
        let memory = segment.memory;
        let zero = (memory.end - memory.start).saturating_sub(segment.file_len);
        let mapped = segment.mapped.map_or(String::new(), |at| format!(", mapped at {at:#x}"));
        writeln!(
            out,
            "           segment {} {} {:#x}..{:#x}: {:#x} bytes of the file from {:#x}, then {zero:#x} of zero; p_vaddr {:#x}{mapped}",
            segment.index,
            segment.access,
            memory.start,
            memory.end,
            segment.file_len,
            segment.file_offset,
            segment.virt
        )?;
    }
    if let Some(relocation) = &plan.relocation {
        writeln!(
            out,
            "           may be moved: to a multiple of {:#x}, from {:#x} to {:#x}",
            relocation.align, relocation.min, relocation.max
        )?;
    }
    for rule in &plan.explanation.rules {
        writeln!(out, "           {rule}")?;
    }
    for warning in &plan.explanation.warnings {
        writeln!(out, "           warning: {warning}")?;
    }
    for memory in &info.memory {
        writeln!(out, "           memory: {}", need(memory))?;
    }
    Ok(())
}

fn entry(plan: &PlanInfo) -> String {
    let kind = if plan.entry_is_virtual { "virtual" } else { "physical" };
    format!("{kind} {:#x}", plan.entry)
}

fn need(memory: &MemoryInfo) -> String {
    match (memory.need, &memory.refused) {
        (Some(need), _) => format!("{} MiB in a domain of {}'s", need >> 20, memory.builder),
        (None, Some(refused)) => format!("none in a domain of {}'s: {refused}", memory.builder),
        (None, None) => format!("unknown in a domain of {}'s", memory.builder),
    }
}
