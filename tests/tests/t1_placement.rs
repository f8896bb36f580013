//! T1: where a PVH kernel finds what it is handed: right behind itself if that memory can be had, since a kernel may map little more than
//! itself at first. So does a 32-bit Linux, which `linux.rs` starts.

use std::fs;
use std::path::PathBuf;

use harness::probe::{self, Case, Class, Content, Extra, Layout, Lines, Relocation};
use harness::trial::{self, Trouble, check};
use harness::{Board, Exit, Outcome, stage0};
use shared::memory::{MIB, PAGE_SIZE, START_INFO_LEN};

/// Where what is handed over lies.
#[derive(Clone, Copy)]
enum Place {
    /// At this address.
    At(u64),
    /// Below this one: nothing behind the kernel is free.
    Below(u64),
}

type MakeCase = fn() -> Result<(Case, Place), Trouble>;

/// Each is started as a Linux and as another kernel.
const CASES: [(&str, MakeCase); 11] = [
    ("right behind it", || ending("behind", 20 * MIB)),
    ("behind its last page", || ending("within-page", 20 * MIB + 0x123)),
    ("behind a page that is whole but for a byte", || ending("page-less-1", 20 * MIB - 1)),
    ("of class 32", || of_class("class-32", Class::Elf32)),
    ("of class 32 for amd64", || of_class("class-32-amd64", Class::Elf32Amd64)),
    ("behind a kernel that ends where stage0 is", || {
        let image = Layout::at("in-stage0", MIB);
        Ok((Case::new(image.with(bss(MIB + 0x8_0000, 0x1_0000))), Place::At(MIB + 0x9_0000)))
    }),
    ("behind the last of several segments", || {
        let layout = Layout { image_last: true, ..Layout::at("several", 32 * MIB) };
        Ok((Case::new(layout.with(bss(64 * MIB, 0x5000)).with(bss(40 * MIB, 0x5000))), Place::At(64 * MIB + 0x5000)))
    }),
    ("where the pack begins", pack_in_the_way),
    ("nowhere behind it", no_room),
    ("on microvm", || {
        let (case, place) = ending("microvm-behind", 20 * MIB)?;
        Ok((Case { board: Board::Microvm, ..case }, place))
    }),
    ("behind a kernel that was moved", || {
        let relocation = Relocation { align: 2 << 20, min: 32 << 20, max: (128 << 20) - 1 };
        let layout = Layout { relocation: Some(relocation), ..Layout::at("moved", 0xd000_0000) };
        Ok((Case::new(layout.with(bss(0xd040_0000, 0x1000))), Place::At(36 * MIB + 0x1000)))
    }),
];

/// Bytes of the pack's two modules.
const MODULES: [usize; 2] = [5000, 300_000];

fn main() {
    trial::main(vec![trial::test("what_a_kernel_is_handed_lies_right_behind_it", all)])
}

/// A segment without a byte in the file.
fn bss(paddr: u64, memory_size: u64) -> Extra {
    Extra { paddr, file_size: 0, memory_size, content: Content::Pages }
}

/// A kernel that ends at `end`.
fn ending(name: &'static str, end: u64) -> Result<(Case, Place), Trouble> {
    let layout = Layout::at(name, 16 * MIB).with(bss(18 * MIB, end - 18 * MIB));
    Ok((Case::new(layout), Place::At(end.next_multiple_of(PAGE_SIZE))))
}

fn of_class(name: &'static str, class: Class) -> Result<(Case, Place), Trouble> {
    let (case, place) = ending(name, 20 * MIB)?;
    Ok((Case { layout: Layout { class, ..case.layout }, ..case }, place))
}

/// The pack lies below the end of RAM, by no more than QEMU's tables; the kernel ends a page below its pages.
fn pack_in_the_way() -> Result<(Case, Place), Trouble> {
    let filler = |memory_size| Extra { memory_size, ..Extra::whole(20 * MIB, 3 << 20, Content::Noise(2)) };
    let case = |memory_size| Case::new(Layout::at("pack-behind", 16 * MIB).with(filler(memory_size)));
    // What is not in the file makes the pack no longer.
    let len = fs::read(packed(&case(4 * MIB))?)?.len();
    let teller = Case { module: None, ..Case::new(Layout::at("tell-place", 16 * MIB)) };
    let file = probe::file("tell-place.module", &vec![1; len])?;
    let outcome = teller.machine("t1-placement-tell".to_owned(), probe::build(&teller.layout)?).initrd(file).run()?;
    let start = address(&outcome, "module[0].address")?;
    let end = start - PAGE_SIZE;
    Ok((case(end - 20 * MIB), Place::At(end)))
}

/// The kernel ends less than what it is handed below the end of RAM.
fn no_room() -> Result<(Case, Place), Trouble> {
    let (case, _) = ending("no-room", 256 * MIB - 0x2_0000 - START_INFO_LEN + PAGE_SIZE)?;
    Ok((case, Place::Below(16 * MIB)))
}

fn packed(case: &Case) -> Result<PathBuf, Trouble> {
    let modules = MODULES.into_iter().zip(1..).map(|(size, seed)| probe::module(size, Content::Noise(seed)));
    Ok(case.pack_with(modules.collect())?)
}

fn address(outcome: &Outcome, name: &str) -> Result<u64, Trouble> {
    let lines = Lines::of(&outcome.serial);
    let line = lines.named(name).unwrap_or_default();
    let digits = line.rsplit_once("0x").map(|(_, digits)| u64::from_str_radix(digits, 16));
    match digits {
        Some(Ok(address)) => Ok(address),
        _ => Err(outcome.failure(&format!("expected an address: {name}")).into()),
    }
}

fn all() -> Result<(), Trouble> {
    CASES.iter().try_for_each(|(what, case)| {
        let (case, place) = case()?;
        // One after the other: they are files of one name.
        [Some("linux"), None].into_iter().try_for_each(|guest_os| {
            let layout = Layout { guest_os, ..case.layout.clone() };
            start(what, &Case { layout, ..case.clone() }, place, guest_os.is_some())
        })
    })
}

fn start(what: &str, case: &Case, place: Place, linux: bool) -> Result<(), Trouble> {
    let name = format!("t1-placement-{}-{}", case.layout.name, if linux { "linux" } else { "other" });
    let outcome = case.machine(name, stage0::file()?).initrd(packed(case)?).run()?;
    let lines = Lines::of(&outcome.serial);
    check(lines.is_complete(), outcome.failure("the probe did not come to its end"))?;
    check(lines.not_ok().is_empty(), outcome.failure(&format!("{:#?}", lines.not_ok())))?;
    outcome.ended(&Exit::Debug(probe::EXIT_OK))?;

    let start_info = address(&outcome, "start_info.address")?;
    let as_expected = match place {
        Place::At(expected) => start_info == expected,
        Place::Below(limit) => start_info + START_INFO_LEN <= limit,
    };
    check(as_expected, outcome.failure(&format!("{what}: start_info at {start_info:#x}")))?;
    if let (Place::At(_), false) = (place, linux) {
        let mut expected = start_info + START_INFO_LEN;
        for (n, len) in MODULES.into_iter().enumerate() {
            let found = address(&outcome, &format!("module[{n}].address"))?;
            check(found == expected, outcome.failure(&format!("{what}: module {n}: expected {expected:#x}")))?;
            expected += (len as u64).next_multiple_of(PAGE_SIZE);
        }
    }
    Ok(())
}
