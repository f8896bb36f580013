//! T1: stage0 hashes by vectors on each kind of processor, and leaves no trace of it: the kernel finds the FPU, XMM, YMM and XCR0 as it
//! does without stage0, and as they were where a builder has left something in them.

use harness::probe::{self, Case, Layout, Lines, differ};
use harness::stage0::{self, Restore};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome};
use shared::memory::MIB;

/// QEMU's name for a processor, and the vectors that it has, besides SSE2.
const PROCESSORS: [(&str, Has); 13] = [
    ("qemu64", Has::Sse2),
    ("Opteron_G1", Has::Sse2),
    ("core2duo", Has::Sse2),
    ("Nehalem", Has::Sse2),
    ("SandyBridge", Has::Avx),
    ("Haswell", Has::Avx2),
    ("EPYC", Has::Avx2),
    ("Skylake-Client", Has::Avx2),
    ("max", Has::Avx2),
    ("max,-xsave", Has::Sse2),
    ("max,-avx2", Has::Avx),
    ("max,-avx", Has::Xsave),
    ("max,-sse4.1,-ssse3", Has::Avx),
];

/// What a processor has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Has {
    /// Neither XSAVE nor AVX.
    Sse2,
    /// XSAVE.
    Xsave,
    /// That and AVX.
    Avx,
    /// That and AVX2.
    Avx2,
}

fn main() {
    let mut tests = Vec::new();
    for (processor, has) in PROCESSORS {
        let name = |what: &str| format!("on_{processor}_{what}");
        tests.push(trial::test(&name("all_is_as_without_stage0"), move || as_without(processor, has)));
        tests.push(trial::test(&name("what_a_builder_left_stays"), move || as_left(processor, has)));
    }
    let left_out = [
        ("qemu64", Restore::Vectors, &["xmm"][..]),
        ("max,-avx2", Restore::Vectors, &["xmm"]),
        ("max", Restore::Vectors, &["xmm"]),
        ("max", Restore::Xcr0, &["xcr0"]),
    ];
    for (processor, restore, lines) in left_out {
        let name = format!("on_{processor}_the_probe_notices_that_{restore:?}_is_left_out").to_lowercase();
        tests.push(trial::test(&name, move || noticed(processor, restore, lines)));
    }
    for (restore, lines) in [(Restore::Vectors, &["xmm"]), (Restore::Upper, &["ymm"]), (Restore::Xcr0, &["xcr0"])] {
        let name = format!("where_a_builder_left_something_{restore:?}_left_out_is_noticed").to_lowercase();
        tests.push(trial::test(&name, move || {
            let (wrong, outcome) = filled("max", Has::Avx2, Some(restore))?;
            check(wrong == lines, outcome.failure(&format!("expected {lines:?} to be wrong, found {wrong:?}")))
        }));
    }
    trial::main(tests);
}

fn case() -> Case {
    Case::new(Layout::at("vectors", 16 * MIB))
}

/// A name for logs.
fn named(processor: &str) -> String {
    processor.replace(',', "")
}

/// Without stage0; `what` tells apart the logs of tests that run beside each other.
fn direct(processor: &str, what: &str) -> Result<Outcome, Trouble> {
    let case = case();
    let name = format!("t1-vectors-{}-{what}-direct", named(processor));
    let machine = case.machine(name, case.kernel()?).append(Case::cmdline());
    let machine = match case.module()? {
        Some(module) => machine.initrd(module),
        None => machine,
    };
    Ok(machine.cpu(processor).run()?)
}

/// stage0 with this body, and a pack.
fn packed(processor: &str, what: &str, body: &[u8]) -> Result<Outcome, Trouble> {
    let name = format!("t1-vectors-{}-{what}", named(processor));
    let stage0 = probe::file(&format!("{name}.stage0"), &stage0::with_body(body)?)?;
    let machine: Machine = case().machine(name, stage0).append(Case::BUILDERS).initrd(case().pack()?);
    Ok(machine.cpu(processor).run()?)
}

fn as_without(processor: &str, has: Has) -> Result<(), Trouble> {
    let (direct, packed) = (direct(processor, "packed")?, packed(processor, "packed", &stage0::body()?)?);
    case().compare(&direct, &packed, &differ::PVH_BY_QEMU)?;
    // Each in its own words, or none could tell the difference.
    let lines = Lines::of(&packed.serial);
    let found = ["xcr0", "ymm"].map(|name| lines.named(name).is_some_and(|line| line.starts_with("info ")));
    let expected = [has != Has::Sse2, has != Has::Sse2 && has != Has::Xsave];
    check(found == expected, packed.failure(&format!("expected {has:?}")))?;
    Ok(packed.ended(&Exit::Debug(probe::EXIT_OK))?)
}

fn noticed(processor: &str, restore: Restore, expected: &[&str]) -> Result<(), Trouble> {
    let mut body = stage0::body()?;
    restore.leave_out(&mut body)?;
    let what = format!("without-{restore:?}");
    let (direct, packed) = (direct(processor, &what)?, packed(processor, &what, &body)?);
    let differences = Lines::of(&direct.serial).differences(&Lines::of(&packed.serial));
    let names: Vec<&str> = differences.iter().map(|difference| difference.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !differ::PVH_BY_QEMU.contains(name)).collect();
    check(names == expected, packed.failure(&format!("expected only {expected:?} to differ, found {names:?}")))?;
    check(case().compare(&direct, &packed, &differ::PVH_BY_QEMU).is_err(), "expected the comparison to fail")
}

