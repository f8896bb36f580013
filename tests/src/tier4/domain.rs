//! The description of one domain, and its file for xl.

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
    vcpus: u32,
}

impl Domain {
    /// A domain with one vCPU and the machine's name, kernel, ramdisk, command line, memory and time limit. What else a machine
    /// has (a board, a CPU model, arguments for QEMU) a domain has not.
    pub fn new(kind: Kind, machine: Machine) -> Self {
        Self { kind, machine, vcpus: 1 }
    }

    /// Another number of vCPUs.
    pub fn vcpus(mut self, count: u32) -> Self {
        self.vcpus = count;
        self
    }

    /// The domain's file for xl: what `pack xl` prints, and what this machine needs beside. The files of kernel and ramdisk
    /// are dom0's.
    ///
    /// # Errors
    /// xl's files cannot say it.
    pub(super) fn file(&self, name: &str, kernel: &Path, ramdisk: Option<&Path>) -> Result<String> {
        let Machine { append, memory_mib, .. } = &self.machine;
        let file = DomainFile {
            ramdisk: ramdisk.map(Path::to_owned),
            extra: append.clone(),
            vcpus: self.vcpus,
            ..DomainFile::new(name, self.kind, kernel, *memory_mib)
        };
        let emulated = if self.kind == Kind::Pvh { TSC_MODE } else { "" };
        Ok(file.text()? + emulated + ENDS)
    }
}

/// TCG reports a read of the TSC by RDTSCP as one by RDTSC, so that Xen, emulating it, would end in the middle of the
/// instruction.
const TSC_MODE: &str = "tsc_mode = \"native\"\n";
/// How a domain ended is looked at afterwards.
const ENDS: &str = "on_poweroff = \"preserve\"\non_reboot = \"preserve\"\non_crash = \"preserve\"\n";
