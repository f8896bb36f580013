//! What stage0 makes of the kernel.

use serde::Serialize;
use shared::format::Manifest;
use shared::kernel::{Class, Entry, Metadata, Plan, Protocol, Source};
use shared::memory::{Builder, PhysRange};

use crate::explain::{Explanation, explain};
use crate::identity::Identity;
use crate::need::{NoPlace, Surroundings};
use crate::reading::{ENTERED, Reading};

/// The kernel, as stage0 reads it.
#[derive(Serialize, Debug)]
pub struct KernelInfo {
    /// "ELF32" or "ELF64".
    pub class: &'static str,
    /// What it is called.
    #[serde(flatten)]
    pub identity: Identity,
    /// e_entry.
    pub elf_entry: u64,
    /// What it says of itself to Xen.
    pub notes: NotesInfo,
    /// What comes of it by each protocol.
    pub protocols: Vec<ProtocolInfo>,
}

/// What a kernel says of itself to Xen; what it does not say is left out.
#[derive(Serialize, Debug)]
pub struct NotesInfo {
    /// Where it says it.
    pub source: &'static str,
    /// Each name with its value.
    pub values: Vec<NoteInfo>,
}

/// One thing that a kernel says of itself.
#[derive(Serialize, Debug)]
pub struct NoteInfo {
    /// Its name, as Xen's public/elfnote.h has it.
    pub name: &'static str,
    /// Its value, as text.
    pub value: String,
}

/// What comes of a kernel by one protocol.
#[derive(Serialize, Debug)]
pub struct ProtocolInfo {
    /// Its name.
    pub protocol: &'static str,
    /// Whether the stage0 of this version enters this kernel by it.
    pub entered_by_stage0: bool,
    /// What it would take, where it does not.
    #[serde(skip)]
    pub otherwise: &'static str,
    /// The plan.
    pub plan: Option<PlanInfo>,
    /// Why there is no plan.
    pub refused: Option<String>,
    /// The smallest domain for it, by builder.
    pub memory: Vec<MemoryInfo>,
}

/// A plan.
#[derive(Serialize, Debug)]
pub struct PlanInfo {
    /// From the kernel's lowest byte in memory to behind its last.
    pub extent: RangeInfo,
    /// Where it is entered.
    pub entry: u64,
    /// Whether that is a virtual address.
    pub entry_is_virtual: bool,
    /// Whether the whole may be moved, and where to.
    pub relocation: Option<RelocationInfo>,
    /// Where each segment goes.
    pub segments: Vec<SegmentInfo>,
    /// Why, and what is odd about it.
    #[serde(flatten)]
    pub explanation: Explanation,
}

/// A range of addresses.
#[derive(Serialize, Debug, Clone, Copy)]
pub struct RangeInfo {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
}

/// By how much a kernel may be moved.
#[derive(Serialize, Debug)]
pub struct RelocationInfo {
    /// Its start is to be a multiple of this.
    pub align: u64,
    /// Lowest start.
    pub min: u64,
    /// Highest last byte.
    pub max: u64,
}

/// Where a segment goes.
#[derive(Serialize, Debug)]
pub struct SegmentInfo {
    /// Number of its program header.
    pub index: u16,
    /// Where its bytes begin in the ELF file.
    pub file_offset: u64,
    /// Bytes in the ELF file; the rest of its memory is zero.
    pub file_len: u64,
    /// Where it goes.
    pub memory: RangeInfo,
    /// p_vaddr.
    pub virt: u64,
    /// The virtual address at which the kernel finds it: PV by the linear mapping, direct at p_vaddr. PVH maps nothing.
    pub mapped: Option<u64>,
    /// Access that it asks for: R, W, X.
    pub access: String,
}

/// How much memory is needed.
#[derive(Serialize, Debug)]
pub struct MemoryInfo {
    /// Who builds the domain.
    pub builder: &'static str,
    /// The smallest domain, bytes.
    pub need: Option<u64>,
    /// Why none is large enough.
    pub refused: Option<String>,
}

impl KernelInfo {
    /// What `stage0` makes of the kernel that was `reading`, in the pack of `manifest`.
    pub fn of(reading: &Reading, identity: Identity, stage0: &[u8], manifest: &Manifest<'_>) -> Self {
        let kernel = &reading.kernel;
        Self {
            class: match kernel.class {
                Class::Elf32 => "ELF32",
                Class::Elf64 => "ELF64",
            },
            identity,
            elf_entry: kernel.elf_entry,
            notes: NotesInfo::of(&kernel.xen),
            protocols: ENTERED.map(|protocol| ProtocolInfo::of(reading, protocol, stage0, manifest)).into(),
        }
    }
}

