//! T1: stage0 on processors of all ages. Where there is no long mode it says so; where there are no no-execute pages it works,
//! and kernels find what the protocols promise.

use std::time::Duration;

use harness::linux::Packed;
use harness::probe::direct::{self, Processor};
use harness::probe::{self, Case, Layout, Lines};
use harness::trial::{self, Trouble, check};
use harness::{Board, Exit, Machine, kernels, stage0};
use pack::compress::Settings;
use shared::memory::MIB;

/// What lacks something that stage0 cannot do without.
const UNFIT: [&str; 14] = [
    "486",
    "pentium",
    "pentium2",
    "pentium3",
    "athlon",
    "qemu32",
    "kvm32",
    "coreduo",
    "n270",
    "qemu64,-lm",
    "max,-lm",
    "qemu64,-pae",
    "qemu64,-msr",
    "max,-tsc",
];
/// What it says then.
const REFUSAL: &str = "unfit processor: CPUID, expected x86-64 (long mode, PAE, MSR, TSC), found less";
/// What has no no-execute pages.
const WITHOUT_NX: [&str; 6] = ["qemu64,-nx", "kvm64,-nx", "phenom,-nx", "Conroe,-nx", "Nehalem,-nx", "max,-nx"];
/// What has all.
const WHOLE: [&str; 7] = ["qemu64", "kvm64", "phenom", "core2duo", "Nehalem", "EPYC", "max"];
/// QEMU's choice of what can be written to (AMD64 manual volume 2, 3.1.6), and another bit of the flags, which is always 0.
const FLAG_ID: [u8; 4] = [0, 0, 0x20, 0];
const FLAG_NONE: [u8; 4] = [8, 0, 0, 0];

fn main() {
    let mut tests = vec![
        trial::test("without_long_mode_it_says_so", || UNFIT.iter().try_for_each(|model| refused(model))),
        trial::test("without_cpuid_it_says_so", without_cpuid),
        trial::test("linux_reaches_userspace_without_no_execute_pages", linux),
    ];
    let models = WITHOUT_NX.map(|model| (model, false)).into_iter().chain(WHOLE.map(|model| (model, true)));
    tests.extend(models.map(|(model, no_execute)| {
        trial::test(&format!("kernels_start_on_{}", model.replace(",-", "_without_")), move || {
            starts(model, no_execute)
        })
    }));
    trial::main(tests);
}

/// In its line, on both consoles, and no more; then it ends the machine.
fn refused(model: &str) -> Result<(), Trouble> {
    says_so(Machine::new(format!("unfit-{model}"), stage0::file()?).cpu(model))
}

fn says_so(machine: Machine) -> Result<(), Trouble> {
    let outcome = machine.debug_console().limit(Duration::from_secs(20)).run()?;
    for console in [&outcome.serial, &outcome.debug_console] {
        let said: Vec<&str> = console.lines().filter(|line| line.contains("stage0")).collect();
        check(said == [format!("{}{REFUSAL}", stage0::ERROR)], outcome.failure(&format!("expected: {REFUSAL}")))?;
    }
    Ok(outcome.ended(&Exit::Debug(stage0::EXIT_ERROR))?)
}

/// QEMU has no processor without CPUID. One whose flag cannot be changed looks like one: the code that changes it is given
/// another flag.
fn without_cpuid() -> Result<(), Trouble> {
    let mut image = pack::stage0::EMBEDDED.to_vec();
    let first = stage0::find(&image[..stage0::packed_at()?], &[&[0x9c, 0x81, 0x34, 0x24][..], &FLAG_ID].concat())?;
    let end = first + 0x20;
    let places: Vec<usize> = (first..end).filter(|at| image[*at..].starts_with(&FLAG_ID)).collect();
    check(places.len() == 3, format!("the flag is named at {places:x?}"))?;
    places.iter().for_each(|at| image[*at..][..4].copy_from_slice(&FLAG_NONE));
    says_so(Machine::new("unfit-flag", probe::file("stage0-without-cpuid", &image)?).cpu("max"))
}

/// By PVH, compared with a start by QEMU itself, and by the direct protocol, 64 and 32 bits.
fn starts(model: &str, no_execute: bool) -> Result<(), Trouble> {
    let name: &str = format!("on-{}", model.replace(',', "")).leak();
    let case = Case::new(Layout::at(name, 16 * MIB));
    let (by_qemu, packed) = (case.direct("t1")?.cpu(model).run()?, case.packed("t1")?.cpu(model).run()?);
    case.compare(&by_qemu, &packed, &probe::differ::PVH_BY_QEMU)?;
    for outcome in [&by_qemu, &packed] {
        outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
    }
    let processor = Processor { no_execute, ..Processor::WHOLE };
    for layout in
        direct::layouts().iter().filter(|layout| ["direct-far-apart", "direct-32-3gib"].contains(&layout.name))
    {
        let kernel = layout.kernel()?;
        let outcome = direct::machine(&format!("t1-{name}"), &kernel)?.cpu(model).run()?;
        outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
        let kept = direct::check(&kernel, &Lines::of(&outcome.serial), processor);
        kept.map_err(|error| outcome.failure(&format!("{error:#}")))?;
    }
    Ok(())
}

fn linux() -> Result<(), Trouble> {
    let kernel = kernels::with(&["CONFIG_KERNEL_LZ4", "CONFIG_PVH"]).or_else(|_| kernels::with(&["CONFIG_PVH"]))?;
    let words = format!("console=ttyS0 quiet panic=-1 {}", Board::Pc.linux_words());
    let packed = Packed::new("linux-without-nx", kernel, words, Settings { level: 3, ..Settings::default() })?;
    let machine = Machine::new("linux-without-nx", stage0::file()?).initrd(&packed.file).cpu("qemu64,-nx");
    let outcome = machine.limit(Duration::from_secs(180)).run()?;
    let report = outcome.guest()?;
    check(report.kernel == packed.kernel.release, outcome.failure("expected the kernel that was packed"))?;
    Ok(outcome.ended(&Exit::PowerOff)?)
}
