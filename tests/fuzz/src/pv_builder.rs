//! What a PV builder hands over: start_info with any numbers, and a list of frames with holes anywhere; then stage0's renaming
//! of frames, against a hypervisor that does what it is told and no more.

use shared::memory::{PAGE_SIZE, Pfn, Phys, PhysRange, Virt};
use shared::pv::MAX_PAGES;
use shared::pv::tables::window_len;
use shared::xen::pv::{INVALID_P2M_ENTRY, MMU_MACHPHYS_UPDATE, MmuUpdate, PV_MAGIC, StartInfo};
use stage0::platform::VIRT_BASE;
use stage0::platform::handed::Handed;
use stage0::platform::pv::{Frames, Mfn, PAGE, PvHanded, Room, Updates, View};
use zerocopy::IntoBytes;

use crate::domain::IMAGE;
use crate::input::Input;
use crate::said;

/// Frames of a domain whose list is looked at: the fuzzer has to fill it.
const LOOKED_AT: u64 = 1 << 11;
/// The lowest machine frame.
const FIRST_FRAME: u64 = 0x1_0000;
/// In an entry that the window shows: no execution.
const NO_EXECUTE: u64 = 1 << 63;

/// A start_info is at the image's end, unless the input says otherwise; its numbers, then what the list is like, then moves.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let image = PhysRange::sized(Phys(IMAGE.0), IMAGE.1).expect("a range");
    let mut info = StartInfo { magic: [0; 32], cmd_line: [0; 1024], ..zerocopy::FromZeros::new_zeroed() };
    info.magic[..PV_MAGIC.len()].copy_from_slice(PV_MAGIC);
    let at = address(&mut input);
    let stack_end = address(&mut input);
    info.nr_pages = input.address().into();
    info.mfn_list = address(&mut input).0.into();
    info.pt_base = address(&mut input).0.into();
    info.nr_pt_frames = input.address().into();
    info.mod_start = input.address().into();
    info.mod_len = input.address().into();
    info.flags = input.u32().into();
    info.first_p2m_pfn = u64::from(input.u8() % 2).into();
    for _ in 0..input.u8() % 3 {
        // Of the magic, of a number, of the command line.
        let (at, value) = (usize::from(input.u16()) % size_of::<StartInfo>(), input.u8());
        info.as_mut_bytes()[at] ^= value;
    }
    let text = input.u8();
    let text = &[b'a', b' ', 0xff, 0][usize::from(text % 4)..][..1].repeat(usize::from(text) * 5);
    info.cmd_line[..text.len().min(1024)].copy_from_slice(&text[..text.len().min(1024)]);

    let mut handed = Handed::EMPTY;
    let floor = Virt(VIRT_BASE + image.end().0);
    let copy = |asked: Virt| {
        let end = asked.checked_add(size_of::<StartInfo>() as u64);
        assert!(asked == at && asked >= floor && end.is_some_and(|end| end <= stack_end), "{asked} up to {stack_end}");
        zerocopy::transmute!(info)
    };
    match PvHanded::read(image, at, stack_end, copy, &mut handed) {
        Ok(pv) => check(&mut input, image, &pv, &handed),
        Err(error) => said::note(&error),
    }
}

/// An address, mostly in what a builder maps.
fn address(input: &mut Input<'_>) -> Virt {
    let offset = IMAGE.0 + IMAGE.1 + u64::from(input.u16()) * PAGE_SIZE;
    Virt(if input.one_in(8) { input.address() } else { VIRT_BASE + offset })
}

/// All that start_info leads to is among what the builder made, behind stage0.
fn check(input: &mut Input<'_>, image: PhysRange, pv: &PvHanded, handed: &Handed) {
    let (pages, structures) = (pv.domain.nr_pages, pv.structures);
    assert!((1..=MAX_PAGES).contains(&pages) && structures.start() >= image.end());
    let phys = |at: u64| Phys(at.wrapping_sub(VIRT_BASE));
    let list = PhysRange::sized(phys(pv.list().0), pages * 8).expect("a list that was taken");
    let tables = PhysRange::sized(phys(pv.info.pt_base.get()), pv.info.nr_pt_frames.get() * PAGE_SIZE);
    let info = PhysRange::sized(phys(pv.info_at.0), size_of::<StartInfo>() as u64).expect("a place that was taken");
    for part in [list, tables.expect("tables that were taken"), info] {
        assert!(structures.covers(&part), "{part} is not in {structures}");
    }
    assert!(handed.modules.len() <= 1);
    for module in &handed.modules {
        assert!(!module.range.overlaps(&image) && !module.range.overlaps(&structures), "{:?}", module.range);
    }
    let _ = pv.console();
    if pages > LOOKED_AT {
        return;
    }
    let mut list = frames(input, pages);
    match Room::find(&list, image, pv) {
        Ok(room) => {
            check_room(&room, &list, &[image, structures]);
            rename(input, &room, &mut list);
        }
        Err(error) => said::note(&error),
    }
}

