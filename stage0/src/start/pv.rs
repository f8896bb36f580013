//! The same in a PV domain.

use shared::cmdline;
use shared::kernel::{Entry, PlanError};
use shared::memory::{Builder, MIB, PAGE_SIZE, Phys, Virt};

use super::{Guest, fail, report_times, room, say};
use crate::boot::{self, Domain, ManifestCopy};
use crate::entry;
use crate::error::Error;
use crate::handover::{self, pv::Hinge};
use crate::load::{Clock, Meter, Phase};
use crate::platform::clock::TimeStampCounter;
use crate::platform::console::Console;
use crate::platform::handed::Handed;
use crate::platform::pv::{Pv, PvHanded, Refused};
use crate::platform::xen::Xen;
use crate::platform::{self, VIRT_BASE, fault};

/// Starts the kernel of a PV domain; called by the entry, once.
pub(crate) fn pv(start_info: Virt, stack_end: Virt) -> ! {
    // SAFETY: only the entry of PV domains calls this.
    unsafe { Xen::set_pv() };
    // SAFETY: the entry calls this once, before anything else.
    unsafe { fault::install_pv() };
    platform::ask_for_no_execute();
    // SAFETY: the entry calls this once.
    let (copy, handed) = unsafe { room() };
    match start_pv(start_info, stack_end, copy, handed) {
        Err(error) => fail(&error),
        Ok(ready) => {
            // SAFETY: `start_pv` has written and mapped the hinge, and all that the kernel is handed.
            let result = unsafe { handover::pv::enter(&ready.hinge, ready.start_info, ready.stack_end) };
            fail(&Refused { call: "mmuext_op", result })
        }
    }
}

/// A PV kernel that waits to be entered.
struct ReadyPv {
    hinge: Hinge,
    start_info: Virt,
    stack_end: Virt,
}

fn start_pv(start_info: Virt, stack_end: Virt, copy: &mut ManifestCopy, common: &mut Handed) -> Result<ReadyPv, Error> {
    let mut meter = Meter::new(TimeStampCounter, fault::enter);
    // SAFETY: the PV entry was called by a builder, with these; it maps all up to the end of the boot stack.
    let copy_info = |at| unsafe { PvHanded::copy(at) };
    let handed = PvHanded::read(entry::image_place(), start_info, stack_end, copy_info, common)?;
    if let Some((mfn, port)) = handed.console() {
        // SAFETY: the builder maps the ring among its structures, if it is there at all.
        unsafe { platform::pv::set_console(&handed, mfn, port) };
    }
    // SAFETY: the PV entry calls this once.
    let (mut machine, ram) = meter.measure(Phase::Find, 0, || unsafe { Pv::new(&handed) })?;
    let options = cmdline::options(&common.cmdline)?;
    let pv = Some(boot::Pv { domain: handed.domain, base: Virt(VIRT_BASE), structures: handed.structures });
    let image = machine.image();
    let builder = Builder::Xen;
    let (trust, file, gib_pages) = (&entry::trust(), entry::file(), false);
    let mut domain =
        Domain { handed: common, options, trust, file, ram, image, builder, pv, gib_pages, log: &mut Console };
    let memory = handed.domain.nr_pages * PAGE_SIZE;
    say(options.quiet, format_args!("stage0: domain: PV, {} MiB", memory.div_ceil(MIB)));

    let loaded = boot::load::<Guest>(&mut machine, &mut domain, copy, &mut meter)?;
    let (Entry::Virtual(Virt(entry)) | Entry::Physical(Phys(entry))) = loaded.plan.entry;
    let entry = Virt(entry);
    say(options.quiet, format_args!("stage0: kernel: {} at {}, PV entry at {entry}", loaded.name(), loaded.place()));
    // Of a plan for a PV domain there is one.
    let day = loaded.start_of_day.as_ref().ok_or(PlanError::NotInPv { protocol: loaded.plan.protocol })?;
    let hinge =
        meter.measure(Phase::HandOver, 0, || handover::pv::write(&mut machine, &handed, &loaded, day, entry))?;
    if options.timing {
        report_times(&meter, TimeStampCounter.now().wrapping_sub(entry::started()));
    }
    let (start_info, stack_end) = (day.virt(day.start_info.start()), day.virt(day.stack.end()));
    machine.leave(stack_end, &handed.info);
    Ok(ReadyPv { hinge, start_info, stack_end })
}
