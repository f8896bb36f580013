//! Kernels drawn at random: plausible ones, odd ones, and broken ones.

use fastrand::Rng;
use shared::kernel::{Class, notes::kind};

use super::{Description, Load, NOTE_NAMES, Notes, Place, add_note};

/// The virtual bases that kernels of old and new have, 64-bit and 32-bit.
const BASES: [[u64; 3]; 2] =
    [[0xffff_ffff_8000_0000, 0xffff_8000_0000_0000, 0x4000_0000], [0xc000_0000, 0xd010_0000, 0x4000_0000]];
/// How often, of 100, a file is damaged after it was written.
const DAMAGED: u8 = 20;

/// A kernel file.
pub fn kernel(rng: &mut Rng) -> Vec<u8> {
    let mut elf = description(rng).elf();
    if rng.u8(..100) < DAMAGED {
        damage(rng, &mut elf);
    }
    elf
}

/// True in `percent` of 100 cases.
fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

/// One of a few.
fn one<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

/// A description of a kernel.
pub fn description(rng: &mut Rng) -> Description {
    let class = if chance(rng, 65) { Class::Elf64 } else { Class::Elf32 };
    let machine = match class {
        _ if chance(rng, 3) => one(rng, &[40, 183, 0]),
        Class::Elf64 => 62,
        Class::Elf32 => one(rng, &[3, 3, 62]),
    };
    let base = if chance(rng, 15) { 0 } else { one(rng, &BASES[usize::from(class == Class::Elf32)]) };
    // What is in p_paddr: physical addresses, or virtual ones.
    let offset = if chance(rng, 40) { base } else { 0 };
    let start = one(rng, &[0, 0x1000, 0x10_0000, 0x100_0000, 0x2_0010]);
    let loads = loads(rng, start + offset, start + base);
    let low = loads.iter().map(|load| load.paddr).min().unwrap_or(0).wrapping_sub(offset);
    let addresses = Addresses { base, offset, low };
    let entry = if chance(rng, 70) { addresses.virt(rng) } else { low + rng.u64(..0x400) };
    let symbols = chance(rng, 40).then(|| (rng.u64(..0x200), rng.u64(..0x100)));
    let kind = one(rng, &[2, 2, 2, 3, 1]);
    let mut description = Description { class, machine, kind, entry, loads, symbols, ..Description::default() };
    if chance(rng, 82) {
        description.notes = groups(rng, &addresses);
    }
    if chance(rng, 35) {
        description.guest = Some(guest(rng, &addresses));
    }
    description
}

/// What addresses a kernel's notes are about.
struct Addresses {
    base: u64,
    offset: u64,
    low: u64,
}

impl Addresses {
    /// A virtual address in or near the kernel.
    fn virt(&self, rng: &mut Rng) -> u64 {
        self.base.wrapping_add(self.low).wrapping_add(rng.u64(..0x400))
    }
}

fn loads(rng: &mut Rng, paddr: u64, vaddr: u64) -> Vec<Load> {
    let mut loads: Vec<Load> = Vec::new();
    let mut at = 0;
    for _ in 0..rng.usize(1..=4) {
        let file_len = rng.u64(..0x600);
        let memory_len = file_len + if chance(rng, 50) { rng.u64(..0x2000) } else { 0 };
        let flags = if chance(rng, 4) { 0 } else { rng.u32(1..8) };
        let own_vaddr = if chance(rng, 85) { vaddr + at } else { rng.u64(..) };
        let align = one(rng, &[0, 0x1000, 0x20_0000]);
        loads.push(Load { paddr: paddr + at, vaddr: own_vaddr, file_len, memory_len, flags, offset: None, align });
        at = match rng.u8(..10) {
            0 => rng.u64(..=at + memory_len),
            1 => at + memory_len + rng.u64(..0x4_0000),
            2 => at + memory_len,
            _ => (at + memory_len).next_multiple_of(0x1000),
        };
    }
    if chance(rng, 30) {
        rng.shuffle(&mut loads);
    }
    if let [first, .., last] = &mut loads[..]
        && chance(rng, 10)
    {
        // Two segments of the same bytes of the file.
        let offset = Some(0x400);
        (first.offset, last.offset) = (offset, offset);
    }
    loads
}

