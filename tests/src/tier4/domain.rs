//! The description of one domain, and its file for xl.

use std::path::Path;

use anyhow::{Result, bail};

use crate::Machine;

/// A kind of domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In a virtual machine without emulated devices.
    Pvh,
    /// Paravirtualised.
    Pv,
}

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

    /// The domain's file for xl; the files of kernel and ramdisk are dom0's.
    ///
    /// # Errors
    /// A word has both kinds of quotation marks, or a newline: xl's files cannot say that.
    pub(super) fn file(&self, name: &str, kernel: &Path, ramdisk: Option<&Path>) -> Result<String> {
        let Machine { append, memory_mib, .. } = &self.machine;
        let mut file = format!("memory = {memory_mib}\nvcpus = {}\n", self.vcpus);
        let mut set = |key: &str, value: &str| -> Result<()> {
            file.push_str(&format!("{key} = {}\n", quoted(value)?));
            Ok(())
        };
        set("name", name)?;
        set("kernel", &kernel.display().to_string())?;
        if let Some(ramdisk) = ramdisk {
            set("ramdisk", &ramdisk.display().to_string())?;
        }
        if !append.is_empty() {
            set("extra", append)?;
        }
        match self.kind {
            Kind::Pvh => {
                set("type", "pvh")?;
                // TCG reports a read of the TSC by RDTSCP as one by RDTSC, so that Xen, emulating it, would end in the middle
                // of the instruction.
                set("tsc_mode", "native")?;
            }
            Kind::Pv => set("type", "pv")?,
        }
        // How a domain ended is looked at afterwards.
        ["on_poweroff", "on_reboot", "on_crash"].iter().try_for_each(|event| set(event, "preserve"))?;
        Ok(file)
    }
}

/// A string of xl's files, in which a backslash begins an escape sequence (libxlu_cfg_l.l).
fn quoted(text: &str) -> Result<String> {
    let quote = match (text.contains('\''), text.contains('"')) {
        (false, _) => '\'',
        (true, false) => '"',
        (true, true) => bail!("a file for xl cannot have both kinds of quotation marks: {text}"),
    };
    if text.contains('\n') {
        bail!("a string in a file for xl cannot have a newline: {text}");
    }
    Ok(format!("{quote}{}{quote}", text.replace('\\', r"\\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_keep_what_is_in_them() {
        assert_eq!(quoted("a \"b c\"").ok().as_deref(), Some("'a \"b c\"'"));
        assert_eq!(quoted(r"it's a \").ok().as_deref(), Some(r#""it's a \\""#));
        assert!(quoted("'\"").is_err() && quoted("a\nb").is_err());
    }
}
