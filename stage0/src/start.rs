//! From an entry to a kernel: the whole of stage0 in the order in which it happens.

#[cfg(feature = "pv")]
mod pv;

use core::fmt::{self, Write};

#[cfg(feature = "pv")]
pub(crate) use pv::pv;
use shared::cmdline;
use shared::kernel::{Entry, Protocol};
use shared::memory::{Builder, MIB, Phys, PhysRange, Virt};

use crate::boot::{self, Domain, Loaded, ManifestCopy};
use crate::entry;
use crate::error::Error;
use crate::handover::{self, Module, PvhHandover};
use crate::load::{Clock, Meter, Phase};
#[cfg(feature = "pv")]
use crate::platform::clock::TimeStampCounter;
use crate::platform::console::Console;
use crate::platform::handed::Handed;
#[cfg(feature = "pv")]
use crate::platform::memory::PhysicalMemory;
use crate::platform::pvh::Pvh;
use crate::platform::xen::Xen;
use crate::platform::{Machine, fault, shutdown};

/// The only machine there is.
#[cfg(not(feature = "pv"))]
type Guest = Pvh;
/// Any machine: there is one copy of the code that loads.
#[cfg(feature = "pv")]
type Guest = dyn Machine<Memory = PhysicalMemory, Clock = TimeStampCounter>;

/// What is too large for the stack: the pack's manifest, and what the builder handed over.
static mut MANIFEST: ManifestCopy = [0; _];
static mut HANDED: Handed = Handed::EMPTY;

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
    let begin = machine.clock().now();
    let xen = Xen::find();
    let mut meter = Meter::new(machine.clock(), fault::enter);
    let ask = |memmap: &mut _| xen.is_some_and(|xen| xen.memory_map(memmap));
    meter.measure(Phase::Find, 0, || handed.read(machine.memory(), start_info, ask))?;
    let handed = &*handed;
    let options = cmdline::options(&handed.cmdline)?;
    let ram = handed.ram()?;
    let builder = if xen.is_some() { Builder::Xen } else { Builder::Qemu };
    let image = machine.image();
    let (trust, file) = (&entry::trust(), entry::file());
    let mut domain = Domain { handed, options, trust, file, ram, image, builder, pv: None, log: &mut Console };
    say(options.quiet, format_args!("stage0: domain: PVH{}, {} MiB", under(xen), domain.ram.total().div_ceil(MIB)));

    let loaded = boot::load::<Guest>(machine, &mut domain, Protocol::Pvh, copy, &mut meter)?;
    let entry = physical_entry(&loaded);
    say(options.quiet, format_args!("stage0: kernel: {} at {}, PVH entry at {entry}", loaded.name, loaded.place()));
    let ready = meter.measure(Phase::HandOver, 0, || hand_over(machine, handed, &loaded, entry))?;
    if options.timing {
        report_times(&meter, machine.clock().now().wrapping_sub(begin));
    }
    Ok(ready)
}

const fn under(xen: Option<Xen>) -> &'static str {
    if xen.is_some() { " under Xen" } else { "" }
}

/// Where the kernel is entered, moved as the kernel was.
fn physical_entry(loaded: &Loaded<'_>) -> Phys {
    let (Entry::Physical(Phys(entry)) | Entry::Virtual(Virt(entry))) = loaded.plan.entry;
    Phys(entry.wrapping_add(loaded.arrangement.shift))
}

/// Writes all that the kernel is handed.
fn hand_over(machine: &mut Pvh, handed: &Handed, loaded: &Loaded<'_>, entry: Phys) -> Result<Ready, Error> {
    let arrangement = &loaded.arrangement;
    let modules: heapless::Vec<Module<'_>, 80> = loaded.modules(handed).collect();
    let handover = PvhHandover { handed, modules: modules.iter().copied(), cmdline: &loaded.cmdline };
    handover::write_start_info(machine.memory(), arrangement.start_info, &handover)?;
    handover::pvh::write_trampoline(machine.memory(), arrangement.trampoline, entry)?;
    Ok(Ready { trampoline: arrangement.trampoline, start_info: arrangement.start_info.start() })
}

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
        let _ = writeln!(Console, "{line}");
    }
}

/// Reports what is wrong, on every console, and ends the domain.
pub fn fail(error: &dyn fmt::Display) -> ! {
    let _ = writeln!(Console, "stage0: error: {error}");
    shutdown::failed()
}