/// A list of frames with holes; no frame is in it twice.
fn frames(input: &mut Input<'_>, pages: u64) -> Vec<u64> {
    // Neither in order nor from 0 on.
    let mut list: Vec<u64> = (0..pages).map(|pfn| FIRST_FRAME + (pfn ^ 5)).collect();
    for _ in 0..input.u8() % 4 {
        let (at, len) = (u64::from(input.u16()) % pages, u64::from(input.u16()) >> (input.u8() % 16));
        list[at as usize..(at + len).min(pages) as usize].fill(INVALID_P2M_ENTRY);
    }
    if input.one_in(16) {
        list.iter_mut().step_by(3).for_each(|mfn| *mfn = INVALID_P2M_ENTRY);
    }
    list
}

/// RAM and tables are all the frames that there are, once; stage0 and the builder's structures are in RAM.
fn check_room(room: &Room, list: &[u64], held: &[PhysRange]) {
    let is_frame = |pfn: u64| list.get(pfn as usize).is_some_and(|mfn| *mfn != INVALID_P2M_ENTRY);
    let tables = room.place.range;
    let numbers = |range: &PhysRange| range.start().pfn().0..range.end().pfn().0;
    assert_eq!(tables.len(), window_len(room.frames));
    let all = room.ram.ranges().iter().chain([&tables]).flat_map(numbers);
    let mut all: Vec<u64> = all.collect();
    all.sort_unstable();
    let expected: Vec<u64> = (0..list.len() as u64).filter(|pfn| is_frame(*pfn)).collect();
    assert_eq!(all, expected);
    assert!(expected.last().is_some_and(|last| *last < room.frames) && room.place.low * 512 >= room.frames);
    for range in held {
        assert!(room.ram.covers(range) && !tables.overlaps(range), "{range}: {room:?}");
    }
}

/// What Xen knows of the frames.
struct Hypervisor {
    /// Their numbers, from the lowest on.
    numbers: Vec<u64>,
    /// The machine frames of the window's tables of the lowest level.
    tables: Vec<u64>,
    /// Entries of the window, by the number of the frame that they show.
    window: Vec<u64>,
    flushed: bool,
}

impl Hypervisor {
    /// The frames of `list`, all of which the window shows.
    fn new(room: &Room, list: &[u64]) -> Self {
        let mut numbers = vec![u64::MAX; list.len() + 8];
        let mut window = vec![0; room.place.low as usize * 512];
        for (pfn, mfn) in list.iter().enumerate().filter(|(_, mfn)| **mfn != INVALID_P2M_ENTRY) {
            numbers[(mfn - FIRST_FRAME) as usize] = pfn as u64;
            window[pfn] = shown(*mfn);
        }
        let tables = (0..room.place.low).map(|n| list[room.place.page(n).0 as usize]).collect();
        Self { numbers, tables, window, flushed: false }
    }
}

impl Updates for &mut Hypervisor {
    fn update(&mut self, updates: &[MmuUpdate]) {
        for update in updates {
            let (frame, offset) = (update.ptr >> 12, update.ptr & 0xfff);
            if offset == MMU_MACHPHYS_UPDATE {
                self.numbers[(frame - FIRST_FRAME) as usize] = update.val;
            } else {
                let table = self.tables.iter().position(|table| *table == frame).expect("a table of the window");
                assert_eq!(offset % 8, 0);
                self.window[table * 512 + offset as usize / 8] = update.val;
            }
        }
        self.flushed = false;
    }

    fn flush(&mut self) {
        self.flushed = true;
    }
}

/// What the window has for a frame.
fn shown(mfn: u64) -> u64 {
    Mfn(mfn).entry(PAGE | NO_EXECUTE)
}

