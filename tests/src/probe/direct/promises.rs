//! The numbered promises of docs/direct-protocol.md, each looked for in what the probe printed.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use shared::direct::{Block, Map, STACK_LEN};
use shared::kernel::{Kernel, Protocol, SliceFile};
use shared::memory::{PAGE_SIZE, Phys, PhysRange, Ram, Region, RegionKind};

use super::Kernel as Probe;
use crate::probe::{Class, Lines};

/// Bits of the registers (Intel SDM volume 3, 2.5; AMD64 manual volume 2, 3.1.7).
const CR0: u64 = 1 | 1 << 4 | 1 << 16 | 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_NXE: u64 = 1 << 11;
const EFER_LONG: u64 = 1 << 8 | 1 << 10;
/// TF, IF and DF.
const FLAGS_CLEAR: u64 = 1 << 8 | 1 << 9 | 1 << 10;
/// Flat segments: data; code of 32 and of 64 bits.
const DATA: u64 = 0x00cf_9300_0000_ffff;
const CODE_32: u64 = 0x00cf_9b00_0000_ffff;
const CODE_64: u64 = 0x00af_9b00_0000_ffff;
/// What bits 1 and 0 of a page fault's code say: a write; a page that is there. Bit 4: an instruction.
const WRITE: u64 = 1 << 1;
const PRESENT: u64 = 1;
const FETCH: u64 = 1 << 4;

/// Addresses in a row: first and last, where the first leads, whether it is written, whether it is executed.
type Run = (u64, u64, u64, bool, bool);

/// What the probe printed, by value.
struct Found<'a> {
    lines: &'a Lines,
    processor: Processor,
    ram: Vec<(u64, u64)>,
    /// What the memory map keeps of the RAM.
    block: Block,
    map: Vec<Run>,
}

/// Looks whether what the probe found keeps a promise.
type Check = fn(&Probe, &Found<'_>) -> Result<()>;

/// `CR4.MCE`. Nested in QEMU's TCG, a guest sees that of the KVM around it.
pub const CR4_MCE: u64 = 1 << 6;

/// What of the processor the promises depend on.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Bits of CR4 that may be set for reasons outside the machine.
    pub foreign: u64,
    /// Whether it has no-execute pages.
    pub no_execute: bool,
}

impl Processor {
    /// One with all that is asked for, and nothing foreign.
    pub const WHOLE: Self = Self { foreign: 0, no_execute: true };

    /// What a page is executed for that is mapped to be executed, or not.
    const fn executes(self, wanted: bool) -> bool {
        wanted || !self.no_execute
    }
}

/// Looks whether each promise was kept.
///
/// # Errors
/// The number of the first that was not, and how; or what the probe did not print.
pub fn check(layout: &Probe, lines: &Lines, processor: Processor) -> Result<()> {
    ensure!(lines.is_complete(), "the probe did not come to its end");
    ensure!(lines.not_ok().is_empty(), "{:#?}", lines.not_ok());
    let found = Found::parse(lines, processor)?;
    let promises: [(&str, Check); 9] = [
        ("1 to 4: mode and registers", mode),
        ("5: no interrupt table", no_idt),
        ("6: segments", segments),
        ("7 and 8: registers and stack", stack),
        ("9 to 14: what is mapped", mapped),
        ("9 to 14: the plan", planned),
        ("15 to 17: what is handed over", handed),
        ("8, 10, 11 and 13: faults", faults),
        ("18: vectors", vectors),
    ];
    promises.iter().try_for_each(|(promise, kept)| kept(layout, &found).with_context(|| format!("promises {promise}")))
}

impl<'a> Found<'a> {
    fn parse(lines: &'a Lines, processor: Processor) -> Result<Self> {
        let map = (0..).map_while(|number| lines.named(&format!("map[{number}]"))).map(run).collect::<Result<_>>()?;
        let entries = (0..).map_while(|number| lines.named(&format!("memmap[{number}]")));
        let entries: Vec<Vec<u64>> = entries.map(|line| Ok(numbers(line))).collect::<Result<_>>()?;
        let mut found = Self { lines, processor, ram: Vec::new(), block: Block::NONE, map };
        let start_info = found.start_info()?;
        for entry in &entries {
            let [start, end, kind] = entry[..] else { bail!("a memory map of other lines: {entry:x?}") };
            let is_block = kind == 2 && start <= start_info && start_info < end;
            if is_block {
                found.block = Block::at(PhysRange::new(Phys(start), Phys(end))?);
            }
            if kind == 1 || is_block {
                // The memory map speaks of bytes, tables of pages.
                found.ram.push((start.next_multiple_of(PAGE_SIZE), end & !(PAGE_SIZE - 1)));
            }
        }
        Ok(found)
    }

    fn number(&self, name: &str) -> Result<u64> {
        let line = self.lines.named(name).with_context(|| format!("no line {name}"))?;
        numbers(line).first().copied().with_context(|| format!("no number: {line}"))
    }