fn groups(rng: &mut Rng, addresses: &Addresses) -> Vec<Notes> {
    let count = if chance(rng, 80) { 1 } else { 2 };
    let group = |rng: &mut Rng| {
        let place = one(rng, &[Place::Segment, Place::Segment, Place::Segment, Place::Section, Place::SegmentAtZero]);
        let cut = if chance(rng, 3) { rng.u64(..24) } else { 0 };
        Notes { place, bytes: notes(rng, addresses), cut }
    };
    (0..count).map(|_| group(rng)).collect()
}

/// A number as a description of some width.
fn number(rng: &mut Rng, value: u64) -> Vec<u8> {
    let fits = u32::try_from(value).is_ok();
    let width = match rng.u8(..60) {
        0 => rng.usize(..=9),
        1 => 4,
        2..20 if fits => 4,
        _ => 8,
    };
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.resize(width, 0xee);
    bytes
}

/// One of a few numbers, as a description of some width.
fn one_number(rng: &mut Rng, of: &[u64]) -> Vec<u8> {
    let value = one(rng, of);
    number(rng, value)
}

fn notes(rng: &mut Rng, addresses: &Addresses) -> Vec<u8> {
    let mut bytes = Vec::new();
    if chance(rng, 30) {
        add_note(&mut bytes, b"GNU\0", 3, &[0xab; 20]);
    }
    if chance(rng, 4) {
        return bytes;
    }
    let mut kinds: Vec<u32> = [kind::LOADER, kind::XEN_VERSION, kind::VIRT_BASE, kind::ENTRY].to_vec();
    if addresses.offset != 0 {
        kinds.push(kind::PADDR_OFFSET);
    }
    if chance(rng, 50) {
        kinds.push(kind::PHYS32_ENTRY);
    }
    kinds.retain(|_| chance(rng, 95));
    kinds.extend(NOTE_NAMES.iter().map(|known| known.1).filter(|_| chance(rng, 12)));
    rng.shuffle(&mut kinds);
    for kind in kinds {
        let desc = desc(rng, kind, addresses);
        let name: &[u8] = if chance(rng, 3) { b"Linux\0" } else { b"Xen\0" };
        add_note(&mut bytes, name, kind, &desc);
    }
    if chance(rng, 5) {
        add_note(&mut bytes, b"Xen\0", rng.u32(20..200), b"unknown");
    }
    bytes
}

/// What a note of `kind` says.
fn desc(rng: &mut Rng, kind: u32, addresses: &Addresses) -> Vec<u8> {
    let text = |rng: &mut Rng, texts: &[&str]| {
        let mut bytes = one(rng, texts).as_bytes().to_vec();
        // A text without its NUL must have padding, or libelf reads into the next note.
        if bytes.len().is_multiple_of(4) || chance(rng, 80) {
            bytes.push(0);
        }
        bytes
    };
    match kind {
        kind::LOADER => text(rng, &["generic", "generic", "generic", "generic", "generic boot", "own", ""]),
        kind::GUEST_OS => text(rng, &["linux", "Linux", "NetBSD", "linux-like of a long name", "\x01\x7f"]),
        kind::GUEST_VERSION => text(rng, &["2.6", "a version of more than fifteen"]),
        kind::XEN_VERSION => text(rng, &["xen-3.0", "xen-3.0", "xen-3.0", "xen-3.0-x86_64", "xen-2.0"]),
        kind::PAE_MODE => text(rng, &["yes", "no", "yes,bimodal", "bimodal"]),
        kind::BSD_SYMTAB => text(rng, &["yes", "yes", "no"]),
        kind::FEATURES => features(rng),
        kind::SUPPORTED_FEATURES => one_number(rng, &[0x8801, 0x801, 0]),
        kind::VIRT_BASE if chance(rng, 95) => number(rng, addresses.base),
        kind::ENTRY if chance(rng, 95) => {
            let entry = addresses.virt(rng);
            number(rng, entry)
        }
        kind::PADDR_OFFSET if chance(rng, 95) => number(rng, addresses.offset),
        kind::PHYS32_ENTRY if chance(rng, 90) => {
            let entry = addresses.low.wrapping_add(rng.u64(..0x400));
            number(rng, entry)
        }
        kind::INIT_P2M => {
            one_number(rng, &[0x80_0000_0000, 0x80_0000_0000, 0x80_0000_1000, addresses.base, 0x10_0000, 0])
        }
        kind::MOD_START_PFN | kind::SUSPEND_CANCEL => one_number(rng, &[0, 1, 0x100]),
        kind::HYPERCALL_PAGE | kind::HV_START_LOW => number(rng, addresses.base + 0x1000),
        _ => one_number(rng, &[0, 1, u64::MAX, 0xffff_ffff, addresses.base + 0x1000]),
    }
}

