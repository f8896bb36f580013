//! A layout in a machine, started by the builder itself and by stage0 from a pack, and the comparison of the two.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use pack::build::{Module, Request};
use shared::format::Codec;

use super::{Content, Layout, Lines};
use crate::{Board, Machine, Outcome, stage0};

/// A kernel made of the probe, what it is handed, and the machine that runs it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The kernel.
    pub layout: Layout,
    /// The machine's type.
    pub board: Board,
    /// Its memory.
    pub memory_mib: u64,
    /// Bytes of the module that the kernel gets, if any.
    pub module: Option<usize>,
    /// How the pack holds the kernel.
    pub codec: Codec,
    /// The kernel that a builder can start by itself, where it is another.
    pub direct: Option<Layout>,
    /// Names of lines that may differ between the two ways in this case.
    pub differ: &'static [&'static str],
}

impl Case {
    /// The pack's part of the command line.
    pub const OWN: &str = "first \"second third\"";
    /// The builder's part of the command line, which follows.
    pub const BUILDERS: &str = "fourth=5";

    /// In a pc with 256 MiB, with a module of about 1 MiB, packed by zstd.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            board: Board::Pc,
            memory_mib: 256,
            module: Some(1_000_003),
            codec: Codec::Zstd,
            direct: None,
            differ: &[],
        }
    }

    /// The whole command line.
    pub fn cmdline() -> String {
        format!("{} {}", Self::OWN, Self::BUILDERS)
    }

    /// The module that the kernel gets, as a file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn module(&self) -> Result<Option<PathBuf>> {
        self.content().map(|content| super::file(&format!("{}.module", self.layout.name), &content)).transpose()
    }

    fn content(&self) -> Option<Vec<u8>> {
        self.module.map(|size| super::module(size, Content::Noise(1)))
    }

    /// The kernel that the builder starts by itself.
    ///
    /// # Errors
    /// As [`super::build`].
    pub fn kernel(&self) -> Result<PathBuf> {
        super::build(self.direct.as_ref().unwrap_or(&self.layout))
    }

    /// The kernel, the pack's part of the command line and the module, packed.
    ///
    /// # Errors
    /// Where the kernel cannot be built, packed, or written.
    pub fn pack(&self) -> Result<PathBuf> {
        self.pack_with(self.content().into_iter().collect())
    }

    /// The same with other modules.
    ///
    /// # Errors
    /// As [`Self::pack`].
    pub fn pack_with(&self, modules: Vec<Vec<u8>>) -> Result<PathBuf> {
        let layout = &self.layout;
        let mut request = Request::new(layout.name, fs::read(super::build(layout)?)?);
        request.cmdline = Some(Self::OWN.to_owned());
        request.settings.codec = self.codec;
        // How small it gets is not the question here.
        request.settings.level = 3;
        request.modules = modules.into_iter().map(|content| Module { name: "module".to_owned(), content }).collect();
        let built = request.build(&|_| ()).with_context(|| format!("probe layout {}", layout.name))?;
        super::file(&format!("{}.pack", layout.name), &built.pack)
    }

    /// The machine whose builder starts the kernel by itself. `tier` and the layout name its folder of logs.
    ///
    /// # Errors
    /// Where the kernel or the module cannot be built or written.
    pub fn direct(&self, tier: &str) -> Result<Machine> {
        let machine = self.machine(format!("{tier}-{}-direct", self.layout.name), self.kernel()?);
        let machine = machine.append(Self::cmdline());
        Ok(match self.module()? {
            Some(module) => machine.initrd(module),
            None => machine,
        })
    }

    /// The machine whose builder starts stage0 with the pack.
    ///
    /// # Errors
    /// As [`Self::pack`].
    pub fn packed(&self, tier: &str) -> Result<Machine> {
        let machine = self.machine(format!("{tier}-{}-packed", self.layout.name), stage0::file()?);
        Ok(machine.append(Self::BUILDERS).initrd(self.pack()?))
    }

    /// A machine as this case wants it, for another kernel.
    pub fn machine(&self, name: String, kernel: PathBuf) -> Machine {
        Machine::new(name, kernel).board(self.board).memory(self.memory_mib).debug_console()
    }

    /// Compares what the probe said on the first and on the second way. `differ` names lines that may, besides
    /// those that the case names.
    ///
    /// # Errors
    /// A probe did not come to its end, or other lines differ, or stage0 did not do what it does beyond a builder.
    pub fn compare(&self, direct: &Outcome, packed: &Outcome, differ: &[&str]) -> Result<()> {
        let [left, right] = [direct, packed].map(|outcome| Lines::of(&outcome.serial));
        for (outcome, lines) in [(direct, &left), (packed, &right)] {
            ensure!(lines.is_complete(), outcome.failure("the probe did not come to its end"));
        }
        let differences = left.differences(&right);
        let unexpected: String = differences
            .iter()
            .filter(|difference| !differ.iter().chain(self.differ).any(|name| difference.name == *name))
            .map(ToString::to_string)
            .collect();
        ensure!(unexpected.is_empty(), packed.failure(&format!("differs from a direct start:{unexpected}\n")));
        for (name, line) in self.promises() {
            if right.named(name) != Some(&line) {
                bail!(packed.failure(&format!("expected: {line}")));
            }
        }
        Ok(())
    }

    /// Lines that stage0 brings about though builders need not, and what both ways could have wrong together.
    fn promises(&self) -> Vec<(&'static str, String)> {
        let cmdline = Self::cmdline();
        let mut lines = vec![("cmdline", format!("ok cmdline: {} bytes \"{cmdline}\"", cmdline.len()))];
        if self.layout.pv.is_some() {
            // Where stage0 cannot leave from the boot stack's page, the case says that another may differ.
            if !self.differ.contains(&"padding") {
                lines.push(("stack", "info stack: 0x1000 bytes, not zero at 0xff4".to_owned()));
            }
            lines.push(("dirty", "info dirty: 1 pages from the boot stack on".to_owned()));
            return lines;
        }
        lines.push(("tr", "ok tr: rights 0x8b00, limit 0x67, base 0x0".to_owned()));
        lines.push(("modules", format!("info modules: {}", self.module.iter().count())));
        if self.module.is_some() {
            lines.push(("module[0].tail", "info module[0].tail: zero up to the page's end".to_owned()));
        }
        lines
    }
}
