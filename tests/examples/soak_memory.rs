//! How far packs come in machines from 1 MiB up: where the builder refuses, where stage0 does, and where a Linux runs out of memory.
//!
//! `soak_memory [--write]`: prints a table, and writes it to `soak` in the target folder; with `--write`, into the document too. Ends with
//! status 1 if stage0 does not get through at the size that `pack info` states, or does not refuse a MiB less with both numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, anyhow, bail, ensure};
use harness::results::Results;
use harness::stated::{self, Fate, Stated};
use harness::tier4::{self, Domain, Release};
use harness::trial::Trouble;
use harness::{Outcome, cache};
use shared::format::Codec;
use shared::kernel::Protocol::{Direct, Pv, Pvh};
use shared::memory::{Builder, MIB};

/// The document with the last results.
const DOCUMENT: &str = "docs/memory.md";
/// By how much a kernel is given more than stage0 needs, MiB, at first and then again, until it runs; and where that ends.
const MORE: u64 = 64;
const MOST: u64 = 1024;
/// What a probe may take, and a Linux.
const LIMITS: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(90)];

fn main() -> Result<()> {
    let stated = kernels().map_err(error)?;
    let of_qemu = stated.iter().filter(|stated| stated.protocol != Pv);
    let mut curves: Vec<Curve<'_>> = of_qemu.map(|stated| Curve::new(stated, Builder::Qemu)).collect();
    measure(&mut curves, in_qemu)?;
    let mut of_xen: Vec<Curve<'_>> = stated.iter().map(|stated| Curve::new(stated, Builder::Xen)).collect();
    measure(&mut of_xen, in_xen)?;
    curves.extend(of_xen);
    curves.sort_by_key(|curve| (curve.stated.is_linux, &curve.stated.name));

    let table = table(&curves);
    print!("\n{table}");
    let folder = cache::target().join("soak");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("memory.md"), &table)?;
    if env::args().any(|argument| argument == "--write") {
        Results::read(DOCUMENT)?.write(&table)?;
    }
    curves.iter().try_for_each(Curve::check)
}

/// By each protocol that can start it: the probes, and each Linux packed by each codec that makes it smaller. Of Linux, none can be started
/// by the direct protocol.
fn kernels() -> Result<Vec<Stated>, Trouble> {
    let mut all = Vec::new();
    for protocol in [Pvh, Pv, Direct] {
        all.extend(stated::probes(protocol)?);
    }
    for codec in [Codec::Zstd, Codec::Lz4] {
        all.extend(stated::distribution(codec, &[Pvh, Pv])?);
    }
    Ok(all)
}

/// What came of the sizes that were tried.
struct Curve<'a> {
    stated: &'a Stated,
    builder: Builder,
    fates: BTreeMap<u64, Fate>,
}

fn error(trouble: Trouble) -> anyhow::Error {
    match trouble {
        Trouble::Missing(missing) => missing.into(),
        Trouble::Failed(message) => anyhow!(message),
    }
}

/// Runs packs in machines of as many MiB.
type Runner = fn(&[(&Stated, u64)]) -> Result<Vec<Outcome>>;

