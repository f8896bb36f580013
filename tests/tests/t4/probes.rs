//! Domains of a real Xen, created by its real toolstack: kernels made of the probe, started by libxl itself and by stage0
//! from a pack, in PV domains, on Xen's shim, and in PVH domains; and what cannot be started.

use std::fs;
use std::sync::OnceLock;

use harness::linux;
use harness::probe::{self, Case, Content, Extra, Layout, Pv, differ, for_pv};
use harness::tier4::mutated::{self, Changed};
use harness::tier4::{self, Act, Domain, Kind, Pair, Release};
use harness::trial::{self, Trouble, check};
use harness::verified::{self, MeasuredLinux, Verified};
use harness::{Exit, Outcome};
use libtest_mimic::Trial;
use shared::format::Codec;
use shared::memory::MIB;

use crate::faults::FAULTS;
use crate::refused::REFUSED;

/// Domains of each kind whose packs are changed, and what the changes come of.
const CHANGED: u64 = 5;
const SEED: u64 = 2006;

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = vec![
        trial::test("changed_packs_start_their_kernel_or_are_refused", changed),
        trial::test("probes_are_equal_to_a_direct_start", equal),
        trial::test("what_no_domain_could_start_is_not_packed", refused_on_the_host),
        trial::test("created_and_destroyed_20_times_no_memory_is_lost", repeated),
        trial::test("what_is_not_signed_required_or_whole_is_refused_and_the_rest_accounted_for", verified),
        trial::test("a_linux_reads_what_was_measured", measured),
        trial::test("a_console_that_nobody_reads_does_not_stop_it", unread),
        trial::test("an_exception_inside_stage0_ends_a_pv_domain", faults),
    ];
    tests.extend(REFUSED.iter().enumerate().map(|(number, refused)| {
        trial::test(&format!("refused_{}", refused.name), move || refused.check(&Batch::get()?.refused[number]))
    }));
    tests
}

/// Kernels of which the host says what stage0 would.
fn refused_on_the_host() -> Result<(), Trouble> {
    let supervisor = Pv { features: "!writable_page_tables|!supervisor_mode_kernel", ..Pv::default() };
    let small = Layout { class: probe::Class::Elf32, ..Layout::pv("pv-32", 2 * MIB, Pv::default()) };
    let cases = [
        (small, "32-bit PV, expected x86-64 (type=pv) or a PVH entry (type=pvh)"),
        (
            Layout::pv("pv-supervisor", 2 * MIB, supervisor),
            "the feature 'supervisor_mode_kernel', which no PV domain has",
        ),
    ];
    for (layout, expected) in cases {
        let error = Case::new(layout).pack().err().map(|error| format!("{error:#}")).unwrap_or_default();
        check(error.contains(expected), format!("expected: {expected}, found: {error}"))?;
    }
    Ok(())
}

/// All domains, run in one go, as Xen has to be started first.
struct Batch {
    pairs: Vec<Pair>,
    /// Each pair, started by libxl itself and by stage0.
    probes: Vec<[Outcome; 2]>,
    refused: Vec<Outcome>,
    /// A PV and a PVH domain, created and destroyed again and again.
    repeated: Vec<Outcome>,
    /// The same, once, while nobody reads their consoles.
    unread: Vec<Outcome>,
    /// PVH domains of signed and measured packs, and of such that are not.
    verified: Vec<(Verified, Outcome)>,
    /// A measured Linux in a PV and in a PVH domain.
    measured: Vec<(MeasuredLinux, Outcome)>,
    /// Domains whose packs were changed at random, of each kind.
    changed: Vec<(Changed, Outcome)>,
    /// PV domains whose stage0 is changed.
    faults: Vec<Outcome>,
}

