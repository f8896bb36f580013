//! Tier T2: machines in QEMU's emulation of Xen.
//!
//! QEMU emulates Xen upon a KVM that supports it. Where this machine's KVM does, it is used. Elsewhere an outer machine, emulated
//! in software, runs a Linux whose KVM does, and in it the QEMU that emulates Xen: all machines of a call one after another,
//! since the outer machine takes several seconds to start.

mod outer;

use std::io::{self, Write};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Result, ensure};

use crate::logs::SERIAL;
use crate::tools::Qemu;
use crate::{Machine, Missing, Outcome};

/// The accelerator: KVM that says it were Xen 4.17, with the interrupt controllers that Xen's event channels need.
const ACCELERATOR: &str = "kvm,xen-version=0x40011,kernel-irqchip=split";

/// Runs the machines and gives their outcomes in the same order.
///
/// # Errors
/// A part is [`crate::Missing`], a file cannot be read or written, or a machine is to be ended at a text, which this tier cannot do.
/// How the guests fare is no error but their [`Outcome`].
pub fn run(machines: &[Machine]) -> Result<Vec<Outcome>> {
    run_showing(machines, &mut io::sink())
}

/// The same, copying the machines' serial ports to `console` while they run.
///
/// # Errors
/// As [`run`].
pub fn run_showing(machines: &[Machine], console: &mut dyn Write) -> Result<Vec<Outcome>> {
    for machine in machines {
        ensure!(machine.until.is_none(), "{}: tier T2 cannot end a machine at a text", machine.name);
    }
    let machines: Vec<Machine> = machines.iter().cloned().map(Machine::xen_console).collect();
    if !is_native()? {
        return outer::run(&machines, console);
    }
    let qemu = Qemu::with_xen()?;
    machines.iter().map(|machine| machine.run_with(qemu, ACCELERATOR, SERIAL, console)).collect()
}

/// Whether this machine's own KVM supports Xen, so that no outer machine is needed.
///
/// # Errors
/// No QEMU that could be asked.
pub fn is_native() -> Result<bool, Missing> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    let qemu = Qemu::with_xen()?;
    Ok(*KNOWN.get_or_init(|| starts(qemu)))
}

/// Whether an empty machine with the accelerator can be made.
fn starts(qemu: &Qemu) -> bool {
    let mut command = qemu.command(10);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-S", "-M", "q35", "-accel", ACCELERATOR]);
    command.args(["-monitor", "stdio"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        // A QEMU that cannot be started has ended, and says so by its status.
        let _ended = writeln!(input, "quit");
    }
    child.wait().is_ok_and(|status| status.success())
}