/// Runs what each curve still asks for, until none does.
fn measure(curves: &mut [Curve<'_>], run: Runner) -> Result<()> {
    loop {
        let points: Vec<(usize, u64)> =
            (0..).zip(&*curves).flat_map(|(n, curve)| curve.next().into_iter().map(move |size| (n, size))).collect();
        if points.is_empty() {
            return Ok(());
        }
        let machines: Vec<(&Stated, u64)> = points.iter().map(|(n, size)| (curves[*n].stated, *size)).collect();
        let outcomes = run(&machines)?;
        ensure!(outcomes.len() == points.len(), "expected as many outcomes as machines");
        for ((n, size), outcome) in points.into_iter().zip(&outcomes) {
            let curve = &mut curves[n];
            let fate = curve.stated.fate(outcome);
            let exit = outcome.exit.to_string();
            let exit = exit.lines().next().unwrap_or_default();
            println!("{}: {fate}; {exit}, after {} s", outcome.name, outcome.elapsed.as_secs());
            curve.fates.insert(size, fate);
        }
    }
}

fn limit(stated: &Stated) -> Duration {
    LIMITS[usize::from(stated.is_linux)]
}

fn in_qemu(machines: &[(&Stated, u64)]) -> Result<Vec<Outcome>> {
    machines.iter().map(|(stated, size)| stated.machine(*size).map_err(error)?.limit(limit(stated)).run()).collect()
}

fn in_xen(machines: &[(&Stated, u64)]) -> Result<Vec<Outcome>> {
    let domains = machines.iter().map(|(stated, size)| {
        let (kind, machine) = stated.domain(*size).map_err(error)?;
        Ok(Domain::new(kind, machine.limit(limit(stated))))
    });
    let outcomes = tier4::run(Release::Trixie, &domains.collect::<Result<Vec<_>>>()?)?;
    // xl says something of each that it came to.
    match outcomes.iter().find(|outcome| outcome.toolstack.is_empty()) {
        None => Ok(outcomes),
        Some(outcome) => bail!(outcome.failure("expected it to be tried")),
    }
}

impl<'a> Curve<'a> {
    fn new(stated: &'a Stated, builder: Builder) -> Self {
        Self { stated, builder, fates: BTreeMap::new() }
    }

    fn need(&self) -> u64 {
        self.stated.need(self.builder)
    }

    /// The sizes to try next: some, then three between each two that differ, until all of these are a MiB apart.
    fn next(&self) -> Vec<u64> {
        let need = self.need();
        let first = [1, need / 2, need - 1, need, need + MORE];
        let last = self.fates.last_key_value();
        let higher = last.filter(|(size, fate)| **fate != Fate::Runs && **size < MOST).map(|(size, _)| size + MORE);
        let known = self.fates.iter().zip(self.fates.iter().skip(1));
        let differ = known.filter(|((_, one), (_, other))| discriminant(*one) != discriminant(*other));
        let between = differ.flat_map(|((low, _), (high, _))| (*low..*high).step_by((high - low).div_ceil(4) as usize));
        let sizes: BTreeSet<u64> = first.into_iter().chain(higher).chain(between).collect();
        sizes.into_iter().filter(|size| !self.fates.contains_key(size)).collect()
    }

    /// What is promised: at its need it gets through; a MiB less is refused with both numbers. Below, where even what stage0 reads the kernel
    /// with finds no room, it says how much that needs, which is less.
    fn check(&self) -> Result<()> {
        let need = self.need();
        let at = |size| self.fates.get(&size).with_context(|| format!("{size} MiB was not tried"));
        let name = format!("{}, {}, {:?}", self.stated.name, self.stated.protocol.name(), self.builder);
        ensure!(matches!(at(need)?, Fate::Entered | Fate::Runs), "{name}, {need} MiB: {}", at(need)?);
        let (below, refused) = (need - 1, Fate::TooSmall { expected: need, found: need - 1 });
        ensure!(*at(below)? == refused, "{name}, {below} MiB: {}", at(below)?);
        for (size, fate) in &self.fates {
            if let Fate::TooSmall { expected, found } = fate {
                ensure!(found == size && (size + 1..=need).contains(expected), "{name}, {size} MiB: {fate}");
            }
        }
        Ok(())
    }

    /// From where to where the fate is of that kind.
    fn ranges(&self, is: fn(&Fate) -> bool) -> String {
        let (mut ranges, mut fates) = (Vec::new(), self.fates.iter().peekable());
        while let Some((start, fate)) = fates.next() {
            if !is(fate) {
                continue;
            }
            while fates.next_if(|(_, fate)| is(fate)).is_some() {}
            ranges.push(match fates.peek().map(|(next, _)| *next - 1) {
                Some(end) if end > *start => format!("{start} to {end}"),
                Some(end) => end.to_string(),
                None => format!("from {start}"),
            });
        }
        ranges.join(", ")
    }
}

fn table(curves: &[Curve<'_>]) -> String {
    let mut text = "| kernel | pack | protocol | builder | need | builder refuses | nothing is said | stage0 refuses | Linux runs out | runs |\n\
                    |---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for curve in curves {
        let Curve { stated, builder, .. } = curve;
        let builder = if *builder == Builder::Xen { "Xen" } else { "QEMU" };
        let ranges = [
            curve.ranges(|fate| matches!(fate, Fate::Unbuilt)),
            curve.ranges(|fate| matches!(fate, Fate::Silent)),
            curve.ranges(|fate| matches!(fate, Fate::TooSmall { .. } | Fate::Refused(_))),
            curve.ranges(|fate| matches!(fate, Fate::Entered)),
            curve.ranges(|fate| matches!(fate, Fate::Runs)),
        ];
        let (name, protocol, need) = (&stated.name, stated.protocol.name(), curve.need());
        let len = match stated.len as f64 / MIB as f64 {
            ..0.05 => "<0.1".to_owned(),
            len => format!("{len:.1}"),
        };
        text.push_str(&format!("| {name} | {len} | {protocol} | {builder} | {need} | {} |\n", ranges.join(" | ")));
    }
    text
}
