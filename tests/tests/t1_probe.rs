//! T1: kernels made of the probe, each with its own layout, started by QEMU itself and by stage0 from a pack. What the
//! probe prints differs only in the lines that [`differ::PVH_BY_QEMU`] and a case's own list name.

use std::fs;

use harness::probe::{self, Case, Class, Content, Extra, Layout, Lines, Relocation, differ};
use harness::trial::{self, Trouble, check};
use harness::{Board, Exit, Machine, Outcome, stage0};
use pack::build::Request;
use shared::format::Codec;
use shared::memory::{MIB, PAGE_SIZE, Phys, PhysRange};

type MakeCase = fn() -> Result<Case, Trouble>;

const CASES: [(&str, MakeCase); 19] = [
    ("where_stage0_lies", where_stage0_lies),
    ("across_the_end_of_stage0", across_the_end_of_stage0),
    ("at_16_mib", || Ok(Case::new(Layout::at("16mib", 16 * MIB)))),
    ("across_the_pack", across_the_pack),
    ("over_the_pack", over_the_pack),
    ("where_the_builders_structures_lie", where_the_builders_structures_lie),
    ("above_2_gib", || Ok(Case { memory_mib: 6 << 10, ..Case::new(Layout::at("high", 0xb800_0000)) })),
    ("of_300_mib", of_300_mib),
    ("with_a_gap_and_a_large_bss", with_a_gap_and_a_large_bss),
    ("with_segments_out_of_order", with_segments_out_of_order),
    ("of_class_32", || Ok(of_class("elf32", Class::Elf32))),
    ("of_class_32_for_amd64", || Ok(of_class("elf32-amd64", Class::Elf32Amd64))),
    ("relocated_where_its_place_is_no_ram", relocated),
    ("of_lz4_frames", || Ok(with_codec("lz4", Codec::Lz4))),
    ("of_frames_stored_as_they_are", || Ok(with_codec("none", Codec::None))),
    ("on_q35", || Ok(Case { board: Board::Q35, ..Case::new(Layout::at("q35", 16 * MIB)) })),
    ("on_microvm", || Ok(Case { board: Board::Microvm, ..Case::new(Layout::at("microvm", 16 * MIB)) })),
    ("in_6_gib", || Ok(Case { memory_mib: 6 << 10, ..Case::new(Layout::at("6gib", 16 * MIB)) })),
    ("without_a_module", || Ok(Case { module: None, ..Case::new(Layout::at("alone", 16 * MIB)) })),
];

fn main() {
    let mut tests: Vec<_> = CASES.map(|(name, case)| trial::test(name, move || run(&case()?))).into();
    tests.push(trial::test("two_modules_from_the_pack", two_modules_from_the_pack));
    tests.push(trial::test("a_locked_command_line", a_locked_command_line));
    tests.push(trial::test("at_most_three_lines_of_stage0", at_most_three_lines_of_stage0));
    trial::main(tests);
}

/// Starts the kernel by QEMU itself and by stage0, and compares what it says.
fn run(case: &Case) -> Result<(), Trouble> {
    let (direct, packed) = (case.direct("t1")?.run()?, case.packed("t1")?.run()?);
    all_ok(&direct)?;
    all_ok(&packed)?;
    Ok(case.compare(&direct, &packed, &differ::PVH_BY_QEMU)?)
}

/// The probe came to its end, found every promise kept, and said so on both consoles and by its exit value.
fn all_ok(outcome: &Outcome) -> Result<Lines, Trouble> {
    let lines = Lines::of(&outcome.serial);
    check(lines.is_complete(), outcome.failure("the probe did not come to its end"))?;
    check(lines.not_ok().is_empty(), outcome.failure(&format!("{:#?}", lines.not_ok())))?;
    check(Lines::of(&outcome.debug_console) == lines, outcome.failure("COM1 and port 0xE9 differ"))?;
    outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
    Ok(lines)
}

fn where_stage0_lies() -> Result<Case, Trouble> {
    Ok(Case::new(Layout::at("1mib", MIB)))
}

/// The image begins within stage0's memory, and ends beyond.
fn across_the_end_of_stage0() -> Result<Case, Trouble> {
    let end = stage0::place()?.end();
    let base = end.align_down(PAGE_SIZE).0 - 4 * PAGE_SIZE;
    Ok(Case::new(Layout::at("stage0-end", base)))
}

