//! T3: kernels made of the probe in the dom0 slot of a real Xen, as PV dom0, started by Xen's own dom0 builder and by stage0 from
//! a pack, on the Xen of this machine's release and on the one of the toolstack.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::linux::Packed;
use harness::probe::{self, Case, Lines, differ, for_pv};
use harness::stage0::{self, Restore};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, kernels, xen};
use pack::compress::Settings;

/// A version of Xen, by how it is obtained.
type Version = fn() -> Result<PathBuf, harness::Missing>;

fn main() {
    let versions: [(&str, Version); 2] = [("native", xen::hypervisor), ("toolstack", xen::hypervisor_of_toolstack)];
    let tests = versions.map(|(name, version)| {
        trial::test(&format!("{name}_equal_to_a_direct_start"), move || {
            cases().iter().try_for_each(|case| compare(case, name, version, None))
        })
    });
    let without_nx = trial::test("without_no_execute_pages", || {
        compare(&Case::new(for_pv()[0].clone()), "without-nx", xen::hypervisor, Some("qemu64,-nx"))
    });
    let error = trial::test("an_error_is_on_xens_own_console", an_error);
    let linux = trial::test("linux_reaches_userspace", linux);
    let vectors =
        trial::test("with_xsave_and_avx2_equal_to_a_direct_start_but_where_something_is_not_put_back", vectors);
    trial::main(tests.into_iter().chain([without_nx, vectors, error, linux]).collect());
}

fn cases() -> Vec<Case> {
    for_pv().map(Case::new).into()
}

fn direct(case: &Case, name: &str, version: Version, cpu: Option<&str>) -> Result<Outcome, Trouble> {
    let (kernel, module, words) = (case.kernel()?, case.module()?.unwrap_or_default(), Case::cmdline());
    let modules = [(kernel.as_path(), words.as_str()), (module.as_path(), "")];
    let outcome = start(&format!("{name}-{}-direct", case.layout.name), version()?, cpu, 64, &modules)?;
    let lines = Lines::of(&outcome.serial);
    check(lines.is_complete() && lines.not_ok().is_empty(), outcome.failure(&lines.not_ok().join("\n")))?;
    outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
    Ok(outcome)
}

fn compare(case: &Case, name: &str, version: Version, cpu: Option<&str>) -> Result<(), Trouble> {
    let direct = direct(case, name, version, cpu)?;
    let (stage0, pack) = (stage0::file()?, case.pack()?);
    let words = format!("stage0.quiet {}", Case::BUILDERS);
    let modules = [(stage0.as_path(), words.as_str()), (pack.as_path(), "")];
    let packed = start(&format!("{name}-{}-packed", case.layout.name), version()?, cpu, 64, &modules)?;
    case.compare(&direct, &packed, &differ::PV_BY_XEN)?;
    Ok(packed.ended(&Exit::Debug(probe::EXIT_OK))?)
}

/// A processor with AVX2.
const WIDE: Option<&str> = Some("EPYC");

