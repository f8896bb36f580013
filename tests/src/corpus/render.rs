//! Writes down what comes of a kernel: the text of a `.plan` file.

use std::fmt::{self, Write};

use shared::kernel::{Decisions, Entry, Kernel, Plan, PlanError, Protocol, PvLayout, SliceFile};

/// What comes of the kernel in `elf` by each protocol.
pub fn render(elf: &[u8], decisions: &Decisions) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut out, elf, decisions);
    out
}

fn write_all(out: &mut String, elf: &[u8], decisions: &Decisions) -> fmt::Result {
    let kernel = match Kernel::read(&mut SliceFile(elf)) {
        Ok(kernel) => kernel,
        Err(error) => return writeln!(out, "refused: {error}"),
    };
    match kernel.recorded_protocol(decisions) {
        Ok(Some(protocol)) => writeln!(out, "packed for {protocol}")?,
        Ok(None) => writeln!(out, "packed for the domain's own protocol")?,
        Err(error) => writeln!(out, "not packed: {error}")?,
    }
    for protocol in [Protocol::Pvh, Protocol::Pv, Protocol::Direct] {
        write_plan(out, protocol, &kernel.plan(protocol, decisions))?;
        if protocol == Protocol::Pv && kernel.plan(protocol, decisions) == Err(PlanError::Pv32) {
            // What libelf makes of it all the same.
            write_plan(out, protocol, &kernel.layout_pv(decisions))?;
        }
    }
    Ok(())
}

fn write_plan(out: &mut String, protocol: Protocol, plan: &Result<Plan, PlanError>) -> fmt::Result {
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => return writeln!(out, "\n{protocol}: refused: {error}"),
    };
    match plan.entry {
        Entry::Physical(entry) => writeln!(out, "\n{protocol}: entry physical {entry}")?,
        Entry::Virtual(entry) => writeln!(out, "\n{protocol}: entry virtual {entry}")?,
    }
    writeln!(out, "  kernel {}", plan.extent)?;
    for area in &plan.areas {
        writeln!(out, "  area {area}")?;
    }
    for placement in &plan.placements {
        let (index, file, memory) = (placement.index, placement.file, placement.memory);
        writeln!(out, "  segment {index}: file {file} to {memory}, p_vaddr {} {}", placement.virt, placement.access)?;
    }
    if let Some(symbols) = &plan.symbols {
        writeln!(out, "  symbols: headers {}", symbols.headers_at)?;
        writeln!(out, "           file {} to {}", symbols.symbols, symbols.symbols_at)?;
        writeln!(out, "           file {} to {}", symbols.strings, symbols.strings_at)?;
    }
    if let Some(relocation) = plan.relocation {
        writeln!(out, "  may move: align {:#x}, {} to {}", relocation.align, relocation.min, relocation.max)?;
    }
    plan.pv.as_ref().map_or(Ok(()), |pv| write_pv(out, pv))
}

fn write_pv(out: &mut String, pv: &PvLayout) -> fmt::Result {
    writeln!(out, "  virt_base {}, paddr_offset {:#x}", pv.virt_base, pv.paddr_offset)?;
    writeln!(out, "  virt_kstart {}, virt_kend {}, virt_entry {}", pv.virt_kstart, pv.virt_kend, pv.virt_entry)?;
    if let Some(page) = pv.hypercall_page {
        writeln!(out, "  hypercall page {page}")?;
    }
    if let Some(p2m) = pv.init_p2m {
        writeln!(out, "  p2m at {p2m}")?;
    }
    if pv.mod_start_pfn {
        writeln!(out, "  initrd need not be mapped")?;
    }
    writeln!(out, "  features supported {:#x}, required {:#x}", pv.features.supported, pv.features.required)
}
