//! stage0's image: its shape, as the builders want it, and what it says of an exception within itself.

use std::time::Duration;

use harness::probe::{self, Case, Layout};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, stage0};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD, PT_NOTE, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use pack::stage0::{EMBEDDED, MAX_STAGE0};
use shared::memory::MIB;

/// The code that moves stage0, in the order of its bytes (platform/pvh.rs: mov r8, rcx; mov rcx, rdx; rep movsq; mov cr3, r8; ret),
/// which runs once, while the phase is "place".
const MOVE: [u8; 13] = [0x49, 0x89, 0xc8, 0x48, 0x89, 0xd1, 0xf3, 0x48, 0xa5, 0x41, 0x0f, 0x22, 0xd8];

/// What is put there instead, and what stage0 then says behind `stage0: error: exception in stage0: `.
const FAULTS: [(&str, &[u8], &str); 5] = [
    (
        "an_undefined_instruction",
        &[0x0f, 0x0b],
        "phase place, expected none, found vector 6 (code 0x0) at 0xffffffff80",
    ),
    // mov rax, 1 << 63; mov rax, [rax]
    (
        "a_read_of_no_address",
        &[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x48, 0x8b, 0],
        "phase place, expected none, found vector 13 (code 0x0) at ",
    ),
    // xor ecx, ecx; div ecx
    ("a_division_by_zero", &[0x31, 0xc9, 0xf7, 0xf1], "phase place, expected none, found vector 0 (code 0x0) at "),
    // xor esp, esp; push rax: without a stack of its own, the report would be a triple fault
    ("a_lost_stack", &[0x31, 0xe4, 0x50], "phase place, expected none, found vector 14 (code 0x2) at "),
    // int3
    ("a_breakpoint", &[0xcc], "phase place, expected none, found vector 3 (code 0x0) at "),
];

fn main() {
    let mut tests: Vec<_> = FAULTS
        .map(|(name, code, says)| trial::test(&format!("{name}_is_reported"), move || fault(name, code, says)))
        .into();
    tests.extend([
        trial::test("the_image_is_one_segment_and_its_notes", shape),
        trial::test("the_image_is_small", || {
            let len = EMBEDDED.len();
            check(len as u64 <= MAX_STAGE0, format!("expected at most {MAX_STAGE0} bytes, found {len}"))
        }),
        trial::test("the_image_names_no_folder_of_the_machine_that_built_it", no_paths),
        trial::test("the_image_has_no_multiboot_magic", no_multiboot),
    ]);
    trial::main(tests);
}

/// Starts a stage0 whose code is changed in one place.
fn fault(name: &'static str, code: &[u8], says: &str) -> Result<(), Trouble> {
    let stage0 = probe::file(&format!("fault-{name}.stage0"), &stage0::changed(&MOVE, code)?)?;
    let pack = Case::new(Layout::at(name, 16 * MIB)).pack()?;
    let outcome = Machine::new(format!("fault-{name}"), stage0).initrd(pack).limit(Duration::from_secs(5)).run()?;
    outcome.ended(&Exit::Debug(stage0::EXIT_ERROR))?;
    let errors: Vec<&str> = outcome.serial.lines().filter(|line| line.starts_with("stage0: error: ")).collect();
    let expected = format!("stage0: error: exception in stage0: {says}");
    check(
        errors.len() == 1 && errors[0].starts_with(&expected),
        outcome.failure(&format!("expected one line that begins with {expected:?}")),
    )
}

type Header = ProgramHeader64<LittleEndian>;

/// What each builder insists on: QEMU on notes aligned to 4 bytes, all of them on one segment at 1 MiB; and what the measurement
/// of the file in memory will: that the segment is the file from its first byte on.
fn shape() -> Result<(), Trouble> {
    let parse = || -> object::read::Result<(Vec<&Header>, Vec<&Header>)> {
        let header = FileHeader64::<LittleEndian>::parse(EMBEDDED)?;
        let headers = header.program_headers(LittleEndian, EMBEDDED)?.iter();
        Ok(headers.partition(|header| header.p_type(LittleEndian) == PT_LOAD))
    };
    let (loads, others) = parse().map_err(|error| error.to_string())?;
    let [load] = loads[..] else { return Err(format!("expected one PT_LOAD, found {}", loads.len()).into()) };
    let [note] = others[..] else { return Err(format!("expected one other header, found {}", others.len()).into()) };
    let place = (load.p_offset(LittleEndian), load.p_paddr(LittleEndian), load.p_vaddr(LittleEndian));
    check(place == (0, 0x10_0000, 0xffff_ffff_8010_0000), format!("the segment lies at {place:x?}"))?;
    let is_note = note.p_type(LittleEndian) == PT_NOTE && note.p_align(LittleEndian) == 4;
    check(is_note, "expected notes, aligned to 4 bytes")
}

fn no_multiboot() -> Result<(), Trouble> {
    // QEMU looks for it in the first 8 KiB, at multiples of 4 (Multiboot specification 0.6.96, 3.1).
    let magic = 0x1bad_b002u32.to_le_bytes();
    let found = EMBEDDED[..8192].chunks_exact(4).any(|word| word == magic);
    check(!found, "expected none in the first 8 KiB")
}

fn no_paths() -> Result<(), Trouble> {
    let folders = ["/home/", "/root/", "/usr/", "/.cargo/", "/target/", env!("CARGO_MANIFEST_DIR")];
    let body = stage0::body()?;
    let text = [EMBEDDED, &body].map(String::from_utf8_lossy).concat();
    let found: Vec<&&str> = folders.iter().filter(|folder| text.contains(**folder)).collect();
    check(found.is_empty(), format!("found {found:?}"))
}
