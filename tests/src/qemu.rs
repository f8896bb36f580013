//! Tier T1: a machine in plain QEMU, emulated in software, so that a run does not depend on the host's CPU.
//!
//! `MSTRAP_QEMU_DEBUG=int,cpu_reset` in the environment adds QEMU's own trace of these things to the logs.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result};

use crate::Input;
use crate::logs::{Logs, QMP, SERIAL, STDERR, Tail};
use crate::machine::{Files, Machine};
use crate::outcome::Outcome;
use crate::tools::Qemu;

/// How often a run is looked at. Short, as a tiny guest is done in half a second.
const POLL: Duration = Duration::from_millis(20);

impl Machine {
    /// Runs the machine in plain QEMU, emulated by TCG.
    ///
    /// # Errors
    /// There is no QEMU ([`crate::Missing`]), or its files cannot be written. How the guest fares is no error but the
    /// [`Outcome`].
    pub fn run(&self) -> Result<Outcome> {
        self.run_showing(&mut io::sink())
    }

    /// The same, copying the serial port to `console` while it runs.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_showing(&self, console: &mut dyn Write) -> Result<Outcome> {
        self.run_with(Qemu::plain()?, "tcg", SERIAL, console)
    }

    /// The same with a certain QEMU and accelerator; `shown` is the log that is copied to `console`.
    pub(crate) fn run_with(
        &self,
        qemu: &Qemu,
        accelerator: &str,
        shown: &str,
        console: &mut dyn Write,
    ) -> Result<Outcome> {
        let logs = Logs::new(&self.name)?;
        let serial = logs.file(SERIAL);
        let initrd = self.initrd.as_deref();
        // Where another log is shown than the serial port's, that is a guest's within this one, which the input is for.
        let input = self.input.as_ref().filter(|_| shown == SERIAL).map(Input::fifo);
        let files = Files { kernel: &self.kernel, initrd, serial: &serial, input, logs: logs.folder() };
        let mut command = qemu.command(self.limit.as_secs().max(1));
        command.args(self.qemu_arguments(accelerator, &files)).args(["-qmp", "stdio"]);
        self.link_modules(&mut command, logs.folder())?;
        if let Some(items) = env::var_os("MSTRAP_QEMU_DEBUG") {
            command.arg("-d").arg(items).arg("-D").arg(logs.file("trace.log"));
        }
        let mut tail = Tail::new(logs.file(shown));
        let (status, elapsed) = run_to_end(command, &logs, self, &mut tail, console)?;
        Ok(logs.outcome(status, elapsed))
    }
}

/// Runs QEMU until it ends, `tail` shows what the machine is to be ended at, or a person ends it; its exit status and how long it
/// took.
fn run_to_end(
    mut command: Command,
    logs: &Logs,
    machine: &Machine,
    tail: &mut Tail,
    console: &mut dyn Write,
) -> Result<(Option<i32>, Duration)> {
    logs.write("command", format!("{command:?}\n"))?;
    let start = Instant::now();
    command.stdin(Stdio::piped()).stdout(logs.create(QMP)?).stderr(logs.create(STDERR)?);
    let mut child = command.spawn().context("cannot start QEMU by timeout(1)")?;
    // QMP tells how the machine ended once its capabilities are negotiated.
    say(&mut child, "qmp_capabilities");
    loop {
        let status = child.try_wait()?;
        tail.copy_new(console)?;
        if let Some(status) = status {
            return Ok((status.code(), start.elapsed()));
        }
        let is_left = machine.input.as_ref().is_some_and(Input::is_left);
        if is_left || machine.until.as_ref().is_some_and(|text| tail.seen.contains(text)) {
            say(&mut child, "quit");
        }
        thread::sleep(POLL);
    }
}

/// Sends a QMP command. A QEMU that is gone no longer listens, and says why by its exit status.
pub(crate) fn say(child: &mut Child, command: &str) {
    if let Some(input) = &mut child.stdin {
        let _gone = writeln!(input, "{{\"execute\":\"{command}\"}}");
    }
}
