//! T1: what stage0 cannot start it refuses in one line of its own, on every console, and ends the machine at once.

mod changes;
mod memory;
mod sample;

use std::time::Duration;

use harness::probe;
use harness::stage0;
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine};
use pack::domain::{Domain, Kind};
use pack::image::Image;
use shared::memory::{Builder, MIB};
use shared::trust::TrustSlot;

use changes::{LOAD, NOTE, P_MEMSZ, P_OFFSET, P_PADDR, with_kernel};
use sample::{Sample, middle};

/// How long the refusal may take, QEMU's start and the firmware's included.
const LIMIT: Duration = Duration::from_secs(5);

/// Something that stage0 must refuse.
struct Bad {
    /// The ramdisk; none if empty.
    pack: Vec<u8>,
    /// The builder's command line.
    cmdline: &'static str,
    memory_mib: u64,
    /// What the line begins with, behind `stage0: error: `.
    says: String,
}

impl Bad {
    fn pack(pack: Vec<u8>, says: impl Into<String>) -> Self {
        Self { pack, cmdline: "", memory_mib: 256, says: says.into() }
    }
}

type MakeBad = fn(&Sample) -> Bad;

const CASES: [(&str, MakeBad); 44] = [
    ("no_module", |_| Bad::pack(Vec::new(), "no pack: ")),
    ("a_text", |_| Bad::pack(b"This is no pack.\n".repeat(1000), "not a pack: ")),
    ("an_elf_file", |sample| Bad::pack(sample.kernel.clone(), "not a pack: ")),
    ("zeros", |_| Bad::pack(vec![0; 4096], "not a pack: ")),
    ("seven_bytes", |sample| Bad::pack(sample.cut(7), "pack is truncated: header, ")),
    ("a_future_version", |sample| Bad::pack(sample.with(8, 2), "pack of an unknown version: ")),
    ("cut_in_the_header", |sample| Bad::pack(sample.cut(255), "pack is truncated: header, ")),
    ("cut_in_the_manifest", |sample| Bad::pack(sample.cut(300), "pack is truncated: ")),
    ("cut_in_the_kernel", |sample| Bad::pack(sample.cut(middle(sample.kernel_member())), "pack is truncated: pack, ")),
    ("cut_in_the_command_line", |sample| Bad::pack(sample.cut(middle(sample.member(1))), "pack is truncated: pack, ")),
    ("cut_in_the_module", |sample| Bad::pack(sample.cut(middle(sample.member(2))), "pack is truncated: pack, ")),
    ("flipped_magic", |sample| Bad::pack(sample.flip(3), "not a pack: ")),
    ("flipped_header_flag", |sample| Bad::pack(sample.flip(12), "unknown flags: header, ")),
    ("flipped_pack_length", |sample| Bad::pack(sample.flip(17), "pack is truncated: pack, ")),
    ("flipped_manifest_length", |sample| Bad::pack(sample.flip(24), "manifest length is wrong: header, ")),
    ("flipped_member_count", |sample| Bad::pack(sample.flip(32), "manifest length is wrong: header, ")),
    ("flipped_reserved_byte", |sample| Bad::pack(sample.flip(72), "reserved bytes in use: header, ")),
    ("flipped_digest", |sample| Bad::pack(sample.flip(96), "manifest is damaged: ")),
    ("flipped_decision", |sample| Bad::pack(sample.flip(48), "manifest is damaged: ")),
    ("flipped_signature_algorithm", |sample| Bad::pack(sample.flip(128), "signature is missing: ")),
    ("flipped_member_table", |sample| Bad::pack(sample.flip(256 + 70), "manifest is damaged: ")),
    ("flipped_frame_table", |sample| Bad::pack(sample.flip(256 + 3 * 128 + 40), "manifest is damaged: ")),
    ("flipped_name", |sample| Bad::pack(sample.flip(sample.manifest().manifest_len() - 1), "manifest is damaged: ")),
    ("flipped_first_frame", |sample| Bad::pack(sample.flip(middle(sample.frame(0))), "frame is damaged: frame 0, ")),
    ("flipped_frame_of_a_segment", changes::flipped_frame_of_a_segment),
    ("flipped_command_line", |sample| {
        Bad::pack(sample.flip(middle(sample.member(1))), "member is damaged: member 1, ")
    }),
    ("flipped_module", |sample| Bad::pack(sample.flip(middle(sample.member(2))), "member is damaged: member 2, ")),
    ("a_frame_that_does_not_decode", changes::a_frame_that_does_not_decode),
    ("a_frame_without_a_checksum", changes::a_frame_without_a_checksum),
    ("two_frames_in_one", changes::two_frames_in_one),
    ("a_frame_whose_block_is_too_long", changes::a_frame_whose_block_is_too_long),
    ("an_option_in_the_pack", changes::an_option_in_the_pack),
    ("an_unknown_option", |sample| Bad {
        cmdline: "stage0.surprise",
        ..Bad::pack(sample.pack.clone(), "unknown option: ")
    }),
    ("frames_not_cut_at_segments", changes::frames_not_cut_at_segments),
    ("frames_too_large_to_look_into", changes::frames_too_large_to_look_into),
    ("a_kernel_that_is_none", |sample| with_kernel(sample, &[(0, b"none")], "kernel: not an ELF file")),
    ("a_kernel_of_class_3", |sample| with_kernel(sample, &[(4, &[3])], "kernel: ELF class 3, ")),
    ("a_kernel_for_arm", |sample| with_kernel(sample, &[(18, &[183])], "kernel: ELF for machine 183, ")),
    ("program_headers_outside", |sample| with_kernel(sample, &[(34, &[0xff])], "kernel: program headers: ")),
    ("a_segment_outside", |sample| with_kernel(sample, &[(LOAD + P_OFFSET + 3, &[1])], "kernel: segment ")),
    ("a_segment_that_shrinks", |sample| with_kernel(sample, &[(LOAD + P_MEMSZ + 1, &[0; 7])], "kernel: segment ")),
    ("a_segment_that_wraps", |sample| with_kernel(sample, &[(LOAD + P_PADDR, &[0xff; 8])], "kernel: segment ")),
    ("a_kernel_without_an_entry", |sample| with_kernel(sample, &[(NOTE + 8, &[99])], "kernel: Xen notes, ")),
    ("an_entry_outside", |sample| with_kernel(sample, &[(NOTE + 16, &[0; 4])], "kernel: ")),
];

