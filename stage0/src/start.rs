//! From an entry to a kernel: the whole of stage0 in the order in which it happens.

mod pv;

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

pub(crate) use pv::pv;
use shared::cmdline;
use shared::direct::Map;
use shared::format::MAX_MEMBERS;
use shared::kernel::{Class, Entry, Protocol};
use shared::memory::{Builder, MAX_MODULES, MIB, Phys, PhysRange, Virt};
use shared::visible::write_line;

use crate::boot::{self, Domain, Loaded, ManifestCopy};
use crate::entry;
use crate::error::Error;
use crate::handover::pvh::Registers;
use crate::handover::{self, Module, PvhHandover};
use crate::load::{Clock, Meter, Phase};
use crate::platform::clock::TimeStampCounter;
use crate::platform::console::Console;
use crate::platform::handed::Handed;
use crate::platform::memory::PhysicalMemory;
use crate::platform::pvh::{self, Pvh};
use crate::platform::xen::Xen;
use crate::platform::{Machine, ask_for_no_execute, cpuid, fault, shutdown};

/// Any machine: there is one copy of the code that loads.
type Guest = dyn Machine<Memory = PhysicalMemory, Clock = TimeStampCounter>;

/// What is too large for the stack: the pack's manifest, and what the builder handed over.
#[cfg_attr(target_os = "none", unsafe(link_section = ".bss.manifest"))]
static mut MANIFEST: ManifestCopy = [0; _];
static mut HANDED: Handed = Handed::EMPTY;

/// Whether something has gone wrong already.
static FAILING: AtomicBool = AtomicBool::new(false);

/// The room in these.
///
/// # Safety
/// Called once.
unsafe fn room() -> (&'static mut ManifestCopy, &'static mut Handed) {
    let (manifest, handed) = (&raw mut MANIFEST, &raw mut HANDED);
    // SAFETY: called once (promised by the caller), and nothing else names the statics.
    unsafe { (&mut *manifest, &mut *handed) }
}

/// Starts the kernel of a PVH domain; called by the entry, once.
pub(crate) fn pvh(start_info: Phys) -> ! {
    // SAFETY: the entry calls this once, before anything else.
    unsafe { fault::install() };
    ask_for_no_execute();
    // SAFETY: the entry calls this once, on its tables.
    let mut machine = unsafe { Pvh::new() };
    // SAFETY: the entry calls this once.
    let (copy, handed) = unsafe { room() };
    match start(&mut machine, start_info, copy, handed) {
        Err(error) => fail(&error),
        // SAFETY: `start` has written the trampoline and start_info where it says, on tables that map the trampoline 1:1.
        Ok(ready) => unsafe { handover::pvh::enter(ready.trampoline, ready.start_info) },
    }
}

/// A kernel that waits to be entered.
struct Ready {
    trampoline: PhysRange,
    start_info: Phys,
}

fn start(machine: &mut Pvh, start_info: Phys, copy: &mut ManifestCopy, handed: &mut Handed) -> Result<Ready, Error> {
    let xen = Xen::find();
    let ring = xen.and_then(pvh::set_console);
    let mut meter = Meter::new(machine.clock(), fault::enter);
    let ask = |memmap: &mut _| xen.is_some_and(|xen| xen.memory_map(memmap));
    meter.measure(Phase::Find, 0, || handed.read(machine.memory(), start_info, ask))?;
    let handed = &*handed;
    let options = cmdline::options(&handed.cmdline)?;
    let ram = handed.ram()?;
    if ring.is_some_and(|ring| ram.overlaps(&ring)) {
        pvh::forget_console();
    }
    let builder = if xen.is_some() { Builder::Xen } else { Builder::Qemu };
    let image = machine.image();
    let (trust, file, gib_pages) = (&entry::trust(), entry::file(), cpuid::gib_pages());
    let mut domain =
        Domain { handed, options, trust, file, ram, image, builder, pv: None, gib_pages, log: &mut Console };
    say(options.quiet, format_args!("stage0: domain: PVH{}, {} MiB", under(xen), domain.ram.total().div_ceil(MIB)));

    let loaded = boot::load::<Guest>(machine, &mut domain, copy, &mut meter)?;
    let entry = entry(&loaded);
    let (kernel, protocol) = (loaded.name(), loaded.plan.protocol);
    say(options.quiet, format_args!("stage0: kernel: {kernel} at {}, {protocol} entry at {entry:#x}", loaded.place()));
    let ready = meter.measure(Phase::HandOver, 0, || hand_over(machine, &domain, &loaded, entry))?;
    if options.timing {
        report_times(&meter, machine.clock().now().wrapping_sub(entry::started()));
    }
    pvh::leave(&domain.ram);
    Ok(ready)
}

const fn under(xen: Option<Xen>) -> &'static str {
    if xen.is_some() { " under Xen" } else { "" }
}

/// Where the kernel is entered, moved as the kernel was.
fn entry(loaded: &Loaded<'_>) -> u64 {
    let (Entry::Physical(Phys(entry)) | Entry::Virtual(Virt(entry))) = loaded.plan.entry;
    entry.wrapping_add(loaded.arrangement.shift)
}

/// Writes all that the kernel is handed.
fn hand_over(machine: &mut Pvh, domain: &Domain<'_>, loaded: &Loaded<'_>, entry: u64) -> Result<Ready, Error> {
    let (arrangement, memory, handed) = (&loaded.arrangement, machine.memory(), domain.handed);
    let (block, start_info, trampoline) = (arrangement.block, arrangement.start_info, arrangement.trampoline);
    let mut registers = Registers::pvh(entry);
    if loaded.plan.protocol == Protocol::Direct {
        let map = Map { plan: &loaded.plan, ram: &domain.ram, block, gib_pages: domain.gib_pages };
        let stack = handover::write_block(memory, &map)?;
        let (wide, tables) = (loaded.plan.class == Class::Elf64, block.tables().start());
        // All of the block is below 4 GiB.
        registers = Registers::direct(entry, wide, tables.0 as u32, stack.0 as u32);
    }
    let modules: heapless::Vec<Module<'_>, MAX_HANDED> = loaded.modules(handed).collect();
    let (modules, reserved) = (modules.iter().copied(), block.range());
    let handover = PvhHandover { handed, modules, cmdline: &loaded.cmdline, rsdp: loaded.rsdp, reserved };
    handover::write_start_info(memory, start_info, &handover)?;
    handover::pvh::write_trampoline(memory, trampoline, registers)?;
    Ok(Ready { trampoline, start_info: start_info.start() })
}

/// Modules that a kernel is handed at most: the pack's, the log of measurements, the builder's.
const MAX_HANDED: usize = MAX_MEMBERS as usize + 1 + MAX_MODULES;

/// One line: ticks and bytes of each phase, and ticks in all.
fn report_times(meter: &Meter<impl Clock>, total: u64) {
    let _ = write!(Console, "stage0: timing:");
    for (phase, cost) in meter.costs() {
        let _ = write!(Console, " {} {} ticks {} bytes,", phase.name(), cost.ticks, cost.bytes);
    }
    let _ = writeln!(Console, " total {total} ticks");
}

fn say(quiet: bool, line: fmt::Arguments<'_>) {
    if !quiet {
        write_line(&mut Console, line);
    }
}

/// Reports what is wrong, on every console, and ends the domain.
pub fn fail(error: &dyn fmt::Display) -> ! {
    // An exception while this is reported is one more.
    if !FAILING.swap(true, Ordering::Relaxed) {
        write_line(&mut Console, format_args!("stage0: error: {error}"));
    }
    shutdown::failed()
}
