//! T4: PVH domains of a real Xen, created by its real toolstack: kernels made of the probe, started by libxl itself and by
//! stage0 from a pack; a ramdisk that is no pack.

use std::sync::OnceLock;

use harness::probe::{self, Case, Content, Extra, Layout};
use harness::tier4::{self, Domain, Kind};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, stage0};
use shared::memory::MIB;

/// Lines of the probe that may differ.
const DIFFER: [&str; 9] = [
    // libxl loads null selectors whose hidden parts are valid, which says nothing when read back; stage0 has to load them from
    // a GDT. That they are flat is checked in `cs.use` and its kin, which may not differ.
    "cs",
    "ds",
    "es",
    "ss",
    "tr",
    "end",
    // The builder's choice, within limits that the probe checks in other lines.
    "start_info.address",
    "module[0].address",
    // Promised by stage0 alone.
    "module[0].tail",
];

fn main() {
    trial::main(vec![
        trial::test("probes_are_equal_to_a_direct_start", probes),
        trial::test("a_ramdisk_that_is_no_pack_crashes_the_domain", no_pack),
    ]);
}

/// All domains, run in one go, as Xen has to be started first.
struct Batch {
    cases: Vec<Case>,
    /// Each case started by libxl itself and by stage0.
    probes: Vec<[Outcome; 2]>,
    no_pack: Outcome,
}

impl Batch {
    fn get() -> Result<&'static Self, Trouble> {
        static BATCH: OnceLock<Result<Batch, Trouble>> = OnceLock::new();
        BATCH.get_or_init(Self::run).as_ref().map_err(Clone::clone)
    }

    fn run() -> Result<Self, Trouble> {
        let cases = cases();
        let mut machines = vec![no_pack_machine()?];
        for case in &cases {
            let packed = case.packed("t4")?.append(format!("stage0.quiet {}", Case::BUILDERS));
            machines.extend([case.direct("t4")?, packed]);
        }
        let domains: Vec<Domain> = machines.into_iter().map(|machine| Domain::new(Kind::Pvh, machine)).collect();
        let outcomes = tier4::run(&domains)?;
        let [no_pack, probes @ ..] = outcomes.as_slice() else { return Err("outcomes are missing".into()) };
        let probes = probes.as_chunks().0.to_vec();
        check(probes.len() == cases.len(), "expected two outcomes of each case")?;
        Ok(Self { cases, probes, no_pack: no_pack.clone() })
    }
}

/// Where stage0 lies; over stage0, the pack and libxl's structures, which follow each other from 1 MiB on; with a gap and memory
/// that is not in the file.
fn cases() -> Vec<Case> {
    let over = Extra { memory_size: 16 * MIB, ..Extra::whole(2 * MIB, 1 << 20, Content::Noise(2)) };
    let gap = Extra { memory_size: 40 * MIB, ..Extra::whole(32 * MIB, 3 << 20, Content::Noise(1)) };
    let layouts = [
        Layout::at("domu-1mib", MIB),
        Layout::at("domu-over", MIB).with(over),
        Layout::at("domu-gap", 16 * MIB).with(gap),
    ];
    layouts.map(Case::new).into()
}

fn probes() -> Result<(), Trouble> {
    let batch = Batch::get()?;
    for (case, [direct, packed]) in batch.cases.iter().zip(&batch.probes) {
        case.compare(direct, packed, &DIFFER)?;
        check(!packed.serial.contains("stage0: "), packed.failure("expected no line of stage0's"))?;
        for outcome in [direct, packed] {
            outcome.ended(&Exit::PowerOff)?;
        }
    }
    Ok(())
}

fn no_pack_machine() -> Result<Machine, Trouble> {
    let text = probe::file("t4-no.pack", &b"This is no pack.\n".repeat(1000))?;
    Ok(Machine::new("t4-no-pack", stage0::file()?).initrd(text))
}

fn no_pack() -> Result<(), Trouble> {
    let outcome = &Batch::get()?.no_pack;
    let errors: Vec<&str> = outcome.serial.lines().filter(|line| line.starts_with("stage0: error: ")).collect();
    let found = errors.len() == 1 && errors[0].starts_with("stage0: error: not a pack: ");
    check(found, outcome.failure("expected one line, that this is not a pack"))?;
    Ok(outcome.ended(&Exit::Crashed)?)
}