impl ProtocolInfo {
    fn of(reading: &Reading, protocol: Protocol, stage0: &[u8], manifest: &Manifest<'_>) -> Self {
        let entered_by_stage0 = reading.enters(protocol);
        let (plan, refused) = match reading.plan(protocol) {
            Ok(plan) => (Some(plan), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let builders = [("Xen", Builder::Xen), ("QEMU", Builder::Qemu)];
        let planned = plan.iter().filter(|_| entered_by_stage0);
        let memory = planned.flat_map(|plan| {
            builders
                .map(|(name, builder)| MemoryInfo::of(name, Surroundings::new(stage0, manifest, builder).need(plan)))
        });
        let memory = memory.collect();
        Self {
            protocol: protocol.name(),
            entered_by_stage0,
            otherwise: match protocol {
                _ if entered_by_stage0 => "",
                Protocol::Pvh => "only with --protocol pvh",
                Protocol::Pv => "only with --protocol pv",
                Protocol::Direct => "only with --protocol direct",
            },
            plan: plan.map(|plan| PlanInfo::of(reading, &plan)),
            refused,
            memory,
        }
    }
}

impl MemoryInfo {
    fn of(builder: &'static str, need: Result<u64, NoPlace>) -> Self {
        match need {
            Ok(need) => Self { builder, need: Some(need), refused: None },
            Err(error) => Self { builder, need: None, refused: Some(error.to_string()) },
        }
    }
}

impl PlanInfo {
    fn of(reading: &Reading, plan: &Plan) -> Self {
        let (entry, entry_is_virtual) = match plan.entry {
            Entry::Physical(entry) => (entry.0, false),
            Entry::Virtual(entry) => (entry.0, true),
        };
        let segments = plan.placements.iter().map(|placement| SegmentInfo {
            index: placement.index,
            file_offset: placement.file.offset(),
            file_len: placement.file.len(),
            memory: placement.memory.into(),
            virt: placement.virt.0,
            mapped: match plan.protocol {
                Protocol::Pvh => None,
                // Modulo 2^64, as a plan takes the offset off.
                Protocol::Pv => plan.pv.as_ref().map(|pv| pv.virt_base.0.wrapping_add(placement.memory.start().0)),
                Protocol::Direct => Some(placement.virt.0),
            },
            access: placement.access.to_string(),
        });
        let mut explanation = explain(&reading.kernel, &reading.decisions, plan);
        explanation.warnings.extend(reading.warning(plan.protocol));
        Self {
            extent: plan.extent.into(),
            entry,
            entry_is_virtual,
            relocation: match (plan.relocation, plan.pie) {
                (Some(relocation), _) => {
                    Some(RelocationInfo { align: relocation.align, min: relocation.min.0, max: relocation.max.0 })
                }
                (None, Some(pie)) => Some(RelocationInfo { align: pie.align, min: pie.align, max: u32::MAX.into() }),
                (None, None) => None,
            },
            segments: segments.collect(),
            explanation,
        }
    }
}

impl From<PhysRange> for RangeInfo {
    fn from(range: PhysRange) -> Self {
        Self { start: range.start().0, end: range.end().0 }
    }
}

impl NotesInfo {
    fn of(xen: &Metadata) -> Self {
        let source = match xen.source {
            Source::None => "none",
            Source::Segments => "notes in program headers",
            Source::Sections => "notes in sections",
            Source::GuestString => "section __xen_guest",
        };
        let mut values = Vec::new();
        let mut add = |name, value: Option<String>| values.extend(value.map(|value| NoteInfo { name, value }));
        let text = |name: &str| (!name.is_empty()).then(|| format!("{name:?}"));
        let hex = |number: Option<u64>| number.map(|number| format!("{number:#x}"));
        let flag = |set: bool| set.then(|| "yes".to_owned());
        let features = |bits: u32| (bits != 0).then(|| format!("{bits:#x}"));
        add("LOADER", text(&xen.loader));
        add("GUEST_OS", text(&xen.guest_os));
        add("GUEST_VERSION", text(&xen.guest_version));
        add("XEN_VERSION", text(&xen.xen_version));
        add("VIRT_BASE", hex(xen.virt_base.map(|virt| virt.0)));
        add("ENTRY", hex(xen.virt_entry.map(|virt| virt.0)));
        add("PADDR_OFFSET", hex(xen.paddr_offset));
        add("HYPERCALL_PAGE", hex(xen.hypercall_page.map(|virt| virt.0)));
        add("INIT_P2M", hex(xen.init_p2m.map(|virt| virt.0)));
        add("HV_START_LOW", hex(xen.hv_start_low.map(|virt| virt.0)));
        add("MOD_START_PFN", flag(xen.mod_start_pfn));
        add("PHYS32_ENTRY", hex(xen.phys32_entry));
        add("PHYS32_RELOC", xen.phys32_reloc.map(|_| "yes".to_owned()));
        add("supported features", features(xen.features.supported));
        add("required features", features(xen.features.required));
        add("BSD_SYMTAB", flag(xen.bsd_symtab));
        add("SUSPEND_CANCEL", flag(xen.suspend_cancel));
        Self { source, values }
    }
}