    fn wide(&self) -> Result<bool> {
        Ok(self.number("width")? == 64)
    }

    fn start_info(&self) -> Result<u64> {
        self.number(if self.wide()? { "di" } else { "bx" })
    }
}

/// The numbers of a line `KIND NAME: ...`, hexadecimal with 0x or decimal.
fn numbers(line: &str) -> Vec<u64> {
    let value = line.split_once(": ").map_or("", |(_, value)| value);
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    value.split_whitespace().filter_map(number).collect()
}

fn run(line: &str) -> Result<Run> {
    let [first, last, place] = numbers(line)[..] else { bail!("a mapping of other words: {line}") };
    let access = line.rsplit_once(' ').map_or("", |(_, access)| access);
    Ok((first, last, place, access.contains('W'), access.contains('X')))
}

fn mode(layout: &Probe, found: &Found<'_>) -> Result<()> {
    let wide = found.wide()?;
    ensure!(wide == (layout.class == Class::Elf64), "a mode of the other width");
    let (cr0, cr4, efer) =
        (found.number("cr0")?, found.number("cr4")? & !found.processor.foreign, found.number("efer")?);
    ensure!(cr0 == CR0 && cr4 == CR4_PAE, "cr0 {cr0:#x}, cr4 {cr4:#x}");
    let nxe = if found.processor.no_execute { EFER_NXE } else { 0 };
    ensure!(efer == if wide { nxe | EFER_LONG } else { nxe }, "efer {efer:#x}");
    let flags = found.number("flags")?;
    ensure!(flags & FLAGS_CLEAR == 0, "flags {flags:#x}");
    Ok(())
}

fn no_idt(_: &Probe, found: &Found<'_>) -> Result<()> {
    let limit = found.number("idt.limit")?;
    ensure!(limit == 0, "a limit of {limit:#x}");
    Ok(())
}

fn segments(_: &Probe, found: &Found<'_>) -> Result<()> {
    for name in ["cs", "ds", "es", "fs", "gs", "ss"] {
        let expected = match (name, found.wide()?) {
            ("cs", true) => CODE_64,
            ("cs", false) => CODE_32,
            _ => DATA,
        };
        let descriptor = found.number(name)?;
        ensure!(descriptor == expected, "{name}: {descriptor:#018x}");
    }
    Ok(())
}

