//! The whole mapping, walked in the live page tables, and the tables themselves.

use core::cell::UnsafeCell;
use core::fmt;

use crate::domain::{Domain, FRAME_MASK};
use crate::entry::Work;
use crate::frames::Set;
use crate::hypercall;
use crate::memory::{self, PAGE};
use crate::registers;
use crate::report::{check, info};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
/// In an entry of a page: it was written.
const DIRTY: u64 = 1 << 6;
/// In an entry of level 2 or 3: a large page.
const LARGE: u64 = 1 << 7;
/// Xen's own entries of level 4.
const XENS: core::ops::Range<usize> = 256..272;
/// Bytes from the boot stack on in which the probe writes nothing: builders map less than this behind it.
const UNWRITTEN: u64 = 8 << 20;
/// Most read-only pages of the mapping that are remembered.
const MOST: usize = 2048;

/// One table of each level, copied out while it is walked.
static COPIES: Work<[[u64; 512]; 4]> = Work(UnsafeCell::new([[0; 512]; 4]));
static FOUND: Work<Found> = Work(UnsafeCell::new(Found::new()));

/// What the walk found besides what it printed.
pub(crate) struct Found {
    /// Frames that are mapped.
    pub(crate) mapped: Set,
    /// Frames that are tables.
    pub(crate) tables: Set,
    /// Where the linear mapping ends, which begins at the layout's base.
    pub(crate) linear_end: u64,
    /// How many tables there are of each level.
    pub(crate) count: [u64; 4],
    /// Pages that are mapped read-only: virtual address and entry.
    read_only: [(u64, u64); MOST],
    read_only_count: usize,
}

impl Found {
    const fn new() -> Self {
        let (mapped, tables) = (Set::new(), Set::new());
        Self { mapped, tables, linear_end: 0, count: [0; 4], read_only: [(0, 0); MOST], read_only_count: 0 }
    }
}

/// Pages that follow each other in both address spaces with the same flags, or tables that do.
#[derive(Clone, Copy, PartialEq)]
struct Run {
    virt: u64,
    /// Pages or tables.
    count: u64,
    /// Bytes of virtual address that each of them covers.
    step: u64,
    /// Frames that each of them is made of.
    frames: u64,
    frame: Frame,
    flags: u64,
}

/// Whose frame an entry names.
#[derive(Clone, Copy, PartialEq)]
enum Frame {
    /// The domain's own.
    Own(u64),
    /// Another, or one that P2M and M2P do not agree about.
    Foreign,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(pfn) => write!(f, "{pfn:#x}"),
            Self::Foreign => f.write_str("not the domain's"),
        }
    }
}

/// Joins what belongs together, and prints it.
struct Runs {
    name: &'static str,
    last: Option<Run>,
}

impl Runs {
    const fn new(name: &'static str) -> Self {
        Self { name, last: None }
    }

    fn add(&mut self, next: Run) {
        if let Some(last) = &mut self.last {
            let follows = match (last.frame, next.frame) {
                (Frame::Own(first), Frame::Own(pfn)) => first + last.count * last.frames == pfn,
                (first, then) => first == then,
            };
            let adjacent = last.virt.wrapping_add(last.count * last.step) == next.virt;
            if follows && adjacent && last.step == next.step && last.flags == next.flags {
                last.count += 1;
                return;
            }
        }
        self.flush();
        self.last = Some(next);
    }

    fn flush(&mut self) {
        let Some(Run { virt, count, step, frame, flags, .. }) = self.last.take() else { return };
        let name = self.name;
        info(format_args!("{name}[{virt:#x}]"), format_args!("{count} of {step:#x}, frame {frame}, flags {flags:#x}"));
    }
}

/// The walk.
struct Walk<'a> {
    domain: &'a Domain,
    found: &'a mut Found,
    /// The boot stack, which is the last thing in the linear mapping.
    stack: u64,
    /// Pages from there on that were written.
    dirty: u64,
    pages: Runs,
    tables: [Runs; 4],
}

/// Walks and prints it all. `stack_end` is where the boot stack, of one page, ends.
pub(crate) fn dump(domain: &Domain, stack_end: u64) -> &'static Found {
    // SAFETY: called once; this is the one reference, given away as shared when nothing writes any more.
    let found = unsafe { &mut *FOUND.0.get() };
    found.linear_end = domain.table.virt_base;
    let base = registers::cr3();
    let root = domain.pfn((base & FRAME_MASK) / PAGE).map(|pfn| domain.virt(pfn));
    let same = root == Some(domain.start_info.pt_base.get());
    check(same, "cr3", format_args!("{}", if same { "pt_base" } else { "not pt_base" }));
    check(base & !FRAME_MASK == 0, "cr3.flags", format_args!("{:#x}", base & !FRAME_MASK));

    let tables = [Runs::new("L1"), Runs::new("L2"), Runs::new("L3"), Runs::new("L4")];
    let stack = stack_end.wrapping_sub(PAGE);
    let mut walk = Walk { domain, found, stack, dirty: 0, pages: Runs::new("map"), tables };
    walk.table((base & FRAME_MASK) / PAGE, 4, 0, 0);
    walk.pages.flush();
    walk.tables.iter_mut().for_each(Runs::flush);
    info("dirty", format_args!("{} pages from the boot stack on", walk.dirty));
    domain.window.restore();
    let [l1, l2, l3, l4] = found.count;
    info("tables", format_args!("{l4} L4, {l3} L3, {l2} L2, {l1} L1"));
    found
}

