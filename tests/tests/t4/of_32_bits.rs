//! A distribution's Linux of 32 bits in a PVH domain of a real Xen, started by the toolstack and by stage0.
//!
//! On an emulated processor neither gets far. QEMU's, as it walks page tables of PAE, sets the accessed bit in the topmost table, too,
//! where that bit is reserved. Xen, which has to read the instruction that it is to emulate, then finds no valid mapping, and
//! the domain stands at the first CPUID behind the one that turned paging on. A start by stage0 has to get as far, or further.

use std::fs;
use std::time::Duration;

use harness::linux::{self, Packed};
use harness::tier4::{self, Act, Domain, Kind, Release};
use harness::trial::{self, Trouble, check};
use harness::{Machine, Outcome, initrd, kernels, stage0};
use libtest_mimic::Trial;
use object::Endianness;
use object::read::elf::ElfFile32;
use object::read::{Object as _, ObjectSegment as _};
use pack::compress::Settings;
use pack::open;

const WORDS: &str = "console=hvc0 quiet panic=-1";
/// More than one that goes on takes to its userspace.
const LIMIT: Duration = Duration::from_secs(40);
const CPUID: [u8; 2] = [0x0f, 0xa2];
/// CR0's bit for paging.
const PAGING: u64 = 1 << 31;

pub(crate) fn tests() -> Vec<Trial> {
    vec![trial::test("a_linux_of_32_bits_gets_as_far_as_by_the_toolstack", as_far)]
}

fn as_far() -> Result<(), Trouble> {
    let kernel = kernels::of_32_bits()?;
    let (architecture, elf) =
        (kernel.architecture(), open::open(&kernel.vmlinuz).map_err(|error| error.to_string())?.elf);
    let folder = linux::folder()?;
    let [vmlinux, ramdisk] = ["vmlinux", "cpio"].map(|end| folder.join(format!("t4-linux-32.{end}")));
    fs::write(&vmlinux, &elf)?;
    fs::write(&ramdisk, initrd::small_for(architecture)?)?;
    let packed = Packed::new("t4-linux-32", kernel, WORDS.to_owned(), Settings { level: 3, ..Settings::default() })?;
    let machines = [
        Machine::new("t4-linux-32-direct", vmlinux).initrd(ramdisk).append(WORDS),
        Machine::new("t4-linux-32", stage0::file()?).initrd(&packed.file),
    ];
    let domains = machines.map(|machine| Domain::new(Kind::Pvh, machine.limit(LIMIT)).act(Act::Watch));
    let outcomes = tier4::run(Release::Trixie, &domains)?;
    let [direct, by_stage0] = outcomes.as_slice() else { return Err("expected two outcomes".into()) };
    let lines = by_stage0.xen_console.lines().filter(|line| line.starts_with("stage0: "));
    let said: Vec<&str> = lines.collect();
    let as_expected = said.len() == 3 && said[2].starts_with("stage0: kernel: linux at ");
    check(as_expected, by_stage0.failure("expected three lines of stage0's"))?;
    if by_stage0.guest().is_ok_and(|report| report.kernel == packed.kernel.release && report.guest_type == "PVH") {
        return Ok(());
    }
    let (builders, ours) = (Stand::of(direct)?, Stand::of(by_stage0)?);
    check(
        ours == builders,
        by_stage0.failure(&format!("expected it to stand as by the builder: {builders:x?}, found {ours:x?}")),
    )?;
    let paging = ours.cr0 & PAGING != 0 && ours.cr3 != 0;
    check(paging, by_stage0.failure(&format!("expected paging to be on: {ours:x?}")))?;
    let found = at(&elf, ours.rip)?;
    check(found == CPUID, by_stage0.failure(&format!("expected it to stand at a CPUID: {ours:x?}, found {found:x?}")))
}

/// Where a domain's processor stands.
#[derive(Debug, PartialEq, Eq)]
struct Stand {
    rip: u64,
    rsp: u64,
    cr0: u64,
    cr3: u64,
}

impl Stand {
    /// As Xen shows it.
    fn of(outcome: &Outcome) -> Result<Self, Trouble> {
        let field = |name: &str| {
            let text = outcome.toolstack.split_once(&format!("{name} = 0x")).and_then(|(_, rest)| rest.get(..16));
            let value = text.and_then(|text| u64::from_str_radix(text, 16).ok());
            value.ok_or_else(|| Trouble::from(outcome.failure(&format!("expected {name} in what Xen shows of it"))))
        };
        Ok(Self { rip: field("RIP")?, rsp: field("RSP")?, cr0: field("CR0")?, cr3: field("CR3")? })
    }
}

/// The bytes of a kernel at a virtual address.
fn at(elf: &[u8], address: u64) -> Result<&[u8], Trouble> {
    let file = ElfFile32::<Endianness>::parse(elf).map_err(|error| error.to_string())?;
    let mut segments = file.segments().filter_map(|segment| segment.data_range(address, 2).ok().flatten());
    segments.next().ok_or_else(|| format!("the kernel has nothing at {address:#x}").into())
}