/// What is written to the registers before most frames are hashed, as code that moves stage0 runs (t1_stage0.rs has its bytes).
const FCW: u16 = 0x27f;
const MXCSR: u32 = 0x9f80;
const XCR0: u32 = 0b011;

/// What each lane of register `n` gets.
const fn lane(n: u8) -> u32 {
    0x5a5a_0000 | (0x0101 * (n as u32 + 1))
}

fn as_left(processor: &str, has: Has) -> Result<(), Trouble> {
    let (wrong, outcome) = filled(processor, has, None)?;
    check(wrong.is_empty(), outcome.failure(&format!("expected what was left, found other {wrong:?}")))?;
    Ok(outcome.ended(&Exit::Debug(probe::EXIT_OK))?)
}

/// Starts a kernel by a stage0 that finds something in the registers, and perhaps does not put all of it back; gives the names of the
/// lines that do not say what was left.
fn filled(processor: &str, has: Has, left_out: Option<Restore>) -> Result<(Vec<&'static str>, Outcome), Trouble> {
    let wide = has == Has::Avx2;
    let mut body = stage0::body()?;
    stage0::before_moving(&mut body, &fill(has != Has::Sse2, wide))?;
    if let Some(restore) = left_out {
        restore.leave_out(&mut body)?;
    }
    let outcome = packed(processor, &format!("filled-{left_out:?}"), &body)?;
    let lines = Lines::of(&outcome.serial);
    let half: Vec<u8> = (0..16).flat_map(|n| [lane(n); 4]).flat_map(u32::to_le_bytes).collect();
    let hash = ::probe::hash(&half);
    let mut expected = vec![
        ("fpu", format!("info fpu: fcw {FCW:#x}, fsw 0x0, ftw 0x0, mxcsr {MXCSR:#x}")),
        ("fpu.registers", "info fpu.registers: zero".to_owned()),
        ("xmm", format!("info xmm: hash {hash:#x}")),
    ];
    if has != Has::Sse2 {
        expected.push(("xcr0", format!("info xcr0: {XCR0:#x}")));
    }
    if wide {
        expected.push(("ymm", format!("info ymm: hash {hash:#x}")));
    }
    let wrong = expected.into_iter().filter(|(name, line)| lines.named(name) != Some(line.as_str()));
    Ok((wrong.map(|(name, _)| name).collect(), outcome))
}

/// Code that writes the registers; it changes RAX alone, and leaves CR4 as it was.
fn fill(xsave: bool, wide: bool) -> Vec<u8> {
    // push rdx; push rcx; mov rax, cr4; push rax
    let mut code = vec![0x52, 0x51, 0x0f, 0x20, 0xe0, 0x50];
    // or eax, OSFXSR and perhaps OSXSAVE
    code.push(0x0d);
    code.extend(((1u32 << 9) | if xsave { 1 << 18 } else { 0 }).to_le_bytes());
    // mov cr4, rax; xor ecx, ecx; xor edx, edx
    code.extend([0x0f, 0x22, 0xe0, 0x31, 0xc9, 0x31, 0xd2]);
    // mov eax, value; xsetbv
    let xsetbv = |value: u32| [&[0xb8][..], &value.to_le_bytes(), &[0x0f, 0x01, 0xd1]].concat();
    if wide {
        code.extend(xsetbv(0b111));
    }
    for n in 0..16 {
        // mov eax, lane
        code.push(0xb8);
        code.extend(lane(n).to_le_bytes());
        let (high, low) = (n >= 8, n % 8);
        let (one, both) = (0xc0 | (low << 3), 0xc0 | (low << 3) | low);
        if wide {
            // vmovd xmm, eax; vpbroadcastd ymm, xmm
            code.extend([0xc5, if high { 0x79 } else { 0xf9 }, 0x6e, one]);
            code.extend([0xc4, if high { 0x42 } else { 0xe2 }, 0x7d, 0x58, both]);
        } else {
            // movd xmm, eax; pshufd xmm, xmm, 0
            code.extend([0x66, if high { 0x44 } else { 0x40 }, 0x0f, 0x6e, one]);
            code.extend([0x66, if high { 0x45 } else { 0x40 }, 0x0f, 0x70, both, 0]);
        }
    }
    // push FCW; fldcw [rsp]; mov dword [rsp], MXCSR; ldmxcsr [rsp]; pop rax
    code.push(0x68);
    code.extend(u32::from(FCW).to_le_bytes());
    code.extend([0xd9, 0x2c, 0x24, 0xc7, 0x04, 0x24]);
    code.extend(MXCSR.to_le_bytes());
    code.extend([0x0f, 0xae, 0x14, 0x24, 0x58]);
    if xsave {
        code.extend(xsetbv(XCR0));
    }
    // pop rax; mov cr4, rax; pop rcx; pop rdx
    code.extend([0x58, 0x0f, 0x22, 0xe0, 0x59, 0x5a]);
    code
}
