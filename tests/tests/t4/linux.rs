//! Distribution kernels in PV and PVH domains of a real Xen, through stage0 and one pack for both kinds.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use harness::kernels;
use harness::linux::{self, Packed};
use harness::tier4::{self, Act, Domain, Given, Kind, Release};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, initrd, stage0, tools};
use libtest_mimic::Trial;
use pack::compress::Settings;
use shared::memory::MIB;

/// What the pack's own command line has, and the builder's.
const OWN: &str = "console=hvc0 quiet panic=-1 own=\"a b\"";
const BUILDERS: &str = "builders=1";
/// What a Linux in a domain takes, generously, on a busy host.
const LIMIT: Duration = Duration::from_secs(120);

/// One domain, and what is expected of it.
struct Run {
    name: &'static str,
    domain: fn(Machine) -> Domain,
    memory: u64,
    cpus: u32,
    guest_type: &'static str,
    /// How often it comes up.
    starts: usize,
}

const PV: Run = Run { name: "pv", domain: pv, memory: 256, cpus: 1, guest_type: "PV", starts: 1 };
const PVH: Run = Run { name: "pvh", domain: pvh, guest_type: "PVH", ..PV };

/// Those that are saved or rebooted reach their userspace as any other.
const RUNS: [Run; 7] = [
    Run { name: "shim", domain: |machine| pvh(machine).shim(), ..PV },
    Run { name: "pv-large", memory: 2048, cpus: 4, domain: |machine| pv(machine).vcpus(4), ..PV },
    Run { name: "pvh-large", memory: 2048, cpus: 4, domain: |machine| pvh(machine).vcpus(4), ..PVH },
    Run { name: "pv-reboot", starts: 2, domain: |machine| pv(machine).act(Act::Reboot), ..PV },
    Run { name: "pvh-reboot", starts: 2, domain: |machine| pvh(machine).act(Act::Reboot), ..PVH },
    Run { name: "pv-save", domain: |machine| pv(machine).act(Act::Save), ..PV },
    Run { name: "pvh-save", domain: |machine| pvh(machine).act(Act::Save), ..PVH },
];

fn pv(machine: Machine) -> Domain {
    Domain::new(Kind::Pv, machine)
}

fn pvh(machine: Machine) -> Domain {
    Domain::new(Kind::Pvh, machine)
}

pub(crate) fn tests() -> Vec<Trial> {
    let tests = RUNS.iter().enumerate().map(|(number, run)| {
        trial::test(&format!("{}_reaches_userspace", run.name), move || {
            let batch = Batch::get()?;
            run.check(&batch.packed, &batch.outcomes[number])
        })
    });
    let given = trial::test("a_file_that_pack_xl_prints_is_complete", given);
    let tests = tests.chain([given]).chain(KINDS.into_iter().enumerate().map(|(number, kind)| {
        trial::test(&format!("in_64_mib_{}_is_refused_with_what_it_needs", kind.word()), move || {
            let batch = Batch::get()?;
            too_small(&batch.packed, kind, &batch.outcomes[RUNS.len() + number])
        })
    }));
    tests.collect()
}

/// The file as the program writes it, without a word added.
fn given_file(packed: &Packed) -> Result<Given, Trouble> {
    let (name, files) = ("given", ["srv/stage0.elf".to_owned(), "srv/given.pack".to_owned()]);
    let [stage0, ramdisk] = files.each_ref().map(|file| format!("/{file}"));
    let mut command = Command::new(tools::pack()?);
    command.arg("xl").arg(&packed.file).args(["--name", name, "--type", "pv", "--memory", "256M"]);
    let output = command.args(["--extra", BUILDERS, "--stage0", &stage0, "--ramdisk", &ramdisk]).output()?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    check(output.status.success(), errors)?;
    Ok(Given { name: name.to_owned(), text: text.into_owned(), files })
}

fn given() -> Result<(), Trouble> {
    let batch = Batch::get()?;
    given_file(&batch.packed)?;
    let outcome = batch.outcomes.last().ok_or("no outcome")?;
    PV.check(&batch.packed, outcome)
}