impl Batch {
    fn get() -> Result<&'static Self, Trouble> {
        static BATCH: OnceLock<Result<Batch, Trouble>> = OnceLock::new();
        BATCH.get_or_init(Self::run).as_ref().map_err(Clone::clone)
    }

    fn run() -> Result<Self, Trouble> {
        let mut pairs = pairs();
        pairs.extend(nearly_full()?);
        let mut domains = Vec::new();
        for pair in &pairs {
            domains.extend(pair.domains()?);
        }
        for refused in &REFUSED {
            domains.push((refused.domain)(refused)?);
        }
        for (name, act) in [("repeat", Act::Repeat(10)), ("unread", Act::Unread)] {
            for pair in [
                pv(Case::new(Layout::pv("again-pv", 2 * MIB, Pv::default()))),
                pvh(Case::new(Layout::at("again-pvh", MIB))),
            ] {
                let machine = pair.case.packed(&format!("t4-{name}"))?.memory(64);
                domains.push((pair.domain)(machine).act(act));
            }
        }
        let mut verified = verified::domains("t4-verified")?;
        domains.extend(verified.iter().map(|verified| Domain::new(Kind::Pvh, verified.machine.clone().memory(64))));
        let kinds = [
            (Kind::Pv, "t4-locked-pv", Layout::pv("locked-pv", 2 * MIB, Pv::linux())),
            (Kind::Pvh, "t4-locked-pvh", Layout::at("locked-pvh", 16 * MIB)),
        ];
        for (kind, tier, layout) in kinds {
            let locked = verified::locked(tier, &layout)?;
            domains.extend(locked.iter().map(|locked| Domain::new(kind, locked.machine.clone().memory(64))));
            verified.extend(locked);
        }
        let mut linux = Vec::new();
        for (name, kind) in [("t4-measured-pv", Kind::Pv), ("t4-measured-pvh", Kind::Pvh)] {
            let measured = MeasuredLinux::new(name, "hvc0", Codec::Lz4)?;
            domains.push(Domain::new(kind, measured.machine.clone().memory(256)));
            linux.push(measured);
        }
        let mut changed = mutated::changed(Kind::Pvh, CHANGED, SEED)?;
        changed.extend(mutated::changed(Kind::Pv, CHANGED, SEED)?);
        let before = domains.len();
        domains.extend(changed.iter().map(|changed| changed.domain.clone()));
        for fault in &FAULTS {
            domains.push(fault.domain()?);
        }
        let mut outcomes = tier4::run(Release::Trixie, &domains)?;
        check(outcomes.len() == domains.len(), "expected as many outcomes as domains")?;
        let faults = outcomes.split_off(domains.len() - FAULTS.len());
        let changed = changed.into_iter().zip(outcomes.split_off(before)).collect();
        let rest = outcomes.split_off(2 * pairs.len());
        let (refused, rest) = rest.split_at(REFUSED.len());
        let (repeated, rest) = rest.split_at(2);
        let (unread, rest) = rest.split_at(2);
        let (of_verified, of_linux) = rest.split_at(verified.len());
        let verified = verified.into_iter().zip(of_verified.iter().cloned()).collect();
        let measured = linux.into_iter().zip(of_linux.iter().cloned()).collect();
        let probes = outcomes.as_chunks().0.to_vec();
        let [refused, repeated, unread] = [refused, repeated, unread].map(<[Outcome]>::to_vec);
        Ok(Self { pairs, probes, refused, repeated, unread, verified, measured, changed, faults })
    }
}

fn pv(case: Case) -> Pair {
    Pair { case, tier: "t4-pv", domain: |machine| Domain::new(Kind::Pv, machine), differ: &differ::PV }
}

fn pvh(case: Case) -> Pair {
    Pair { case, tier: "t4-pvh", domain: |machine| Domain::new(Kind::Pvh, machine), differ: &differ::PVH }
}

fn pairs() -> Vec<Pair> {
    let shim = |case| Pair {
        tier: "t4-shim",
        domain: |machine| Domain::new(Kind::Pvh, machine).shim(),
        differ: &differ::PV_BY_XEN,
        ..pv(case)
    };
    // The shim's builder is Xen's own, which has all layouts in the dom0 slot.
    let [linux, .., first] = for_pv();
    let on_shim = [linux, first].map(|layout| shim(Case { memory_mib: 128, ..Case::new(layout) }));
    pv_cases().into_iter().map(pv).chain(on_shim).chain(pvh_cases().map(pvh)).collect()
}

/// A PV and a PVH domain of just the size that their pack needs, most of which is the pack itself.
fn nearly_full() -> Result<Vec<Pair>, Trouble> {
    let pairs =
        [pv(Case::new(Layout::pv("full-pv", 2 * MIB, Pv::default()))), pvh(Case::new(Layout::at("full-pvh", 2 * MIB)))];
    let sized = pairs.map(|pair| {
        let case = Case { module: Some(24 << 20), codec: Codec::Lz4, ..pair.case };
        let protocol = if case.layout.pv.is_some() { "PV" } else { "PVH" };
        let need = linux::need(&fs::read(case.pack()?)?, protocol, "Xen")?;
        Ok(Pair { case: Case { memory_mib: need.div_ceil(MIB), ..case }, ..pair })
    });
    sized.into_iter().collect()
}

