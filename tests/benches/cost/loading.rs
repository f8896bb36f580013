//! What loading costs in the guest.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::count::Counted;
use harness::kernels::Kernel;
use harness::{Machine, probe, stage0};
use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::FileHeader;
use pack::check::check;
use pack::domain::{Domain, Kind};
use pack::image::Image;
use pack::open::{self, Opened};
use pack::reading::Reading;
use shared::format::Codec;
use shared::kernel::{Decisions, Entry, Plan, Protocol};
use shared::memory::Builder;
use shared::trust::TrustSlot;

use crate::packing::{self, Packed};

/// The processor that instructions are counted on: the decompressors that Linux comes with ask which one it is.
const CPU: &str = "max";
/// Where a bzImage's own code begins once the builder has left: Linux' Documentation/arch/x86/boot.rst, `code32_start`.
const CODE32_START: u64 = 0x10_0000;
/// Fields of a bzImage's header (the same document).
const PREF_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;

/// One kernel, loaded in one way.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kernel: String,
    /// What loads it.
    pub(crate) loader: String,
    /// Bytes of what the builder loads.
    pub(crate) file: usize,
    /// The least memory with which the kernel is entered, bytes.
    pub(crate) memory: u64,
    /// Instructions from reset to the kernel's first, firmware included.
    pub(crate) from_reset: u64,
    /// Those of them from the loader's first on.
    pub(crate) loading: u64,
    /// stage0's phases.
    pub(crate) phases: Vec<(String, u64)>,
}

impl Row {
    pub(crate) fn is_stage0(&self) -> bool {
        self.loader.starts_with(STAGE0)
    }

    pub(crate) fn phase(&self, name: &str) -> Option<u64> {
        self.phases.iter().find(|(phase, _)| phase == name).map(|(_, count)| *count)
    }
}

const STAGE0: &str = "stage0";

/// A kernel to be loaded.
pub(crate) struct Subject<'a> {
    kernel: &'a Kernel,
    pub(crate) opened: Opened,
    /// The ELF file.
    pub(crate) vmlinux: PathBuf,
    plan: Plan,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(kernel: &'a Kernel) -> Result<Self> {
        let opened = open::open(&kernel.vmlinuz)?;
        let vmlinux = probe::file(&format!("bench-{}.vmlinux", kernel.release), &opened.elf)?;
        let reading = Reading::of(&opened.elf, &Decisions::default())?;
        let plan = reading.plan(Protocol::Pvh)?;
        Ok(Self { kernel, opened, vmlinux, plan })
    }

    pub(crate) fn release(&self) -> &str {
        &self.kernel.release
    }

    /// The kernel loaded in each way; what packing cost is added to `packed`.
    pub(crate) fn rows(&self, packed: &mut Vec<Packed>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for codec in [Codec::Zstd, Codec::Lz4, Codec::None] {
            rows.push(self.by_stage0(codec, packed)?);
        }
        rows.push(self.by_itself()?);
        rows.push(self.by_qemu()?);
        Ok(rows)
    }

    fn machine(&self, name: &str, kernel: PathBuf) -> Machine {
        let name = format!("bench-{}-{name}", self.release());
        Machine::new(name, kernel).cpu(CPU).memory(512).limit(Duration::from_secs(300))
    }

    fn entry(&self) -> u64 {
        match self.plan.entry {
            Entry::Physical(entry) => entry.0,
            Entry::Virtual(entry) => entry.0,
        }
    }

    fn by_stage0(&self, codec: Codec, packed: &mut Vec<Packed>) -> Result<Row> {
        let (pack, cost) = packing::pack(self, codec)?;
        packed.push(cost);
        let name = format!("bench-{}-{}.pack", self.release(), codec.name());
        let machine = self.machine(codec.name(), stage0::file()?).initrd(probe::file(&name, &pack)?);
        let first = Reading::of(pack::stage0::EMBEDDED, &Decisions::default())?.plan(Protocol::Pvh)?.entry;
        let Entry::Physical(first) = first else { anyhow::bail!("stage0 has no PVH entry") };
        let counted = machine.append("stage0.timing").count(&[first.0, self.entry()])?;
        let domain =
            Domain { kind: Kind::Pvh, builder: Builder::Qemu, memory: None, trust: TrustSlot::EMPTY, cmdline: "" };
        let need = check(&Image::parse(&pack)?, pack::stage0::EMBEDDED, &domain)?.need;
        let line = counted.serial.lines().find_map(|line| line.strip_prefix("stage0: timing: "));
        let phases = phases(line.context("no line of timing")?);
        Ok(Row { phases, ..self.row(format!("{STAGE0}, {}", codec.name()), pack.len(), need, &counted)? })
    }

    /// The bzImage, whose own code decompresses the kernel.
    fn by_itself(&self) -> Result<Row> {
        let image = fs::read(&self.kernel.vmlinuz)?;
        let field = |at: usize| image.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let (place, size) = (field(PREF_ADDRESS).context("no bzImage")?, field(INIT_SIZE).context("no bzImage")?);
        let header = FileHeader64::<LittleEndian>::parse(self.opened.elf.as_slice())?;
        let machine = self.machine("itself", self.kernel.vmlinuz.clone()).append("nokaslr");
        let counted = machine.count(&[CODE32_START, header.e_entry(LittleEndian)])?;
        let loader = format!("its own decompressor, {}", self.kernel.compression);
        self.row(loader, image.len(), place + (size & u64::from(u32::MAX)), &counted)
    }

    /// The ELF file, which QEMU reads: nothing is left to do in the guest.
    fn by_qemu(&self) -> Result<Row> {
        let entry = self.entry();
        let mut counted = self.machine("qemu", self.vmlinux.clone()).count(&[entry])?;
        counted.at.insert(0, counted.at[0]);
        self.row("QEMU, on the host".to_owned(), self.opened.elf.len(), self.plan.extent.end().0, &counted)
    }

    fn row(&self, loader: String, file: usize, memory: u64, counted: &Counted) -> Result<Row> {
        let [first, last] = counted.at[..] else { anyhow::bail!("{} counts", counted.at.len()) };
        let kernel = self.release().to_owned();
        Ok(Row { kernel, loader, file, memory, from_reset: last, loading: last - first, phases: Vec::new() })
    }
}

/// The phases of a line such as `find 7197 ticks 0 bytes, hand over 4979 ticks 0 bytes, total 2049 ticks`. A tick of the emulated
/// clock is an instruction.
fn phases(line: &str) -> Vec<(String, u64)> {
    let parts = line.split(", ").filter_map(|part| {
        let (before, _) = part.split_once(" ticks")?;
        let (name, ticks) = before.rsplit_once(' ')?;
        Some((name.to_string(), ticks.parse().ok()?))
    });
    parts.collect()
}