const KINDS: [Kind; 2] = [Kind::Pv, Kind::Pvh];

fn too_small(packed: &Packed, kind: Kind, outcome: &Outcome) -> Result<(), Trouble> {
    let need = linux::need(&packed.bytes, &kind.to_string(), "Xen")?.div_ceil(MIB);
    let error = format!("stage0: error: not enough memory: domain, expected {need} MiB, found 64 MiB");
    let found = outcome.xen_console.lines().any(|line| line == error);
    check(found, outcome.failure(&format!("expected: {error}")))?;
    Ok(outcome.ended(&Exit::Crashed)?)
}

/// All domains, run in one go.
struct Batch {
    packed: Packed,
    outcomes: Vec<Outcome>,
}

impl Batch {
    fn get() -> Result<&'static Self, Trouble> {
        static BATCH: OnceLock<Result<Batch, Trouble>> = OnceLock::new();
        BATCH.get_or_init(Self::run).as_ref().map_err(Clone::clone)
    }

    fn run() -> Result<Self, Trouble> {
        let kernel = kernels::with(&["CONFIG_XEN_PV", "CONFIG_XEN_PVH"])?;
        let settings = Settings::quick();
        let packed = Packed::new("t4-linux", kernel, OWN.to_owned(), settings)?;
        let stage0 = stage0::file()?;
        let mut domains: Vec<Domain> = RUNS.iter().map(|run| run.domain(&packed, stage0.clone())).collect();
        domains.extend(KINDS.map(|kind| {
            let machine = Machine::new(format!("t4-linux-small-{}", kind.word()), stage0.clone()).memory(64);
            Domain::new(kind, machine.initrd(&packed.file))
        }));
        let machine = Machine::new("t4-linux-given", stage0).initrd(&packed.file).limit(LIMIT);
        match given_file(&packed) {
            Ok(given) => domains.push(pv(machine).given(given)),
            // Then its test says so.
            Err(Trouble::Missing(_)) => {}
            Err(other) => return Err(other),
        }
        let outcomes = tier4::run(Release::Trixie, &domains)?;
        check(outcomes.len() == domains.len(), "expected as many outcomes as domains")?;
        Ok(Self { packed, outcomes })
    }
}

impl Run {
    fn domain(&self, packed: &Packed, stage0: PathBuf) -> Domain {
        let machine = Machine::new(format!("t4-linux-{}", self.name), stage0).initrd(&packed.file);
        (self.domain)(machine.append(self.words()).memory(self.memory).limit(LIMIT))
    }

    fn words(&self) -> String {
        let domain = (self.domain)(Machine::new("", ""));
        if domain.stays() { format!("{BUILDERS} {}", initrd::STAY) } else { BUILDERS.to_owned() }
    }

    fn check(&self, packed: &Packed, outcome: &Outcome) -> Result<(), Trouble> {
        let report = outcome.guest()?;
        outcome.ended(&Exit::PowerOff)?;
        check(report.kernel == packed.kernel.release, outcome.failure("expected the kernel that was packed"))?;
        let guest_type = self.guest_type;
        check(report.guest_type == guest_type, outcome.failure(&format!("expected guest_type {guest_type}")))?;
        let cmdline = format!("{OWN} {}", self.words());
        check(report.cmdline == cmdline, outcome.failure(&format!("expected the command line {cmdline}")))?;
        check(report.cpus == self.cpus, outcome.failure(&format!("expected {} processors", self.cpus)))?;
        let least = self.memory * 1024 / 2;
        check(report.memory_kib > least, outcome.failure(&format!("expected more than {least} KiB")))?;
        let starts = outcome.xen_console.matches(&report.line).count();
        check(starts == self.starts, outcome.failure(&format!("expected {} starts, found {starts}", self.starts)))?;
        let lines: Vec<&str> = outcome.xen_console.lines().filter(|line| line.trim().starts_with("stage0: ")).collect();
        let as_expected = lines.len() == 3 * self.starts && lines.iter().all(|line| !line.contains("error"));
        check(as_expected, outcome.failure("expected three lines of stage0's for each start"))
    }
}
