//! stage0 in a PV domain, with its code changed in one place: what it says of an exception within itself, and of a Xen that refuses
//! what it asks for.

use harness::probe::{self, Case, Layout, Lines, Pv};
use harness::tier4::{Domain, Kind};
use harness::trial::{Trouble, check};
use harness::{Exit, Outcome, stage0};
use shared::memory::MIB;

/// A change, and what comes of it.
pub(crate) struct Fault {
    name: &'static str,
    /// What is at the place.
    place: &'static [u8],
    code: &'static [u8],
    /// What stage0 says behind `stage0: error: `; nothing where Xen ends the domain itself.
    says: Option<&'static str>,
}

/// Where Xen is asked to fill the kernel's hypercall page (platform/pv/machine.rs: mov ecx, 0x40000000; wrmsr), while the phase is
/// "hand over". What follows needs not be kept.
const FILL: &[u8] = &[0xb9, 0, 0, 0, 0x40, 0x0f, 0x30];
/// The hinge's beginning (handover/pv/hinge.s: mov r12, rdi; mov r13, rsi), when all has been taken back that the domain had from stage0.
const HINGE: &[u8] = &[0x49, 0x89, 0xfc, 0x49, 0x89, 0xf5];
/// The hypercall that maps a page (platform/pv/calls.rs: mov eax, 14; xor r10d, r10d; syscall).
const MAP: &[u8] = &[0xb8, 14, 0, 0, 0, 0x45, 0x31, 0xd2, 0x0f, 0x05];

pub(crate) const FAULTS: [Fault; 8] = [
    Fault {
        name: "undefined",
        place: FILL,
        code: &[0x0f, 0x0b],
        says: Some("exception in stage0: phase hand over, expected none, found vector 6 (code 0x0) at 0xffffffff80"),
    },
    // xor eax, eax; mov eax, [rax]
    Fault {
        name: "no-page",
        place: FILL,
        code: &[0x31, 0xc0, 0x8b, 0],
        says: Some("exception in stage0: phase hand over, expected none, found vector 14 (code 0x0) at "),
    },
    // mov rax, 1 << 63; mov rax, [rax]
    Fault {
        name: "no-address",
        place: FILL,
        code: &[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x48, 0x8b, 0],
        says: Some("exception in stage0: phase hand over, expected none, found vector 13 (code 0x0) at "),
    },
    // xor ecx, ecx; div ecx
    Fault {
        name: "division",
        place: FILL,
        code: &[0x31, 0xc9, 0xf7, 0xf1],
        says: Some("exception in stage0: phase hand over, expected none, found vector 0 (code 0x0) at "),
    },
    // int3
    Fault {
        name: "breakpoint",
        place: FILL,
        code: &[0xcc],
        says: Some("exception in stage0: phase hand over, expected none, found vector 3 (code 0x0) at "),
    },
    // xor esp, esp; push rax: where a processor would have a double fault, Xen, which cannot tell the guest, ends the domain
    Fault { name: "lost-stack", place: FILL, code: &[0x31, 0xe4, 0x50], says: None },
    // ud2: nobody handles it any more
    Fault { name: "no-handlers", place: HINGE, code: &[0x0f, 0x0b], says: None },
    // mov eax, 63: there is no such hypercall
    Fault {
        name: "refused",
        place: MAP,
        code: &[0xb8, 63],
        says: Some("hypercall refused: update_va_mapping, expected 0, found -38"),
    },
];

impl Fault {
    /// A domain whose stage0 is changed.
    pub(crate) fn domain(&self) -> Result<Domain, Trouble> {
        let name = format!("t4-fault-{}", self.name);
        let stage0 = probe::file(&format!("{name}.stage0"), &stage0::changed(self.place, self.code)?)?;
        let case = Case { memory_mib: 64, ..Case::new(Layout::pv("fault", 2 * MIB, Pv::linux())) };
        Ok(Domain::new(Kind::Pv, case.machine(name, stage0).initrd(case.pack()?)))
    }

    /// One line, or none, and a domain that crashed; the kernel is not entered.
    pub(crate) fn check(&self, outcome: &Outcome) -> Result<(), Trouble> {
        let errors = stage0::errors(&outcome.xen_console);
        let found = match (self.says, &errors[..]) {
            (Some(says), [error]) => error.starts_with(says),
            (says, errors) => says.is_none() && errors.is_empty(),
        };
        check(found, outcome.failure(&format!("expected {:?}", self.says)))?;
        let entered = Lines::of(&outcome.xen_console).named("layout").is_some();
        check(!entered, outcome.failure("expected no kernel"))?;
        Ok(outcome.ended(&Exit::Crashed)?)
    }
}
