//! OpenSolaris' image of the thread in PV domains of a real Xen: started by the toolstack, by stage0, and by stage0 with each
//! segment mapped where it was linked too.

use harness::probe::{self, Lines, differ, solaris_pv};
use harness::tier4::{self, Domain, Kind, Release};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, stage0};
use libtest_mimic::Trial;
use pack::build::Request;
use shared::kernel::Mapping;

pub(crate) fn tests() -> Vec<Trial> {
    vec![trial::test("its_entry_segment_finds_the_others", found)]
}

fn packed(name: &str, mapping: Mapping) -> Result<Domain, Trouble> {
    let (elf, decisions) = solaris_pv("opensolaris", mapping)?;
    let built = Request { decisions, ..Request::new(name, elf) }.build(&|_| ()).map_err(|error| error.to_string())?;
    let pack = probe::file(&format!("{name}.pack"), &built.pack)?;
    Ok(domain(Machine::new(name, stage0::file()?).initrd(pack).append("stage0.quiet")))
}

fn domain(machine: Machine) -> Domain {
    Domain::new(Kind::Pv, machine.memory(64))
}

/// What the probe said on its console ring; it came to its end, and all was as it should be.
fn told(outcome: &Outcome) -> Result<Lines, Trouble> {
    let console: Vec<&str> = outcome.xen_console.lines().map(|line| line.trim_matches('\r')).collect();
    let lines = Lines::of(&console.join("\n"));
    check(lines.is_complete(), outcome.failure("the probe did not come to its end"))?;
    check(lines.not_ok().is_empty(), outcome.failure(&lines.not_ok().join("\n")))?;
    outcome.ended(&Exit::PowerOff)?;
    Ok(lines)
}

fn found() -> Result<(), Trouble> {
    let kernel = probe::file("t4-opensolaris-pv.elf", &solaris_pv("opensolaris", Mapping::Linear)?.0)?;
    let domains = [
        domain(Machine::new("t4-opensolaris-pv", kernel)),
        packed("t4-opensolaris-pv-linear", Mapping::Linear)?,
        packed("t4-opensolaris-pv-mapped", Mapping::Segments)?,
    ];
    let outcomes = tier4::run(Release::Trixie, &domains)?;
    let [theirs, linear, mapped] = outcomes.as_slice() else { return Err("outcomes are missing".into()) };
    let (direct, packed) = (told(theirs)?, told(linear)?);
    // Where the thread says that the others are: in the linear mapping, as the toolstack has it.
    let expected = |name: &str| differ::PV.contains(&name) || name == "cmdline";
    let differences: String = direct
        .differences(&packed)
        .iter()
        .filter(|difference| !expected(&difference.name))
        .map(ToString::to_string)
        .collect();
    check(differences.is_empty(), linear.failure(&format!("differs from a direct start:{differences}")))?;

    // And where they were linked, by tables that are counted with the others.
    let lines = told(mapped)?;
    for number in [1, 2] {
        let line = lines.named(&format!("segment[{number}].linked")).unwrap_or_default();
        check(line.starts_with("ok "), mapped.failure(&format!("segment {number} is not where it was linked")))?;
    }
    let numbers = |name: &str| -> Vec<u64> {
        let line = lines.named(name).and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value);
        line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect()
    };
    let (counted, there) = (numbers("nr_pt_frames"), numbers("tables").iter().sum::<u64>());
    check(counted == [there], mapped.failure(&format!("{there} tables, {counted:?} counted")))
}