fn stack(_: &Probe, found: &Found<'_>) -> Result<()> {
    let (wide, end) = (found.wide()?, found.block.stack().end().0);
    ensure!(found.block.stack().len() == STACK_LEN, "nothing is kept");
    let (sp, info) = (found.number("sp")?, found.start_info()?);
    ensure!(sp == if wide { end - 24 } else { end - 20 }, "stack pointer {sp:#x}, stack up to {end:#x}");
    ensure!(found.number("return")? == 0, "an address to return to");
    ensure!(wide || found.number("argument")? == info, "another argument on the stack");
    let zero = ["ax", "cx", "dx", "si", "bp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
    for name in zero.into_iter().chain([if wide { "bx" } else { "di" }]) {
        ensure!(found.number(name)? == 0, "{name} is not 0");
    }
    Ok(())
}

/// Builders leave zeros, and no more of XCR0 than the FPU and XMM.
fn vectors(_: &Probe, found: &Found<'_>) -> Result<()> {
    for (name, values) in [("fpu.registers", ["zero", "zero"]), ("xmm", ["zero", "zero"]), ("xcr0", ["0x1", "0x3"])] {
        let line = found.lines.named(name).with_context(|| format!("no line {name}"))?;
        let holds = values.iter().any(|value| line == format!("info {name}: {value}")) || line.starts_with("skip xcr0");
        ensure!(holds, "{line}");
    }
    let line = found.lines.named("ymm").unwrap_or("skip ymm");
    ensure!(line == "info ymm: zero" || line.starts_with("skip ymm"), "{line}");
    Ok(())
}

/// The mappings that the promises make, from the layout and the RAM alone.
fn mapped(layout: &Probe, found: &Found<'_>) -> Result<()> {
    let last = if layout.class == Class::Elf64 { u64::MAX } else { u64::from(u32::MAX) };
    let loads = &layout.loads;
    let pages = |start: u64, len: u64| (start & !(PAGE_SIZE - 1), (start + (len - 1)) | (PAGE_SIZE - 1));
    let block = &found.block;
    let at = |address: u64| -> Option<(u64, bool, bool)> {
        for load in loads {
            let (first, end) = pages(load.virt, load.memory_size);
            if (first..=end).contains(&address) {
                return Some((
                    address.wrapping_sub(load.virt).wrapping_add(load.phys),
                    load.flags & 2 != 0,
                    load.flags & 1 != 0,
                ));
            }
        }
        let is_ram = found.ram.iter().any(|(start, end)| (*start..*end).contains(&address));
        if !is_ram || block.guard().contains(Phys(address)) {
            return None;
        }
        if block.trampoline().contains(Phys(address)) {
            return Some((address, false, true));
        }
        for load in loads {
            let (first, end) = pages(load.phys, load.memory_size);
            if (first..=end).contains(&address) {
                return Some((address, load.flags & 2 != 0, load.flags & 1 != 0 && layout.physical));
            }
        }
        Some((address, true, false))
    };
    let mut edges: BTreeSet<u64> = [0].into();
    for load in loads {
        for (first, end) in [pages(load.virt, load.memory_size), pages(load.phys, load.memory_size)] {
            edges.extend([Some(first), end.checked_add(1)].into_iter().flatten());
        }
    }
    edges.extend(found.ram.iter().flat_map(|(start, end)| [*start, *end]));
    for part in [block.trampoline(), block.guard()] {
        edges.extend([part.start().0, part.end().0]);
    }
    edges.retain(|edge| *edge <= last);
    let edges: Vec<u64> = edges.into_iter().collect();
    let mut expected: Vec<Run> = Vec::new();
    for (number, first) in edges.iter().enumerate() {
        let end = edges.get(number + 1).map_or(last, |next| next - 1);
        let Some((place, write, execute)) = at(*first).filter(|_| end - first >= PAGE_SIZE - 1) else { continue };
        let execute = found.processor.executes(execute);
        match expected.last_mut() {
            Some(run)
                if run.1.wrapping_add(1) == *first
                    && run.2 + (first - run.0) == place
                    && (run.3, run.4) == (write, execute) =>
            {
                run.1 = end;
            }
            _ => expected.push((*first, end, place, write, execute)),
        }
    }
    ensure!(found.map == expected, "found {:x?}\nexpected {expected:x?}", found.map);
    Ok(())
}

/// The same as `shared` plans it, from the file.
fn planned(layout: &Probe, found: &Found<'_>) -> Result<()> {
    let kernel = Kernel::read(&mut SliceFile(&layout.elf))?;
    let plan = kernel.plan(Protocol::Direct, &layout.decisions)?;
    let range = |(start, end): &(u64, u64)| PhysRange::new(Phys(*start), Phys(*end)).unwrap_or_default();
    let regions = found.ram.iter().map(|ram| Region { range: range(ram), kind: RegionKind::Ram });
    let ram = Ram::from_regions(regions)?;
    let map = Map { plan: &plan, ram: &ram, block: found.block, gib_pages: false };
    let mut runs: Vec<Run> = Vec::new();
    for run in map.runs() {
        let Some((Phys(place), access)) = run.to else { continue };
        let (write, execute) = (access.write, found.processor.executes(access.execute));
        match runs.last_mut() {
            // Without no-execute pages, neighbours that are planned apart are alike.
            Some(last)
                if last.1.wrapping_add(1) == run.first
                    && (last.3, last.4) == (write, execute)
                    && last.2.wrapping_add(run.first - last.0) == place =>
            {
                last.1 = run.last
            }
            _ => runs.push((run.first, run.last, place, write, execute)),
        }
    }
    ensure!(found.map == runs, "found {:x?}\nplanned {runs:x?}", found.map);
    Ok(())
}

fn handed(layout: &Probe, found: &Found<'_>) -> Result<()> {
    ensure!(found.number("start_info.magic")? == 0x336e_c578, "no start_info");
    ensure!(found.number("start_info.version")? == 1, "another version");
    let block = found.block.range();
    ensure!(!block.is_empty(), "the memory map does not keep start_info");
    let tables = found.lines.named("memmap[0]").is_some();
    ensure!(tables, "no memory map");
    for load in &layout.loads {
        let place = PhysRange::sized(Phys(load.phys), load.memory_size)?.page_hull()?;
        let shadow = (load.virt, load.virt.saturating_add(load.memory_size));
        let hides = shadow.0 < block.end().0 && block.start().0 < shadow.1;
        ensure!(!block.overlaps(&place) && !hides, "what is kept, {block}, is where the segment at {place} is");
    }
    Ok(())
}

fn faults(layout: &Probe, found: &Found<'_>) -> Result<()> {
    let [own, alias, data] = layout.to_try;
    let expected = [
        ("write", PRESENT | WRITE, own),
        ("write-1:1", PRESENT | WRITE, alias),
        ("jump", PRESENT | FETCH, data),
        ("write-below-stack", WRITE, found.block.guard().end().0 - 1),
    ];
    for (name, code, address) in expected {
        let line = found.lines.named(&format!("fault.{name}")).unwrap_or_default();
        let expected = match (name, found.processor.no_execute) {
            // It is not tried: whatever is there would be executed.
            ("jump", false) => format!("info fault.{name}: false code 0x0 at 0x0"),
            _ => format!("info fault.{name}: true code {code:#x} at {address:#x}"),
        };
        ensure!(line == expected, "{line:?}, expected {expected:?}");
    }
    Ok(())
}