/// Moves frames about: each is somewhere once, Xen knows where, and the window shows it there.
fn rename(input: &mut Input<'_>, room: &Room, list: &mut [u64]) {
    let mut xen = Hypervisor::new(room, list);
    for _ in 0..=input.u8() % 4 {
        let (from, to, len) = (pick(input, room), pick(input, room), u64::from(input.u16() % 300));
        let [Some(from), Some(to)] = [from, to].map(|at| PhysRange::sized(at, len * PAGE_SIZE).ok()) else { continue };
        // Claims are of RAM, and so is what moves.
        if !room.ram.covers(&from) || !room.ram.covers(&to) {
            continue;
        }
        let view = if input.one_in(3) { View::Hidden } else { View::Shown };
        let before = list.to_vec();
        let mut frames = Frames::new(list, room.place.range.start().pfn(), &mut xen);
        frames.relocate(from, to, view);
        for n in 0..len {
            let [source, target] = [from, to].map(|range| range.start().pfn().0 + n);
            assert_eq!(frames.mfn(Pfn(target)), Some(Mfn(before[source as usize])));
        }
        let moved = frames.mfn(to.start().pfn());
        let found = moved.filter(|_| len > 0).map(|mfn| frames.find(mfn, to));
        assert!(found.is_none_or(|found| found == Some(to.start().pfn())));
        assert!(xen.flushed, "something old may be seen");
        let touched = |pfn: u64| [from, to].iter().any(|range| range.contains(Phys(pfn * PAGE_SIZE)));
        for (pfn, mfn) in (0..).zip(list.iter()) {
            assert!(touched(pfn) || *mfn == before[pfn as usize], "{pfn:#x} has changed");
            if *mfn == INVALID_P2M_ENTRY {
                continue;
            }
            assert_eq!(xen.numbers[(mfn - FIRST_FRAME) as usize], pfn);
            let (entry, shown) = (&mut xen.window[pfn as usize], shown(*mfn));
            let hidden = view == View::Hidden && from != to && to.contains(Phys(pfn * PAGE_SIZE));
            assert_eq!(*entry, if hidden { 0 } else { shown }, "{pfn:#x}");
            // For the next.
            *entry = shown;
        }
        let sorted = |list: &[u64]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        assert_eq!(sorted(list), sorted(&before));
    }
}

/// A page of RAM.
fn pick(input: &mut Input<'_>, room: &Room) -> Phys {
    let (which, at) = (usize::from(input.u8()), u64::from(input.u16()));
    let ranges = room.ram.ranges();
    let range = ranges[which % ranges.len()];
    Phys(range.start().0 + at * PAGE_SIZE % range.len())
}

/// What libxl and Xen hand over.
pub fn seeds() -> Vec<Vec<u8>> {
    let base = (IMAGE.0 + IMAGE.1) / PAGE_SIZE;
    let near = |page: u64| [&(page as u16).to_le_bytes()[..], &[0]].concat();
    let raw = |value: u64| [&[5u8, 0, 0], &value.to_le_bytes()[..]].concat();
    let seed = |pages: u64, module: u64, flags: u32, tail: &[u8]| {
        let list_pages = (pages * 8).div_ceil(PAGE_SIZE);
        let (list, info, tables) = (module, module + list_pages, module + list_pages + 3);
        let parts = [
            near(info),
            near(tables + 11),
            raw(pages),
            near(list),
            near(tables),
            raw(8),
            raw(VIRT_BASE + base * PAGE_SIZE),
            raw(module * PAGE_SIZE),
            flags.to_le_bytes().to_vec(),
            tail.to_vec(),
        ];
        parts.concat()
    };
    let plain = [0, 0, 0, 0];
    let moves = [0, 0, 0, 0, 0, 3, 0, 0, 2, 0, 0, 9, 20, 0, 0, 0, 0, 2, 0, 1, 2, 80, 0, 1, 0, 0, 2, 0, 8, 2, 99, 2];
    let holes = [0, 0, 0, 2, 0, 3, 9, 0, 4, 0, 60, 255, 0, 9, 0, 1, 0, 0, 3, 1, 0, 4, 60, 0];
    vec![
        seed(0x7f0, 0x100, 0, &plain),
        seed(0x7ff, 0x180, 0, &moves),
        seed(0x500, 0, 0, &moves),
        seed(0x7c0, 0xff, 3, &holes),
        seed(0x401, 1, 8, &holes),
        seed(1 << 20, 0x80, 1, &plain),
    ]
}
