//! The description of one domain, its file for xl, and what is done with it.

use std::path::Path;

use anyhow::Result;
pub use pack::domain::Kind;
use pack::xl::DomainFile;

use crate::Machine;

/// A domain to run.
#[derive(Debug, Clone)]
pub struct Domain {
    pub(super) kind: Kind,
    pub(super) machine: Machine,
    pub(super) act: Act,
    pub(super) given: Option<Given>,
    vcpus: u32,
    shim: bool,
}

/// A domain's file that is taken as it is.
#[derive(Debug, Clone)]
pub struct Given {
    /// The domain's name in it.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What it has for kernel and ramdisk, without the leading slash.
    pub files: [String; 2],
}

/// What is done with a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is created, and runs to its end.
    Run,
    /// The same so many times in a row; it is destroyed each time. [`crate::Outcome::free_memory`] is of before and after.
    Repeat(u32),
    /// The same; if it has not ended at its limit, Xen's view of its processor is added to [`crate::Outcome::toolstack`].
    Watch,
    /// It is created, and runs to its end; its console reads the machine's input, and is shown while it runs.
    Talk,
    /// It is created, and runs to its end, while the console daemon is stopped, so that nobody reads its console.
    Unread,
    /// A guest that stays (see [`crate::initrd::STAY`]) is rebooted once it is up, and shut down once it is up again.
    Reboot,
    /// A guest that stays is saved and restored, and shut down once it goes on.
    Save,
}

impl Act {
    /// Its name in the list of jobs, and how many times.
    pub(super) fn word(self) -> (&'static str, u32) {
        match self {
            Self::Run => ("run", 1),
            Self::Repeat(times) => ("repeat", times),
            Self::Watch => ("watch", 1),
            Self::Talk => ("talk", 1),
            Self::Unread => ("unread", 1),
            Self::Reboot => ("reboot", 1),
            Self::Save => ("save", 1),
        }
    }
}

impl Domain {
    /// A domain with one vCPU and the machine's name, kernel, ramdisk, command line, memory, time limit, and the text on its console
    /// ring at which it is ended. What else a machine has (a board, a CPU model, arguments for QEMU) a domain has not.
    pub fn new(kind: Kind, machine: Machine) -> Self {
        Self { kind, machine, act: Act::Run, given: None, vcpus: 1, shim: false }
    }

    /// Something else is done with it than that it runs to its end.
    pub fn act(mut self, act: Act) -> Self {
        self.act = act;
        self
    }

    /// By a file of its own. When the domain has ended, xl destroys it, and nothing tells how it ended but what it wrote.
    pub fn given(mut self, given: Given) -> Self {
        self.given = Some(given);
        self
    }

    /// Whether the guest has to stay until it is told to shut down.
    pub fn stays(&self) -> bool {
        matches!(self.act, Act::Reboot | Act::Save)
    }

    /// Another number of vCPUs.
    pub fn vcpus(mut self, count: u32) -> Self {
        self.vcpus = count;
        self
    }

    /// A PV kernel in a PVH domain, on Xen's own shim (`pvshim`).
    pub fn shim(mut self) -> Self {
        self.shim = true;
        self
    }

    /// The domain's file for xl: what `pack xl` prints, and what this machine needs beside. The files of kernel and ramdisk
    /// are dom0's.
    ///
    /// # Errors
    /// xl's files cannot say it.
    pub(super) fn file(&self, name: &str, kernel: &Path, ramdisk: Option<&Path>) -> Result<String> {
        if let Some(given) = &self.given {
            return Ok(given.text.clone());
        }
        let Machine { append, memory_mib, .. } = &self.machine;
        let file = DomainFile {
            ramdisk: ramdisk.map(Path::to_owned),
            extra: append.clone(),
            vcpus: self.vcpus,
            ..DomainFile::new(name, self.kind, kernel, *memory_mib)
        };
        let emulated = if self.kind == Kind::Pvh { TSC_MODE } else { "" };
        let shim = if self.shim { "pvshim = 1\n" } else { "" };
        let reboot = if self.act == Act::Reboot { "restart" } else { "preserve" };
        Ok(format!("{}{emulated}{shim}{ENDS}on_reboot = \"{reboot}\"\n", file.text()?))
    }
}

/// TCG reports a read of the TSC by RDTSCP as one by RDTSC, so that Xen, emulating it, would end in the middle of the
/// instruction.
const TSC_MODE: &str = "tsc_mode = \"native\"\n";
/// How a domain ended is looked at afterwards.
const ENDS: &str = "on_poweroff = \"preserve\"\non_crash = \"preserve\"\n";
