//! One kernel for each difference from libelf that is there on purpose.

use shared::kernel::{Class, notes::kind};

use super::{Description, Load, Notes, Place, add_note};

/// A kernel that libelf takes for a PVH domain, and we do not, or not alike.
#[derive(Debug, Clone)]
pub struct Exceptional {
    /// The name of the difference.
    pub name: &'static str,
    /// The file.
    pub elf: Vec<u8>,
    /// Whether it is to be read for a PVH domain; else for a PV one.
    pub pvh: bool,
}

/// One kernel for each difference.
pub fn all() -> Vec<Exceptional> {
    [numbers(), headers(), parts(), placing()].concat()
}

fn load(paddr: u64, file_len: u64, memory_len: u64) -> Load {
    Load { paddr, vaddr: paddr, file_len, memory_len, flags: 5, offset: None, align: 0x1000 }
}

/// Notes that both protocols are content with, for a kernel at 0x1000.
fn words() -> Vec<u8> {
    let mut bytes = Vec::new();
    add_note(&mut bytes, b"Xen\0", kind::LOADER, b"generic\0");
    add_note(&mut bytes, b"Xen\0", kind::XEN_VERSION, b"xen-3.0\0");
    add_note(&mut bytes, b"Xen\0", kind::ENTRY, &0x1000u32.to_le_bytes());
    add_note(&mut bytes, b"Xen\0", kind::PHYS32_ENTRY, &0x1000u32.to_le_bytes());
    bytes
}

fn plain() -> Description {
    Description { loads: vec![load(0x1000, 0x800, 0x1000)], notes: vec![group(words())], ..Description::default() }
}

fn group(bytes: Vec<u8>) -> Notes {
    Notes { place: Place::Segment, bytes, cut: 0 }
}

/// The plain kernel with one more note.
fn with_note(kind: u32, desc: &[u8]) -> Description {
    let mut bytes = Vec::new();
    add_note(&mut bytes, b"Xen\0", kind, desc);
    Description { notes: vec![group([words(), bytes].concat())], ..plain() }
}

fn case(name: &'static str, elf: Vec<u8>) -> Exceptional {
    Exceptional { name, elf, pvh: true }
}

/// `elf` with other bytes at one place.
fn patched(mut elf: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    elf[at..at + bytes.len()].copy_from_slice(bytes);
    elf
}

/// What notes say.
fn numbers() -> Vec<Exceptional> {
    let mut texts = Vec::new();
    add_note(&mut texts, b"Xen\0", kind::GUEST_OS, b"no NUL..");
    let text = Description { notes: vec![group([texts, words()].concat())], ..plain() };
    let mut cut = words();
    cut.extend([4u32, 0x100_0000, 99].into_iter().flat_map(u32::to_le_bytes));
    cut.extend(b"Xen\0");
    let long = Description { notes: vec![group([words(), vec![0; 0x1_0000]].concat())], ..plain() };
    vec![
        case(
            "PVH: PADDR_OFFSET without VIRT_BASE, which libelf ignores only since 2023",
            with_note(kind::PADDR_OFFSET, &[0; 4]).elf(),
        ),
        case(
            "PHYS32_ENTRY of more than 32 bits, which libelf cuts",
            with_note(kind::PHYS32_ENTRY, &0x1_0000_1000u64.to_le_bytes()).elf(),
        ),
        case("text without a NUL, which libelf reads on", text.elf()),
        case("Xen note that runs past the end of the file", Description { notes: vec![group(cut)], ..plain() }.elf()),
        case("more notes than the bound", long.elf()),
    ]
}

/// The headers.
fn headers() -> Vec<Exceptional> {
    let elf32 = Description { class: Class::Elf32, machine: 3, ..plain() };
    let one = Description { loads: vec![load(0x1000, 0x10, 0x10); 65], ..plain() };
    // The only program header says what to load; the notes are in a section.
    let alone = Description { notes: vec![Notes { place: Place::Section, bytes: words(), cut: 0 }], ..plain() };
    vec![
        case("unknown class, or not little-endian", patched(elf32.elf(), 4, &[3])),
        case("another machine than i386 or x86-64", Description { machine: 183, ..plain() }.elf()),
        case("program headers of another size than the class has", patched(alone.elf(), 54, &[60])),
        case("more than 64 program headers", one.elf()),
        case("tables of headers that wrap around 64 bits", patched(plain().elf(), 40, &(-64i64).to_le_bytes())),
    ]
}

/// Parts of the file.
fn parts() -> Vec<Exceptional> {
    // The second program header is that of the notes, a third that of others.
    let two = Description { notes: vec![group(words()), group(words())], ..plain() };
    let far = 0x100_0000u64.to_le_bytes();
    let guest = |text: String| Description { notes: vec![], guest: Some(text.into_bytes()), ..plain() };
    let string = "LOADER=generic,XEN_VER=xen-3.0,VIRT_ENTRY=0x1000,";
    let many = Description { sections: vec!["x".to_owned(); 1100], ..guest(format!("{string}\0")) };
    let symbols = Description { symbols: Some((0x18, 0x10)), ..with_note(kind::BSD_SYMTAB, b"yes\0") }.elf();
    let table = u64::from_le_bytes(symbols[40..48].try_into().unwrap_or_default()) as usize;
    let pv = |name, elf| Exceptional { name, elf, pvh: false };
    vec![
        case("segment's bytes not in the file", patched(plain().elf(), 64 + 8, &far)),
        case("notes not in the file", patched(two.elf(), 64 + 2 * 56 + 8, &far)),
        pv("__xen_guest not in the file, or longer than the bound", guest(format!("{string:x<5000}\0")).elf()),
        pv("more sections or section names than the bound", many.elf()),
        case("symbols not in the file", patched(symbols, table + 64 + 24, &far)),
    ]
}

/// Where segments go.
fn placing() -> Vec<Exceptional> {
    let with = |loads: Vec<Load>| Description { loads, ..plain() }.elf();
    let no_room = Description {
        class: Class::Elf32,
        loads: vec![load(0x1000, 0x10, 0x1000 - 240)],
        symbols: Some((0x10, 0x10)),
        ..with_note(kind::BSD_SYMTAB, b"yes\0")
    };
    vec![
        case("segment with more bytes in the file than in memory", with(vec![load(0x1000, 0x800, 0x700)])),
        case(
            "segment that wraps around 64 bits",
            with(vec![load(0x1000, 0x800, 0x1000), load(0u64.wrapping_sub(0x100), 0x100, 0x2000)]),
        ),
        case(
            "memory beyond 4 GiB from the kernel's first byte, or below address 0",
            with(vec![load(0x1000, 0x800, 0x1000), load(0x1_8000_0000, 0x100, 0x2000)]),
        ),
        case("segments of more than twice the kernel's memory", with(vec![load(0x1000, 0x800, 0x1000); 3])),
        case("symbols of an ELF32 that libelf has too little room for", no_room.elf()),
    ]
}