fn features(rng: &mut Rng) -> Vec<u8> {
    let names = [
        "writable_page_tables",
        "!writable_page_tables",
        "pae_pgdir_above_4gb",
        "auto_translated_physmap",
        "hvm_callback_vector",
        "!dom0",
        "not_a_feature",
        "",
    ];
    let mut list: Vec<&str> = (0..rng.usize(..4)).map(|_| one(rng, &names)).collect();
    if chance(rng, 4) {
        list.push("!not_a_feature");
    }
    let mut bytes = list.join("|").into_bytes();
    if bytes.len().is_multiple_of(4) || chance(rng, 50) {
        bytes.push(0);
    }
    bytes
}

/// The text of a `__xen_guest` section, with its NUL.
fn guest(rng: &mut Rng, addresses: &Addresses) -> Vec<u8> {
    let base = text_number(rng, addresses.base);
    let offset = text_number(rng, addresses.offset);
    let entry = addresses.virt(rng);
    let entry = text_number(rng, entry);
    let mut parts = vec![
        one(rng, &["LOADER=generic", "LOADER=generic", "LOADER=own,LOADER=generic", "LOADER=own"]).to_owned(),
        one(rng, &["XEN_VER=xen-3.0", "XEN_VER=xen-3.0", "XEN_VER=xen-3.0-x86_32p", "XEN_VER=3.0"]).to_owned(),
        format!("VIRT_BASE={base}"),
        format!("VIRT_ENTRY={entry}"),
        format!("ELF_PADDR_OFFSET={offset}"),
        "GUEST_OS=linux".to_owned(),
        "GUEST_VER=2.6.16.13-xen-of-a-long-name".to_owned(),
        format!("HYPERCALL_PAGE={}", text_number(rng, 2)),
        one(rng, &["PAE=yes", "PAE=yes[extended-cr3]", "PAE=no"]).to_owned(),
        format!("FEATURES={}", String::from_utf8_lossy(&features(rng)).trim_end_matches('\0')),
        "BSD_SYMTAB".to_owned(),
        "a_name_that_is_longer_than_thirty_one_letters=1".to_owned(),
        format!("OTHER={}", "x".repeat(rng.usize(100..150))),
        String::new(),
    ];
    parts.retain(|_| chance(rng, 80));
    if chance(rng, 50) {
        rng.shuffle(&mut parts);
    }
    parts.join(",").bytes().chain([0]).collect()
}

/// A number in one of the ways that `strtoull` takes.
fn text_number(rng: &mut Rng, value: u64) -> String {
    match rng.u8(..6) {
        0 => format!("{value}"),
        1 => format!("0{value:o}"),
        2 => format!("0X{value:X}"),
        3 if chance(rng, 20) => format!("{value:x}"),
        _ => format!("0x{value:x}"),
    }
}

/// Changes some bytes: of the headers at the start, or anywhere.
fn damage(rng: &mut Rng, elf: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..=3) {
        let within = if chance(rng, 60) { elf.len().min(0x180) } else { elf.len() };
        let at = rng.usize(..within);
        elf[at] = if chance(rng, 50) { one(rng, &[0, 1, 0xff, 4, 0x38]) } else { rng.u8(..) };
    }
    if chance(rng, 10) {
        let len = rng.usize(..elf.len());
        elf.truncate(len);
    }
}
