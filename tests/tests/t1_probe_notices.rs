//! T1: the probe notices what is wrong. Each change to a kernel or a module makes exactly its own line `not ok`, or a comparison
//! of what the probe prints would prove nothing.

use std::fs;

use harness::probe::{self, Content, Extra, Layout, Lines};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine};
use shared::memory::MIB;

fn main() {
    trial::main(vec![
        trial::test("changed_bytes", changed_bytes),
        trial::test("a_bss_that_is_not_zero", a_bss_that_is_not_zero),
        trial::test("a_gap_that_is_not_zero", a_gap_that_is_not_zero),
        trial::test("a_changed_module", a_changed_module),
    ]);
}

/// Starts a kernel file that was changed after it was made; the probe must find exactly this line not ok.
fn notices(layout: &Layout, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), Trouble> {
    let mut kernel = fs::read(probe::build(layout)?)?;
    change(&mut kernel);
    let kernel = probe::file(&format!("{}-changed.elf", layout.name), &kernel)?;
    notices_in(&Machine::new(format!("probe-{}-changed", layout.name), kernel), name)
}

fn notices_in(machine: &Machine, name: &str) -> Result<(), Trouble> {
    let outcome = machine.run()?;
    let lines = Lines::of(&outcome.serial);
    let not_ok = lines.not_ok();
    let found = not_ok.len() == 1 && lines.named(name) == not_ok.first().copied();
    check(found && lines.is_complete(), outcome.failure(&format!("expected only {name} to be not ok: {not_ok:#?}")))?;
    Ok(outcome.ended(&Exit::Debug(probe::EXIT_NOT_OK))?)
}

/// Where the numbers are in the second PT_LOAD's program header, the third of an ELF64 file (System V ABI, figure 5-1).
const SECOND_LOAD: usize = 64 + 2 * 56;
const P_OFFSET: usize = SECOND_LOAD + 8;
const P_FILESZ: usize = SECOND_LOAD + 32;
const P_MEMSZ: usize = SECOND_LOAD + 40;

fn number(kernel: &[u8], at: usize) -> u64 {
    kernel[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn add(kernel: &mut [u8], at: usize, more: u64) {
    let sum = number(kernel, at) + more;
    kernel[at..][..8].copy_from_slice(&sum.to_le_bytes());
}

fn changed_bytes() -> Result<(), Trouble> {
    let filler = Extra::whole(20 * MIB, 1 << 20, Content::Pages);
    notices(&Layout::at("bytes", 16 * MIB).with(filler), "segment[1].bytes", |kernel| {
        let at = number(kernel, P_OFFSET) as usize + 12345;
        kernel[at] ^= 1;
    })
}

fn a_bss_that_is_not_zero() -> Result<(), Trouble> {
    let mostly_bss = Extra { memory_size: 5 * MIB, ..Extra::whole(20 * MIB, 4096, Content::Pages) };
    notices(&Layout::at("bss", 16 * MIB).with(mostly_bss), "segment[1].bss", |kernel| {
        kernel.extend([1; 4096]);
        add(kernel, P_FILESZ, 4096);
    })
}

fn a_gap_that_is_not_zero() -> Result<(), Trouble> {
    let one = Extra::whole(20 * MIB, 4096, Content::Pages);
    let other = Extra { paddr: 24 * MIB, file_size: 0, memory_size: 4096, content: Content::Pages };
    notices(&Layout::at("filled-gap", 16 * MIB).with(one).with(other), "gap[1]", |kernel| {
        kernel.extend([1; 4096]);
        add(kernel, P_FILESZ, 4096);
        add(kernel, P_MEMSZ, 4096);
    })
}

fn a_changed_module() -> Result<(), Trouble> {
    let layout = Layout::at("module", 16 * MIB);
    let mut module = probe::module(10_000, Content::Noise(1));
    module[5000] ^= 0x10;
    let module = probe::file("changed.module", &module)?;
    let machine = Machine::new("probe-module-changed", probe::build(&layout)?).initrd(module);
    notices_in(&machine, "module[0].description")
}