/// A segment begins below the pack and ends within it.
fn across_the_pack() -> Result<Case, Trouble> {
    // 3.5 MiB that nothing makes smaller and a module of 1 MiB: the pack takes the last 4.6 MiB of 256.
    let filler = Extra { paddr: 250 * MIB, file_size: 7 << 19, memory_size: 4 * MIB, content: Content::Noise(2) };
    let case = Case::new(Layout::at("across-pack", 249 * MIB).with(filler));
    let (segment, pack) = (segment(&filler)?, place_of_pack(&case)?);
    let across = segment.contains(pack.start()) && !segment.covers(&pack);
    check(across, format!("the segment at {segment} does not lie across the start of the pack at {pack}"))?;
    Ok(case)
}

/// A segment covers all of the pack and more. There is no module, or QEMU itself would have to put it there, too.
fn over_the_pack() -> Result<Case, Trouble> {
    let filler = Extra { paddr: 250 * MIB, file_size: 1 << 20, memory_size: 0x5d_8000, content: Content::Noise(2) };
    let case = Case { module: None, ..Case::new(Layout::at("over-pack", 249 * MIB).with(filler)) };
    let (segment, pack) = (segment(&filler)?, place_of_pack(&case)?);
    check(segment.covers(&pack), format!("the segment at {segment} does not cover the pack at {pack}"))?;
    Ok(case)
}

/// QEMU's pvh.bin puts start_info, module list, memory map and command line into the first 12 KiB; so QEMU itself cannot start a
/// kernel there, and starts the same at another place.
fn where_the_builders_structures_lie() -> Result<Case, Trouble> {
    let direct = Some(Layout::at("low-elsewhere", 16 * MIB));
    Ok(Case { direct, differ: &PLACE, ..Case::new(Layout::at("low", PAGE_SIZE)) })
}

/// What is different when QEMU starts the kernel at another place: its address, and the table that names it.
const PLACE: [&str; 3] = ["layout", "image.address", "table"];

fn segment(extra: &Extra) -> Result<PhysRange, Trouble> {
    Ok(PhysRange::sized(Phys(extra.paddr), extra.memory_size).map_err(|error| error.to_string())?)
}

/// Where QEMU puts the case's pack: told by a probe that gets it as its module.
fn place_of_pack(case: &Case) -> Result<PhysRange, Trouble> {
    let pack = case.pack()?;
    let size = fs::metadata(&pack)?.len();
    let teller = probe::build(&Layout::at("tell-pack", 16 * MIB))?;
    let outcome = case.machine(format!("t1-{}-tell", case.layout.name), teller).initrd(pack).run()?;
    let lines = Lines::of(&outcome.serial);
    let line = lines.named("module[0].address").unwrap_or_default();
    let start = line.rsplit_once("0x").and_then(|(_, digits)| u64::from_str_radix(digits, 16).ok());
    let start = start.ok_or_else(|| outcome.failure("the probe did not tell where its module is"))?;
    Ok(PhysRange::sized(Phys(start), size).map_err(|error| error.to_string())?)
}

fn of_class(name: &'static str, class: Class) -> Case {
    Case::new(Layout { class, entry_size: 8, ..Layout::at(name, 16 * MIB) })
}

fn of_300_mib() -> Result<Case, Trouble> {
    let filler = Extra::whole(17 * MIB, 299 << 20, Content::Pages);
    Ok(Case { memory_mib: 512, ..Case::new(Layout::at("300mib", 16 * MIB).with(filler)) })
}

/// The image, 15 MiB of nothing, a segment of which most is not in the file, 30 MiB of nothing, and a segment of which nothing
/// is in the file.
fn with_a_gap_and_a_large_bss() -> Result<Case, Trouble> {
    let mostly_bss =
        Extra { paddr: 32 * MIB, file_size: (1 << 20) + 5, memory_size: 65 * MIB + 77, content: Content::Noise(4) };
    let all_bss = Extra { paddr: 128 * MIB, file_size: 0, memory_size: 3 * PAGE_SIZE, content: Content::Pages };
    Ok(Case::new(Layout::at("gap", 16 * MIB).with(mostly_bss).with(all_bss)))
}

