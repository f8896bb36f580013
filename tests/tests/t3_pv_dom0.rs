//! T3: kernels made of the probe in the dom0 slot of a real Xen, as PV dom0, started by Xen's own dom0 builder and by stage0 from
//! a pack, on the Xen of this machine's release and on the one of the toolstack.

use std::path::{Path, PathBuf};

use harness::probe::{self, Case, Lines, differ, for_pv};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, stage0, xen};

/// A version of Xen, by how it is obtained.
type Version = fn() -> Result<PathBuf, harness::Missing>;

fn main() {
    let versions: [(&str, Version); 2] = [("native", xen::hypervisor), ("toolstack", xen::hypervisor_of_toolstack)];
    let tests = versions.map(|(name, version)| {
        trial::test(&format!("{name}_equal_to_a_direct_start"), move || {
            cases().iter().try_for_each(|case| compare(case, name, version))
        })
    });
    let error = trial::test("an_error_is_on_xens_own_console", an_error);
    trial::main(tests.into_iter().chain([error]).collect());
}

fn cases() -> Vec<Case> {
    for_pv().map(Case::new).into()
}

fn direct(case: &Case, name: &str, version: Version) -> Result<Outcome, Trouble> {
    let (kernel, module, words) = (case.kernel()?, case.module()?.unwrap_or_default(), Case::cmdline());
    let modules = [(kernel.as_path(), words.as_str()), (module.as_path(), "")];
    let outcome = start(&format!("{name}-{}-direct", case.layout.name), version()?, &modules)?;
    let lines = Lines::of(&outcome.serial);
    check(lines.is_complete() && lines.not_ok().is_empty(), outcome.failure(&lines.not_ok().join("\n")))?;
    outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
    Ok(outcome)
}

fn compare(case: &Case, name: &str, version: Version) -> Result<(), Trouble> {
    let direct = direct(case, name, version)?;
    let (stage0, pack) = (stage0::file()?, case.pack()?);
    let words = format!("stage0.quiet {}", Case::BUILDERS);
    let modules = [(stage0.as_path(), words.as_str()), (pack.as_path(), "")];
    let packed = start(&format!("{name}-{}-packed", case.layout.name), version()?, &modules)?;
    case.compare(&direct, &packed, &differ::PV)?;
    Ok(packed.ended(&Exit::Debug(probe::EXIT_OK))?)
}

/// Without a pack; and Xen shows of domains only what it always does.
fn an_error() -> Result<(), Trouble> {
    let outcome = start("no-pack", xen::hypervisor()?, &[(&stage0::file()?, "")])?;
    let error = "stage0: error: no pack: modules, expected a pack as the first (the ramdisk), found none";
    check(outcome.serial.lines().any(|line| line.trim() == error), outcome.failure(&format!("expected: {error}")))?;
    Ok(outcome.ended(&Exit::Reset)?)
}

/// Boots Xen with these modules, of which the first is dom0's kernel; the outcome's serial port is what dom0 wrote.
fn start(name: &str, xen: PathBuf, modules: &[(&Path, &str)]) -> Result<Outcome, Trouble> {
    let modules: Vec<String> =
        modules.iter().map(|(file, words)| format!("{} {words}", file.display()).trim_end().to_owned()).collect();
    let machine = Machine::new(format!("t3-pv-{name}"), xen)
        .memory(512)
        .initrd(PathBuf::from(modules.join(",")))
        .append("console=com1 com1=115200,8n1 loglvl=all dom0_mem=64M dom0_max_vcpus=1");
    let mut outcome = machine.run()?;
    let dom0 = outcome.serial.lines().filter(|line| !line.starts_with("(XEN)"));
    outcome.serial = dom0.collect::<Vec<_>>().join("\n");
    Ok(outcome)
}