fn main() {
    let mut tests: Vec<_> =
        CASES.map(|(name, bad)| trial::test(name, move || run(name, &bad(Sample::get()?)).map(drop))).into();
    tests.extend([
        trial::test("more_memory_than_there_is", memory::more_than_there_is),
        trial::test("more_room_than_there_is", memory::no_room_beside_the_pack),
        trial::test("a_place_behind_the_end_of_memory", memory::behind_its_end),
        trial::test("a_place_that_is_never_ram", || memory::no_ram("no-ram", 0xd000_0000)),
        trial::test("a_place_among_devices", || memory::no_ram("devices", 0xa_0000)),
        trial::test("the_sample_itself_starts", the_sample_itself_starts),
    ]);
    trial::main(tests);
}

/// Whether `pack check` would say so, too.
fn host_refuses(bad: &Bad) -> bool {
    let (memory, trust) = (Some(bad.memory_mib * MIB), TrustSlot::EMPTY);
    let domain = Domain { kind: Kind::Pvh, builder: Builder::Qemu, memory, cmdline: bad.cmdline, trust };
    !Image::parse(&bad.pack).is_ok_and(|image| pack::check::check(&image, pack::stage0::EMBEDDED, &domain).is_ok())
}

/// Starts stage0 with it: one line, the same on both consoles, and the end. Returns the line.
fn run(name: &str, bad: &Bad) -> Result<String, Trouble> {
    check(host_refuses(bad), "the host would take it")?;
    let mut machine = Machine::new(format!("bad-{name}"), stage0::file()?)
        .memory(bad.memory_mib)
        .append(bad.cmdline)
        .limit(LIMIT)
        .debug_console();
    if !bad.pack.is_empty() {
        machine = machine.initrd(probe::file(&format!("bad-{name}.pack"), &bad.pack)?);
    }
    let outcome = machine.run()?;
    outcome.ended(&Exit::Debug(stage0::EXIT_ERROR))?;
    let error = format!("{}{}", stage0::ERROR, bad.says);
    let mut line = "";
    for console in [&outcome.debug_console, &outcome.serial] {
        let errors = stage0::errors(console).len();
        line = console.lines().last().unwrap_or_default();
        let found = errors == 1 && line.starts_with(&error) && is_whole(line);
        check(found, outcome.failure(&format!("expected one line, the last, that begins with {error:?}: {console}")))?;
    }
    Ok(line.to_owned())
}

/// Whether a line is of the form `stage0: error: WHAT: WHERE, expected EXPECTED, found FOUND`, or tells of the kernel what `pack`
/// tells of it, too.
fn is_whole(line: &str) -> bool {
    let parts = line.splitn(4, ": ").count();
    parts == 4 && line.contains(", expected ") && line.contains(", found ") || line.contains(": kernel: ")
}

/// What the cases above change would otherwise have started.
fn the_sample_itself_starts() -> Result<(), Trouble> {
    let pack = probe::file("bad-nothing.pack", &Sample::get()?.pack)?;
    let outcome = Machine::new("bad-nothing", stage0::file()?).initrd(pack).run()?;
    Ok(outcome.ended(&Exit::Debug(probe::EXIT_OK))?)
}
