//! stage0's image: its shape, as the builders want it, and what it says of an exception within itself.

use std::time::Duration;

use ::stage0::platform::VIRT_BASE;
use harness::probe::{self, Case, Layout};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, stage0};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD, PT_NOTE, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use pack::stage0::{EMBEDDED, MAX_STAGE0};
use shared::memory::{MIB, PAGE_SIZE};

/// sidt [rdi]; mov word [rdi], 9 * 16 - 1; lidt [rdi]; int 0x80. RDI is where stage0 would go. The table then ends with the gate
/// of vector 8, so that neither the interrupt's gate nor that of the fault which this is can be reached.
const DOUBLE_FAULT: [u8; 13] = [0x0f, 0x01, 0x0f, 0x66, 0xc7, 0x07, 0x8f, 0x00, 0x0f, 0x01, 0x1f, 0xcd, 0x80];
/// Where in it the last instruction is.
const INTERRUPT: usize = 11;

/// mov eax, 0x3f8; mov dr0, rax; mov rax, cr4; or al, 8; mov cr4, rax; mov eax, 0x20002; mov dr7, rax; ud2: an exception whose
/// report is one more, since each write to the serial port is (AMD64 manual volume 2, 13.1.1: a breakpoint of input and output).
const FAULT_WITHIN: [u8; 26] = [
    0xb8, 0xf8, 0x03, 0x00, 0x00, 0x0f, 0x23, 0xc0, 0x0f, 0x20, 0xe0, 0x0c, 0x08, 0x0f, 0x22, 0xe0, 0xb8, 0x02, 0x00,
    0x02, 0x00, 0x0f, 0x23, 0xf8, 0x0f, 0x0b,
];

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
        trial::test("a_double_fault_is_reported", double_fault),
        trial::test("an_exception_while_one_is_reported_ends_the_domain", fault_within),
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

/// An exception is reported, once, and ends the domain.
fn fault(name: &'static str, code: &[u8], says: &str) -> Result<(), Trouble> {
    let outcome = run(name, &stage0::changed(&stage0::MOVE, code)?)?;
    let errors = stage0::errors(&outcome.serial);
    let expected = format!("exception in stage0: {says}");
    check(
        errors.len() == 1 && errors[0].starts_with(&expected),
        outcome.failure(&format!("expected one error that begins with {expected:?}")),
    )
}

fn double_fault() -> Result<(), Trouble> {
    let body = stage0::body()?;
    // The body is what the image ends with, in whole pages (stage0.ld).
    let start = stage0::place()?.end().0 - (body.len() as u64).next_multiple_of(PAGE_SIZE);
    let address = VIRT_BASE + start + (stage0::find(&body, &stage0::MOVE)? + INTERRUPT) as u64;
    fault("double", &DOUBLE_FAULT, &format!("phase place, expected none, found vector 8 (code 0x0) at {address:#x}"))
}

/// Without an end to it, the first byte of the report would be written again and again.
fn fault_within() -> Result<(), Trouble> {
    let mut body = stage0::body()?;
    let (place, stubs) = (stage0::find(&body, &stage0::MOVE)?, stage0::unused(&body)?);
    body[place..][..5].copy_from_slice(&stage0::jump(place, stubs)?);
    body[stubs..][..FAULT_WITHIN.len()].copy_from_slice(&FAULT_WITHIN);
    let outcome = run("within", &stage0::with_body(&body)?)?;
    let last = outcome.serial.lines().last().unwrap_or_default();
    check(last == &stage0::ERROR[..1], outcome.failure("expected the first byte of a report, and nothing after it"))
}

/// Starts this stage0, which ends as it does on an error.
fn run(name: &'static str, stage0: &[u8]) -> Result<Outcome, Trouble> {
    let stage0 = probe::file(&format!("fault-{name}.stage0"), stage0)?;
    let pack = Case::new(Layout::at(name, 16 * MIB)).pack()?;
    let outcome = Machine::new(format!("fault-{name}"), stage0).initrd(pack).limit(Duration::from_secs(5)).run()?;
    outcome.ended(&Exit::Debug(stage0::EXIT_ERROR))?;
    Ok(outcome)
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