impl Walk<'_> {
    fn frame(&self, mfn: u64) -> Frame {
        match self.domain.pfn(mfn) {
            Some(pfn) if self.domain.mfn(pfn) == Some(mfn) => Frame::Own(pfn),
            _ => Frame::Foreign,
        }
    }

    /// One table of `level`, whose first entry is for `virt`, named by an entry with `flags`.
    fn table(&mut self, mfn: u64, level: usize, virt: u64, flags: u64) {
        let frame = self.frame(mfn);
        if let Frame::Own(pfn) = frame {
            self.found.tables.insert(pfn);
        }
        self.found.count[level - 1] += 1;
        let shift = 12 + 9 * (level - 1);
        self.tables[level - 1].add(Run { virt, count: 1, step: 1 << (shift + 9), frames: 1, frame, flags });
        if !self.domain.window.map(mfn) {
            return check(false, "table", format_args!("L{level} for {virt:#x} cannot be read"));
        }
        for number in 0..512 {
            let entry = self.copy_once(level, number);
            if entry & PRESENT == 0 {
                self.absent(entry, level, virt);
            } else if !(level == 4 && XENS.contains(&number)) {
                self.entry(entry, level, sign_extended(virt | (number as u64) << shift));
            }
        }
    }

    /// An entry of the table in the window, which is copied out with the first of them.
    fn copy_once(&self, level: usize, number: usize) -> u64 {
        // SAFETY: one table of each level is walked at a time, and no reference outlives the statement.
        let copy = unsafe { &mut (*COPIES.0.get())[level - 1] };
        if number == 0 {
            memory::copy_words(self.domain.window.virt, copy);
        }
        copy[number]
    }

    fn absent(&self, entry: u64, level: usize, virt: u64) {
        if entry != 0 {
            check(false, "absent", format_args!("an entry of L{level} for {virt:#x} is {entry:#x}"));
        }
    }

    fn entry(&mut self, entry: u64, level: usize, virt: u64) {
        let is_page = level == 1 || entry & LARGE != 0 && level < 4;
        let entry = if virt == self.domain.window.virt && level == 1 { self.domain.window.original } else { entry };
        let (mfn, mut flags) = ((entry & FRAME_MASK) / PAGE, entry & !FRAME_MASK);
        if !is_page {
            return self.table(mfn, level - 1, virt, flags);
        }
        // Told apart from the rest of what the entries say.
        if virt.wrapping_sub(self.stack) < UNWRITTEN {
            self.dirty += u64::from(flags & DIRTY != 0);
            flags &= !DIRTY;
        }
        let frame = self.frame(mfn);
        let step = PAGE << (9 * (level - 1));
        if let Frame::Own(pfn) = frame {
            (pfn..pfn + step / PAGE).for_each(|pfn| self.found.mapped.insert(pfn));
        }
        if flags & WRITABLE == 0
            && let Some(place) = self.found.read_only.get_mut(self.found.read_only_count)
        {
            *place = (virt, entry);
            self.found.read_only_count += 1;
        }
        self.pages.add(Run { virt, count: 1, step, frames: step / PAGE, frame, flags });
        if virt == self.found.linear_end {
            self.found.linear_end = virt.wrapping_add(step);
        }
    }
}

fn sign_extended(virt: u64) -> u64 {
    ((virt << 16) as i64 >> 16) as u64
}

/// Tries what must fail: to make each read-only page writable. Each of them is one because it is a table.
pub(crate) fn try_writable(domain: &Domain, found: &Found) {
    let pages = &found.read_only[..found.read_only_count];
    let is_table = |entry: u64| domain.pfn((entry & FRAME_MASK) / PAGE).is_some_and(|pfn| found.tables.contains(pfn));
    let tables = pages.iter().filter(|(_, entry)| is_table(*entry)).count();
    let refused = pages.iter().filter(|(virt, entry)| hypercall::try_writable(*virt, entry | WRITABLE) < 0).count();
    let total = pages.len();
    check(
        tables == total && refused == total,
        "read_only",
        format_args!("{total} pages, {tables} of them tables, {refused} cannot be made writable"),
    );
}

/// Which tables are pinned: pinning one that is pinned already fails, and so does one of another level.
pub(crate) fn try_pins(domain: &Domain, found: &Found) {
    let [mut pinned, mut free] = [0_u32; 2];
    for pfn in (0..domain.start_info.nr_pages.get()).filter(|pfn| found.tables.contains(*pfn)) {
        let Some(mfn) = domain.mfn(pfn) else { continue };
        let level = (1..=4).find(|level| hypercall::pin(mfn, *level) == 0);
        match level {
            Some(_) => {
                free += 1;
                hypercall::unpin(mfn);
            }
            None => pinned += 1,
        }
    }
    info("pins", format_args!("{pinned} tables pinned, {free} not"));
    let root = domain.pfn((registers::cr3() & FRAME_MASK) / PAGE).and_then(|pfn| domain.mfn(pfn));
    let refused = root.is_some_and(|mfn| hypercall::pin(mfn, 4) != 0);
    info("pins.L4", format_args!("{}", if refused { "pinned" } else { "not pinned" }));
    if !refused && let Some(mfn) = root {
        hypercall::unpin(mfn);
    }
}
