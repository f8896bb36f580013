//! The domain's frames: P2M and M2P, types, and what nobody was given.

use core::ops::Range;

use crate::domain::Domain;
use crate::hypercall;
use crate::memory::{PAGE, Source};
use crate::report::{check, info};
use crate::tables::Found;

/// Frames of the largest domain that can be told about: 2 GiB.
const MOST: usize = 2 << 30 >> 12;

/// A set of frames.
pub(crate) struct Set([u64; MOST / 64]);

impl Set {
    pub(crate) const fn new() -> Self {
        Self([0; MOST / 64])
    }

    pub(crate) fn insert(&mut self, pfn: u64) {
        if let Some(word) = self.0.get_mut(pfn as usize / 64) {
            *word |= 1 << (pfn % 64);
        }
    }

    pub(crate) fn contains(&self, pfn: u64) -> bool {
        self.0.get(pfn as usize / 64).is_some_and(|word| word & 1 << (pfn % 64) != 0)
    }
}

/// What is said of the frames.
#[derive(Default)]
struct Counts {
    holes: u64,
    disagreeing: u64,
    jumps: u64,
    untyped: u64,
    refused: u64,
    refused_tables: u64,
    free: u64,
    free_nonzero: u64,
}

/// All of it. `module` are the frames of a module that is not mapped.
pub(crate) fn dump(domain: &Domain, found: &Found, module: Range<u64>) {
    let nr_pages = domain.start_info.nr_pages.get();
    let mut counts = Counts::default();
    let mut last = None;
    for pfn in 0..nr_pages {
        let Some(mfn) = domain.mfn(pfn) else {
            counts.holes += 1;
            last = None;
            continue;
        };
        if domain.pfn(mfn) != Some(pfn) {
            counts.disagreeing += 1;
        }
        if last.is_some_and(|last| last + 1 != mfn) {
            counts.jumps += 1;
        }
        last = Some(mfn);
        one(domain, found, &module, pfn, mfn, &mut counts);
    }
    domain.window.restore();
    print(domain, found, &counts);
}

/// One frame: whether Xen lets it be written, and what is in it where nobody was given it.
fn one(domain: &Domain, found: &Found, module: &Range<u64>, pfn: u64, mfn: u64, counts: &mut Counts) {
    let is_table = found.tables.contains(pfn);
    if domain.window.map_writable(mfn) != 0 {
        counts.refused += 1;
        counts.refused_tables += u64::from(is_table);
        return;
    }
    counts.untyped += 1;
    if !found.mapped.contains(pfn) && !is_table && !module.contains(&pfn) {
        counts.free += 1;
        let content = Source::Virtual(domain.window.virt).nonzero(domain, 0, PAGE);
        counts.free_nonzero += u64::from(content != Ok(None));
    }
}

fn print(domain: &Domain, found: &Found, counts: &Counts) {
    let Counts { holes, disagreeing, jumps, untyped, refused, refused_tables, free, free_nonzero } = counts;
    let tables: u64 = found.count.iter().sum();
    info("p2m.holes", format_args!("{holes}"));
    check(*disagreeing == 0, "p2m.agreement", format_args!("{disagreeing} frames of which M2P says otherwise"));
    info("p2m.jumps", format_args!("{jumps}"));
    check(
        *refused == tables && refused == refused_tables,
        "frames.typed",
        format_args!("{refused} cannot be written, {refused_tables} of them tables; {untyped} can"),
    );
    info("frames.free", format_args!("{free}"));
    info("frames.free.nonzero", format_args!("{free_nonzero}"));
    let [current, maximum] = hypercall::reservations();
    let pages = domain.start_info.nr_pages.get();
    info(
        "reservation",
        format_args!("{} more than nr_pages, limit {} more", current - pages as i64, maximum - pages as i64),
    );
}
