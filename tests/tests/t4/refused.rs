//! Domains of a real Xen that stage0 does not start, and the line that says why.

use harness::corpus::{Description, Load, Notes, Place, add_note};
use harness::probe::{self, Case, Layout, Pv};
use harness::tier4::{Domain, Kind};
use harness::trial::{Trouble, check};
use harness::{Exit, Machine, Outcome, stage0};
use pack::build::Request;
use shared::kernel::notes::kind;
use shared::memory::{GIB, MIB};

/// A domain that stage0 does not start: its name, what it is made of, and the line that says why.
pub(crate) struct Refused {
    pub(crate) name: &'static str,
    pub(crate) domain: fn(&Self) -> Result<Domain, Trouble>,
    line: &'static str,
}

pub(crate) const REFUSED: [Refused; 8] = [
    Refused { name: "no_pack_pv", domain: |refused| refused.no_pack(Kind::Pv), line: "not a pack: " },
    Refused { name: "no_pack_pvh", domain: |refused| refused.no_pack(Kind::Pvh), line: "not a pack: " },
    Refused {
        name: "pv_only_in_pvh",
        domain: |refused| refused.packed(Kind::Pvh, Layout::pv("only-pv", 16 * MIB, Pv::linux())),
        line: "kernel: PV only: use type=pv",
    },
    Refused {
        name: "pvh_only_in_pv",
        domain: |refused| refused.packed(Kind::Pv, Layout::at("only-pvh", 16 * MIB)),
        line: "kernel: PVH only: use type=pvh",
    },
    Refused {
        name: "feature_of_the_initial_domain",
        domain: |refused| {
            let pv = Pv { features: "!dom0", ..Pv::default() };
            refused.packed(Kind::Pv, Layout::pv("pv-dom0", 2 * MIB, pv))
        },
        line: "kernel: requires the feature 'dom0', which this domain has not",
    },
    // Where stage0 has its window on memory.
    Refused {
        name: "addresses_of_stage0",
        domain: |refused| refused.for_pv(64, 0xffff_c800_0000_0000, 0x3000, None),
        line: "addresses are taken: kernel, expected others than stage0's, found 0xffffc8",
    },
    // Two pages behind the kernel, which the domain has.
    Refused {
        name: "hypercall_page_outside",
        domain: |refused| refused.for_pv(64, KERNBASE, 0x3000, Some(KERNBASE + 2 * MIB + 0x5000)),
        line: "hypercall page is misplaced: kernel, expected no later than its end, found 0xffffffff80205000",
    },
    Refused {
        name: "entry_too_far_from_the_stack",
        domain: |refused| refused.for_pv(2240, 0x40_0000_0000, 2 * GIB, None),
        line: "entry is out of reach: kernel, expected within 2 GiB of its boot stack, found 0x4000200000",
    },
];

/// A high address at which PV kernels are linked.
const KERNBASE: u64 = 0xffff_ffff_8000_0000;

impl Refused {
    fn no_pack(&self, kind: Kind) -> Result<Domain, Trouble> {
        let text = probe::file("t4-no.pack", &b"This is no pack.\n".repeat(1000))?;
        Ok(Domain::new(kind, Machine::new(format!("t4-{}", self.name), stage0::file()?).memory(64).initrd(text)))
    }

    fn packed(&self, kind: Kind, layout: Layout) -> Result<Domain, Trouble> {
        let case = Case { memory_mib: 64, ..Case::new(layout) };
        let machine = case.machine(format!("t4-{}", self.name), stage0::file()?);
        Ok(Domain::new(kind, machine.initrd(case.pack()?)))
    }

    /// In a PV domain of `memory_mib`, a kernel that takes `len` bytes from its 2 MiB on, where it is entered.
    fn for_pv(&self, memory_mib: u64, base: u64, len: u64, hypercall_page: Option<u64>) -> Result<Domain, Trouble> {
        let entry = base + 2 * MIB;
        let numbers =
            [(kind::VIRT_BASE, Some(base)), (kind::ENTRY, Some(entry)), (kind::HYPERCALL_PAGE, hypercall_page)];
        let mut bytes = Vec::new();
        add_note(&mut bytes, b"Xen\0", kind::GUEST_OS, b"linux\0");
        add_note(&mut bytes, b"Xen\0", kind::XEN_VERSION, b"xen-3.0\0");
        for (kind, number) in numbers.into_iter().filter_map(|(kind, number)| Some((kind, number?))) {
            add_note(&mut bytes, b"Xen\0", kind, &number.to_le_bytes());
        }
        let load = Load {
            paddr: 2 * MIB,
            vaddr: entry,
            file_len: 0x1000,
            memory_len: len,
            flags: 7,
            offset: None,
            align: 0x1000,
        };
        let notes = vec![Notes { place: Place::Segment, bytes, cut: 0 }];
        let kernel = Description { loads: vec![load], notes, entry, ..Description::default() };
        let built = Request::new(self.name, kernel.elf()).build(&|_| ()).map_err(anyhow::Error::from)?;
        let name = format!("t4-{}", self.name);
        let pack = probe::file(&format!("{name}.pack"), &built.pack)?;
        Ok(Domain::new(Kind::Pv, Machine::new(name, stage0::file()?).memory(memory_mib).initrd(pack)))
    }

    /// The line is the only error, on the console; and the domain crashed.
    pub(crate) fn check(&self, outcome: &Outcome) -> Result<(), Trouble> {
        let errors = stage0::errors(&outcome.xen_console);
        let found = errors.len() == 1 && errors[0].starts_with(self.line);
        check(found, outcome.failure(&format!("expected one error, {}", self.line)))?;
        Ok(outcome.ended(&Exit::Crashed)?)
    }
}