/// Where stage0 hashes by AVX2; and the same when it does not put back one of the things that it changes.
fn vectors() -> Result<(), Trouble> {
    let case = &Case::new(for_pv().into_iter().next().ok_or("expected layouts for PV, found none")?);
    let (kernel, module, words) = (case.kernel()?, case.module()?.unwrap_or_default(), Case::cmdline());
    let modules = [(kernel.as_path(), words.as_str()), (module.as_path(), "")];
    let direct = start("vectors-direct", xen::hypervisor()?, WIDE, 64, &modules)?;
    let packed = |what: &str, body: &[u8]| -> Result<Outcome, Trouble> {
        let name = format!("vectors-{what}");
        let stage0 = probe::file(&format!("t3-{name}.stage0"), &stage0::with_body(body)?)?;
        let words = format!("stage0.quiet {}", Case::BUILDERS);
        let pack = case.pack()?;
        let modules = [(stage0.as_path(), words.as_str()), (pack.as_path(), "")];
        start(&name, xen::hypervisor()?, WIDE, 64, &modules)
    };
    let body = stage0::body()?;
    let whole = packed("whole", &body)?;
    case.compare(&direct, &whole, &differ::PV_BY_XEN)?;
    whole.ended(&Exit::Debug(probe::EXIT_OK))?;
    let is_on = Lines::of(&whole.serial).named("ymm").is_some_and(|line| line.starts_with("info "));
    check(is_on, whole.failure("expected a domain that may use AVX"))?;
    // Xen itself writes to the FPU's registers when AVX is switched on.
    let fpu = &["fpu", "fpu.registers", "xmm"][..];
    for (restore, lines) in [(Restore::Vectors, fpu), (Restore::Xcr0, &["xcr0"]), (Restore::Cr4, &["cr4"])] {
        let mut body = body.clone();
        restore.leave_out(&mut body)?;
        let without = packed(&format!("without-{restore:?}"), &body)?;
        let differences = Lines::of(&direct.serial).differences(&Lines::of(&without.serial));
        let names: Vec<&str> = differences.iter().map(|difference| difference.name.as_str()).collect();
        let names: Vec<&str> = names.into_iter().filter(|name| !differ::PV_BY_XEN.contains(name)).collect();
        check(names == lines, without.failure(&format!("expected only {lines:?} to differ, found {names:?}")))?;
    }
    Ok(())
}

/// Without a pack; and Xen shows of domains only what it always does.
fn an_error() -> Result<(), Trouble> {
    let outcome = start("no-pack", xen::hypervisor()?, None, 64, &[(&stage0::file()?, "")])?;
    let error = "stage0: error: no pack: modules, expected a pack as the first (the ramdisk), found none";
    check(outcome.serial.lines().any(|line| line.trim() == error), outcome.failure(&format!("expected: {error}")))?;
    Ok(outcome.ended(&Exit::Reset)?)
}

fn linux() -> Result<(), Trouble> {
    let kernel = kernels::with(&["CONFIG_XEN_DOM0", "CONFIG_XEN_PV"])?;
    let settings = Settings::quick();
    let packed = Packed::new("t3-linux", kernel, "console=hvc0 quiet panic=-1".to_owned(), settings)?;
    let modules = [(stage0::file()?, "guest=1"), (packed.file, "")];
    let modules = modules.each_ref().map(|(file, words)| (file.as_path(), *words));
    let outcome = start("linux", xen::hypervisor()?, None, 320, &modules)?;
    let report = outcome.guest()?;
    let expected = report.kernel == packed.kernel.release && report.cmdline == "console=hvc0 quiet panic=-1 guest=1";
    check(expected, outcome.failure("expected the kernel that was packed, with its command line and Xen's"))?;
    Ok(outcome.ended(&Exit::PowerOff)?)
}

/// Boots Xen on this processor, else on QEMU's default, with this much memory for dom0, in MiB, and these modules, of which the first is dom0's kernel; the outcome's serial port is what dom0 wrote.
fn start(
    name: &str,
    xen: PathBuf,
    cpu: Option<&str>,
    memory: u32,
    modules: &[(&Path, &str)],
) -> Result<Outcome, Trouble> {
    let machine = Machine::new(format!("t3-pv-{name}"), xen)
        .cpu(cpu.unwrap_or("qemu64"))
        .memory(1024)
        .limit(Duration::from_secs(120))
        .modules(modules)
        .append(format!("console=com1 com1=115200,8n1 loglvl=all dom0_mem={memory}M dom0_max_vcpus=1"));
    let mut outcome = machine.run()?;
    let dom0 = outcome.serial.lines().filter(|line| !line.starts_with("(XEN)"));
    outcome.serial = dom0.collect::<Vec<_>>().join("\n");
    Ok(outcome)
}