fn with_segments_out_of_order() -> Result<Case, Trouble> {
    let [high, low] = [64, 32].map(|mib| Extra::whole(mib * MIB, (1 << 20) + 9, Content::Noise(mib)));
    Ok(Case::new(Layout { image_last: true, ..Layout::at("unordered", 48 * MIB).with(high).with(low) }))
}

/// Two frames and more that no codec can make smaller, and as many that each can.
fn with_codec(name: &'static str, codec: Codec) -> Case {
    let noise = Extra::whole(20 * MIB, 3 << 20, Content::Noise(3));
    let pages = Extra::whole(24 * MIB, 3 << 20, Content::Pages);
    Case { codec, ..Case::new(Layout::at(name, 16 * MIB).with(noise).with(pages)) }
}

/// A kernel linked for where there is no RAM goes where its PHYS32_RELOC note lets it. QEMU does not know that note, so it starts
/// the same kernel linked for another place.
fn relocated() -> Result<Case, Trouble> {
    let relocation = Relocation { align: 2 << 20, min: 32 << 20, max: (128 << 20) - 1 };
    let filler = |base| Extra { memory_size: 4 * MIB, ..Extra::whole(base + 3 * MIB, 12_345, Content::Noise(5)) };
    let linked = |name, base| Layout::at(name, base).with(filler(base));
    let layout = Layout { relocation: Some(relocation), ..linked("relocated", 0xd000_0000) };
    Ok(Case { direct: Some(linked("not-relocated", 64 * MIB)), differ: &PLACE, ..Case::new(layout) })
}

fn two_modules_from_the_pack() -> Result<(), Trouble> {
    let case = Case::new(Layout::at("two-modules", 16 * MIB));
    let modules = [(5000, 1), (2 << 20, 2)].map(|(size, seed)| probe::module(size, Content::Noise(seed)));
    let pack = case.pack_with(modules.into())?;
    let outcome = case.machine("t1-two-modules".to_owned(), stage0::file()?).initrd(pack).run()?;
    let lines = all_ok(&outcome)?;
    for (n, size) in [(0, 5000), (1, 2 << 20)] {
        let line = lines.named(&format!("module[{n}].description")).unwrap_or_default();
        check(line.starts_with("ok "), outcome.failure(&format!("module {n} is not as packed: {line}")))?;
        let content = lines.named(&format!("module[{n}].content")).unwrap_or_default();
        check(
            content.contains(&format!(" {size} bytes")),
            outcome.failure(&format!("expected {size} bytes: {content}")),
        )?;
    }
    Ok(())
}

/// The pack lets through what it allows, words for stage0 are not for the kernel, and `stage0.quiet` prints nothing.
fn a_locked_command_line() -> Result<(), Trouble> {
    let layout = Layout::at("locked", 16 * MIB);
    let mut request = Request::new(layout.name, fs::read(probe::build(&layout)?)?);
    request.cmdline = Some("own".to_owned());
    request.locked = true;
    request.allowed = vec!["allowed=*".to_owned()];
    let pack = probe::file("locked.pack", &request.build(&|_| ()).map_err(|error| error.to_string())?.pack)?;
    let words = "forbidden allowed=1 stage0.quiet disallowed=1";
    let outcome = Machine::new("t1-locked", stage0::file()?).initrd(pack).append(words).debug_console().run()?;
    let line = "ok cmdline: 13 bytes \"own allowed=1\"";
    check(all_ok(&outcome)?.named("cmdline") == Some(line), outcome.failure(&format!("expected: {line}")))?;
    check(outcome.serial.starts_with("info layout: "), outcome.failure("expected no line of stage0's"))
}

/// What domain, what pack, what kernel; with `stage0.timing` one more.
fn at_most_three_lines_of_stage0() -> Result<(), Trouble> {
    let case = Case::new(Layout::at("lines", 16 * MIB));
    let machine = case.machine("t1-lines".to_owned(), stage0::file()?).initrd(case.pack()?);
    for (words, least, most) in [("", 1, 3), ("stage0.timing", 2, 4)] {
        let outcome = machine.clone().append(words).run()?;
        all_ok(&outcome)?;
        let lines = outcome.serial.lines().take_while(|line| line.starts_with("stage0: ")).count();
        let others = outcome.serial.lines().skip(lines).filter(|line| line.contains("stage0: ")).count();
        check((least..=most).contains(&lines) && others == 0, outcome.failure(&format!("{lines} lines of stage0's")))?;
    }
    Ok(())
}
