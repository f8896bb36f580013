//! How a run ended and what it wrote.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::initrd::GuestReport;

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The guest wrote this value to isa-debug-exit.
    Debug(u8),
    /// The guest powered off.
    PowerOff,
    /// The guest reset itself: by intention, as Linux does after a panic (`panic=-1`), or by a triple fault.
    Reset,
    /// The guest told Xen that it had crashed, or Xen ended it for what it did.
    Crashed,
    /// The text that was waited for appeared, and the machine was ended.
    Found,
    /// It was killed at its time limit.
    TimedOut,
    /// QEMU itself failed; what it said.
    Failed(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debug(value) => write!(f, "the guest ended it with debug exit value {value}"),
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Reset => f.write_str("the guest reset itself (after a panic of its own, or by a triple fault)"),
            Self::Crashed => f.write_str("the domain crashed"),
            Self::Found => f.write_str("the awaited text appeared"),
            Self::TimedOut => f.write_str("it was killed at its time limit"),
            Self::Failed(why) => write!(f, "QEMU failed: {why}"),
        }
    }
}

impl Exit {
    /// From QEMU's exit status (None: killed by a signal), what its QMP monitor said, and its standard error.
    ///
    /// The value `n` written to isa-debug-exit ends QEMU with status `2n + 1`; status 1 is QEMU's own failure unless nothing was
    /// said. QMP's SHUTDOWN event tells a power-off from a reset.
    pub(crate) fn of(status: Option<i32>, qmp: &str, stderr: &str) -> Self {
        match status {
            Some(0) if qmp.contains("guest-reset") => Self::Reset,
            Some(0) if qmp.contains("guest-shutdown") => Self::PowerOff,
            Some(0) if qmp.contains("host-qmp-quit") => Self::Found,
            Some(1) if !stderr.trim().is_empty() => Self::Failed(stderr.trim().to_string()),
            Some(status @ 1..=255) if status % 2 == 1 && status != KILLED => match u8::try_from(status / 2) {
                Ok(value) => Self::Debug(value),
                Err(_) => Self::Failed(format!("status {status}")),
            },
            None | Some(KILLED) => Self::TimedOut,
            Some(status) => Self::Failed(format!("status {status}: {}", stderr.trim())),
        }
    }
}

/// The status with which timeout(1) and the shell report a process that SIGKILL ended. So the debug exit value 68 cannot be told
/// from a time-out; none of ours uses it.
const KILLED: i32 = 128 + 9;

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The machine's name.
    pub name: String,
    /// All that came over the serial port.
    pub serial: String,
    /// All that was written to port 0xE9, if that was asked for.
    pub debug_console: String,
    /// All that was written to the Xen console ring, where there is one.
    pub xen_console: String,
    /// What was said of it by Xen's toolstack, and by what drives it.
    pub toolstack: String,
    /// How it ended.
    pub exit: Exit,
    /// How long it took.
    pub elapsed: Duration,
    /// The folder with its logs.
    pub log: PathBuf,
}

impl Outcome {
    /// What a guest with the small busybox ramdisk said of itself.
    ///
    /// # Errors
    /// It said nothing; the message tells how the run ended, its last lines, and where the rest is.
    pub fn guest(&self) -> Result<GuestReport, String> {
        let report = GuestReport::find(&self.serial).or_else(|| GuestReport::find(&self.xen_console));
        report.ok_or_else(|| self.failure("the guest's userspace did not report itself"))
    }

    /// The megabytes that the hypervisor had left, before and after what was repeated.
    pub fn free_memory(&self) -> Option<(u64, u64)> {
        let rest = self.toolstack.lines().find_map(|line| line.strip_prefix("mstrap-dom0: free memory: "))?;
        let (before, after) = rest.split_once(' ')?;
        Some((before.parse().ok()?, after.parse().ok()?))
    }

    /// Succeeds if the machine ended as `expected`.
    ///
    /// # Errors
    /// It did not; see [`Self::failure`].
    pub fn ended(&self, expected: &Exit) -> Result<(), String> {
        if self.exit == *expected { Ok(()) } else { Err(self.failure(&format!("expected: {expected}"))) }
    }

    /// A message for a test that fails: `what`, how the run ended, its last lines, and where the rest is.
    pub fn failure(&self, what: &str) -> String {
        let lines: Vec<&str> = self.serial.lines().chain(self.xen_console.lines()).collect();
        let last = lines[lines.len().saturating_sub(15)..].join("\n  | ");
        let (name, exit, seconds, log) = (&self.name, &self.exit, self.elapsed.as_secs_f32(), self.log.display());
        format!("{name}: {what}; {exit} after {seconds:.1} s; all logs are in {log}; the last lines:\n  | {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_told_apart() {
        assert_eq!(Exit::of(Some(2 * 0x21 + 1), "", ""), Exit::Debug(0x21));
        assert_eq!(Exit::of(Some(0), "\"reason\": \"guest-shutdown\"", ""), Exit::PowerOff);
        assert_eq!(Exit::of(Some(0), "\"reason\": \"guest-reset\"", ""), Exit::Reset);
        assert_eq!(Exit::of(Some(137), "", ""), Exit::TimedOut);
        assert_eq!(Exit::of(Some(1), "", "qemu: no such device"), Exit::Failed("qemu: no such device".to_string()));
    }
}