/// With a module, and without one.
fn pv_cases() -> Vec<Case> {
    let with = for_pv().map(|layout| Case { memory_mib: 64, ..Case::new(layout) });
    let [linux, .., first] = &with;
    let without = [("pv-linux-bare", linux), ("pv-first-bare", first)].map(|(name, case)| {
        let layout = Layout { name, ..case.layout.clone() };
        Case { layout, module: None, ..case.clone() }
    });
    with.iter().cloned().chain(without).chain([stack_at_stage0()]).collect()
}

/// The kernel's boot stack is where stage0 itself is, in the kernel's addresses and in stage0's own: it is entered from the last
/// page of the mapping.
fn stack_at_stage0() -> Case {
    let pv = Pv { virt_base: 0xffff_ffff_8000_0000, ..Pv::default() };
    let layout = Layout::pv("pv-at-stage0", 0x8_0000, pv);
    Case { memory_mib: 64, module: None, differ: &["padding"], ..Case::new(layout) }
}

/// Where stage0 lies; over stage0, the pack and libxl's structures, which follow each other from 1 MiB on; with a gap and memory
/// that is not in the file.
///
/// One calls itself a Linux, and not of those that take ACPI's root pointer from anywhere: that is in memory that the map, which is
/// the builder's, says to be RAM.
fn pvh_cases() -> [Case; 4] {
    let over = Extra { memory_size: 16 * MIB, ..Extra::whole(2 * MIB, 1 << 20, Content::Noise(2)) };
    let gap = Extra { memory_size: 40 * MIB, ..Extra::whole(32 * MIB, 3 << 20, Content::Noise(1)) };
    let layouts = [
        Layout::at("domu-over", MIB).with(over),
        Layout::at("domu-gap", 16 * MIB).with(gap),
        Layout::at("domu-1mib", MIB),
    ];
    let linux = Layout { guest_os: Some("linux"), ..Layout::at("domu-linux", 16 * MIB) };
    let [first, second, third] = layouts.map(Case::new);
    [first, second, third, Case { differ: &["memmap[2]"], ..Case::new(linux) }]
}

fn equal() -> Result<(), Trouble> {
    let batch = Batch::get()?;
    let pairs = batch.pairs.iter().zip(&batch.probes);
    let failed = pairs.filter_map(|(pair, [direct, packed])| Some(format!("{:#}", pair.check(direct, packed).err()?)));
    let failed: Vec<String> = failed.collect();
    check(failed.is_empty(), failed.join("\n"))
}

/// Nor does what stage0 writes on the console leave a trace but in the ring: all that a fresh domain promises is kept.
fn repeated() -> Result<(), Trouble> {
    for outcome in &Batch::get()?.repeated {
        outcome.ended(&Exit::PowerOff)?;
        let free = outcome.free_memory();
        check(free.is_some_and(|(before, after)| before == after), outcome.failure(&format!("free: {free:?} MiB")))?;
    }
    Ok(())
}

fn verified() -> Result<(), Trouble> {
    for (verified, outcome) in &Batch::get()?.verified {
        verified.check(outcome)?;
        outcome.ended(if verified.starts() { &Exit::PowerOff } else { &Exit::Crashed })?;
    }
    Ok(())
}

fn measured() -> Result<(), Trouble> {
    for (linux, outcome) in &Batch::get()?.measured {
        linux.check(outcome)?;
        outcome.ended(&Exit::PowerOff)?;
    }
    Ok(())
}

fn faults() -> Result<(), Trouble> {
    let outcomes = &Batch::get()?.faults;
    let failed = FAULTS.iter().zip(outcomes).filter_map(|(fault, outcome)| fault.check(outcome).err());
    let failed: Vec<String> = failed.map(|trouble| format!("{trouble:?}")).collect();
    check(outcomes.len() == FAULTS.len() && failed.is_empty(), failed.join("\n"))
}

/// There is no third outcome.
fn changed() -> Result<(), Trouble> {
    let batch = Batch::get()?;
    let started = mutated::check(&batch.changed)?;
    println!("seed {SEED}: of {} changed packs, {started} started their kernel", batch.changed.len());
    Ok(())
}

/// What is in the ring is read later: stage0's lines, which came first. The kernel finds that they have not been read, and ends
/// as crashed.
fn unread() -> Result<(), Trouble> {
    for outcome in &Batch::get()?.unread {
        outcome.ended(&Exit::Crashed)?;
        let lines = outcome.xen_console.lines().filter(|line| line.starts_with("stage0: ")).count();
        check(lines == 3, outcome.failure("expected three lines of stage0's"))?;
    }
    Ok(())
}
