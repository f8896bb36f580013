//! What is no kernel: refused, unless a person wants it entered by the direct protocol.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::fs;

use common::place::Place;
use pack::foreign::Foreign;
use pack::reading::{Reading, Refusal};
use shared::kernel::{Decisions, PlanError, Protocol};

const ET_REL: u16 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const ET_CORE: u16 = 4;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
const BASE: u64 = 0x20_0000;

/// An ELF file that is entered where its first bytes are.
#[derive(Clone)]
struct File {
    is_64: bool,
    kind: u16,
    os_abi: u8,
    /// Type and bytes of program headers beside the one that is loaded.
    parts: Vec<(u32, Vec<u8>)>,
    /// Bytes that are loaded.
    text: Vec<u8>,
    /// `p_align` of each program header.
    align: u64,
}

impl File {
    fn new(is_64: bool) -> Self {
        Self { is_64, kind: ET_EXEC, os_abi: 0, parts: Vec::new(), text: vec![0xf4; 64], align: 4 }
    }

    fn with(mut self, kind: u32, bytes: &[u8]) -> Self {
        self.parts.push((kind, bytes.to_vec()));
        self
    }

    fn word(&self, value: u64) -> Vec<u8> {
        value.to_le_bytes()[..if self.is_64 { 8 } else { 4 }].to_vec()
    }

    fn dynamic(self, tags: &[u64]) -> Self {
        let bytes: Vec<u8> = tags.iter().chain(&[0]).flat_map(|tag| [self.word(*tag), self.word(1)].concat()).collect();
        self.with(PT_DYNAMIC, &bytes)
    }

    fn note(self, name: &str, kind: u32, desc: &[u8]) -> Self {
        let mut bytes: Vec<u8> =
            [name.len() as u32 + 1, desc.len() as u32, kind].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(desc);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.with(PT_NOTE, &bytes)
    }

    fn abi_tag(self, system: u32) -> Self {
        let desc: Vec<u8> = [system, 3, 2, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        self.note("GNU", 1, &desc)
    }

    /// Whether the text begins at this offset of the file, for headers that are looked for there.
    fn text_at(&self) -> usize {
        let (header, program) = if self.is_64 { (64, 56) } else { (52, 32) };
        let parts: usize = self.parts.iter().map(|(_, bytes)| bytes.len().next_multiple_of(8)).sum();
        (header + program * (self.parts.len() + 1)).next_multiple_of(16) + parts
    }

    fn elf(&self) -> Vec<u8> {
        let text_at = self.text_at();
        let mut file = b"\x7fELF".to_vec();
        file.extend([1 + u8::from(self.is_64), 1, 1, self.os_abi, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(self.kind.to_le_bytes());
        file.extend(if self.is_64 { [62u16] } else { [3] }.iter().flat_map(|half| half.to_le_bytes()));
        file.extend(1u32.to_le_bytes());
        let (header, program) = if self.is_64 { (64u16, 56u16) } else { (52, 32) };
        [BASE, header.into(), 0].iter().for_each(|value| file.extend(self.word(*value)));
        file.extend([0; 4]);
        let halves = [header, program, self.parts.len() as u16 + 1, 0, 0, 0];
        file.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
        let mut at = text_at - self.parts.iter().map(|(_, bytes)| bytes.len().next_multiple_of(8)).sum::<usize>();
        let start = at;
        for (kind, bytes) in &self.parts {
            self.program_header(&mut file, *kind, at as u64, 0, bytes.len() as u64);
            at += bytes.len().next_multiple_of(8);
        }
        self.program_header(&mut file, PT_LOAD, text_at as u64, BASE, self.text.len() as u64);
        file.resize(start, 0);
        for (_, bytes) in &self.parts {
            file.extend(bytes);
            file.resize(file.len().next_multiple_of(8), 0);
        }
        file.resize(text_at, 0);
        file.extend(&self.text);
        file
    }

    fn program_header(&self, file: &mut Vec<u8>, kind: u32, offset: u64, at: u64, len: u64) {
        let (flags, words) = (7u32.to_le_bytes(), [offset, at, at, len, len].map(|value| self.word(value)).concat());
        file.extend(kind.to_le_bytes());
        if self.is_64 {
            file.extend(flags);
            file.extend(words);
        } else {
            file.extend(words);
            file.extend(flags);
        }
        file.extend(self.word(self.align));
    }
}

fn read(file: &File, protocol: Option<Protocol>) -> Result<Reading, Refusal> {
    Reading::of(&file.elf(), &Decisions { protocol, ..Decisions::default() })
}

/// Both classes, each changed in `count` ways.
fn files(count: usize, change: impl Fn(File, usize) -> File) -> Vec<(usize, File)> {
    let each = (0..count).flat_map(|n| [(n, File::new(false)), (n, File::new(true))]);
    each.map(|(n, file)| (n, change(file, n))).collect()
}

/// Each is refused as what it is, and taken with a warning where a person decides so.
fn refused(files: Vec<(usize, File)>, is_right: impl Fn(usize, &Foreign) -> bool) {
    assert!(files.len() >= 10);
    for (n, file) in files {
        let Err(Refusal::Foreign { what }) = read(&file, None) else { panic!("{n}: not refused") };
        assert!(is_right(n, &what), "{n}: {what}");
        let reading = read(&file, Some(Protocol::Direct)).unwrap();
        assert_eq!(reading.foreign, Some(what.clone()));
        assert!(reading.warning(Protocol::Direct).unwrap().starts_with(&what.to_string()));
        // What says something to Xen is a kernel, whatever else it says.
        let kernel = file.note("Xen", 18, &(BASE as u32).to_le_bytes());
        if !matches!(kernel.kind, ET_REL | ET_CORE) {
            assert_eq!(read(&kernel, None).unwrap().foreign, None, "{n}");
        }
    }
}

/// Each is taken for the direct protocol, without a word.
fn taken(files: Vec<(usize, File)>) {
    assert!(files.len() >= 10);
    for (n, file) in files {
        let reading = read(&file, None).unwrap_or_else(|refusal| panic!("{n}: {refusal}"));
        assert_eq!((reading.decisions.protocol, &reading.foreign), (Some(Protocol::Direct), &None), "{n}");
        assert_eq!(reading.warning(Protocol::Direct), None);
    }
}

#[test]
fn programs_with_an_interpreter() {
    let names = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "/libexec/ld-elf.so.1", "ld\x1b[2J\n", ""];
    let program = |file: File, n: usize| {
        let interpreter = [names[n].as_bytes(), b"\0"].concat();
        let file = File { kind: [ET_EXEC, ET_DYN][n % 2], ..file.with(PT_INTERP, &interpreter) };
        if n.is_multiple_of(2) { file.dynamic(&[1, 14]) } else { file }
    };
    refused(files(names.len(), program), |n, what| {
        let shown = names[n].escape_default().to_string().replace("\\u{1b}", "\\x1b");
        *what == Foreign::Program { interpreter: shown }
    });
}

#[test]
fn libraries_and_what_needs_them() {
    let tags: [&[u64]; 5] = [&[1], &[5, 6, 1], &[1, 14], &[14, 1], &[4, 1, 1]];
    refused(files(tags.len(), |file, n| File { kind: ET_DYN, ..file.dynamic(tags[n]) }), |_, what| {
        *what == Foreign::Needs
    });
    let tags: [&[u64]; 5] = [&[14], &[5, 14], &[14, 5], &[4, 5, 6, 14], &[14, 14]];
    refused(files(tags.len(), |file, n| File { kind: ET_DYN, ..file.dynamic(tags[n]) }), |_, what| {
        *what == Foreign::Library
    });
}

/// Linked statically, as a static PIE too, for a system that marks its programs.
#[test]
fn programs_of_a_system() {
    let systems = ["Linux", "the Hurd", "Solaris", "FreeBSD", "NetBSD", "Syllable", "NaCl", "another system"];
    let tagged = |file: File, n: usize| {
        let file = File { kind: [ET_EXEC, ET_DYN][n % 2], ..file.note("GNU", 3, &[7; 20]) };
        file.abi_tag(n as u32)
    };
    let by_tag = |name| move |what: &Foreign| *what == Foreign::System { system: name, tag: "its ABI tag" };
    refused(files(systems.len(), tagged), |n, what| by_tag(systems[n])(what));
    let systems = ["FreeBSD", "NetBSD", "OpenBSD", "DragonFly", "Android"];
    refused(files(systems.len(), |file, n| file.note(systems[n], 1, &[1, 2, 3, 4])), |n, what| {
        by_tag(systems[n])(what)
    });
    let systems =
        [(2, "NetBSD"), (4, "the Hurd"), (6, "Solaris"), (9, "FreeBSD"), (12, "OpenBSD"), (17, "another system")];
    refused(files(systems.len(), |file, n| File { os_abi: systems[n].0, ..file }), |n, what| {
        *what == Foreign::System { system: systems[n].1, tag: "its EI_OSABI" }
    });
}

/// Whatever the alignment that its header says: 4 and 8 pad the notes, all others say nothing.
#[test]
fn an_abi_tag_counts_in_notes_of_any_alignment() {
    let aligns = [0, 1, 2, 3, 4, 5, 16, 64, 0x1000, 0x1001, 1 << 31];
    // The note in front of it ends at no multiple of 8, nor does the tag's name.
    let tagged = |file: File, n: usize| {
        let mut file = file.note("mine", 3, &[7; 4]).abi_tag(0);
        file.parts = vec![(PT_NOTE, file.parts.iter().flat_map(|(_, bytes)| bytes.clone()).collect())];
        File { align: aligns[n], ..file }
    };
    refused(files(aligns.len(), tagged), |_, what| *what == Foreign::System { system: "Linux", tag: "its ABI tag" });
}

#[test]
fn what_is_not_linked_or_was_running() {
    let padded = |file: File, n: usize| File { text: vec![0xf4; 64 + 7 * n], ..file };
    refused(files(5, |file, n| File { kind: ET_CORE, ..padded(file, n) }), |_, what| *what == Foreign::Core);
    refused(files(5, |file, n| File { kind: ET_REL, ..padded(file, n) }), |_, what| *what == Foreign::Object);
    // Object files have nothing to load, and core files more than is taken.
    for (kind, count) in [(ET_REL, 0u16), (ET_CORE, 2000)] {
        for is_64 in [false, true] {
            for protocol in [None, Some(Protocol::Direct)] {
                let mut elf = File { kind, ..File::new(is_64) }.elf();
                elf[if is_64 { 56 } else { 44 }..][..2].copy_from_slice(&count.to_le_bytes());
                let refusal = Reading::of(&elf, &Decisions { protocol, ..Decisions::default() }).unwrap_err();
                assert!(matches!(refusal, Refusal::Foreign { .. }), "{refusal}");
            }
        }
    }
}

/// A Multiboot header of `words` words at file offset `at`.
fn multiboot(mut file: File, at: usize, magic: u32, words: usize, sum: u32) -> File {
    let mut header = vec![magic, 3];
    if words == 4 {
        header.push(24);
    }
    header.push(header.iter().fold(sum, |sum, word| sum.wrapping_sub(*word)));
    let at = at - file.text_at();
    file.text.resize(file.text.len().max(at + 64), 0xf4);
    let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    file.text[at..at + bytes.len()].copy_from_slice(&bytes);
    file
}

#[test]
fn kernels_for_multiboot() {
    let first = [0x100, 0x104, 0x1000, 0x1ffc - 8, 0x800];
    refused(files(first.len(), |file, n| multiboot(file, first[n], 0x1bad_b002, 3, 0)), |n, what| {
        *what == Foreign::Multiboot { version: 1, offset: first[n] }
    });
    let second = [0x100, 0x108, 0x1000, 0x7ff0, 0x4000];
    refused(files(second.len(), |file, n| multiboot(file, second[n], 0xe852_50d6, 4, 0)), |n, what| {
        *what == Foreign::Multiboot { version: 2, offset: second[n] }
    });
    // No header: out of bounds, at a place that is not aligned, or with another sum.
    let none: [(usize, u32, usize, u32); 8] = [
        (0x1ff8, 0x1bad_b002, 3, 0),
        (0x2000, 0x1bad_b002, 3, 0),
        (0x102, 0x1bad_b002, 3, 0),
        (0x100, 0x1bad_b002, 3, 1),
        (0x7ff8, 0xe852_50d6, 4, 0),
        (0x8000, 0xe852_50d6, 4, 0),
        (0x104, 0xe852_50d6, 4, 0),
        (0x100, 0xe852_50d6, 4, 0x8000_0000),
    ];
    taken(files(none.len(), |file, n| multiboot(file, none[n].0, none[n].1, none[n].2, none[n].3)));
}

/// Kernels that say nothing: of Rust, C and Go, static PIEs among them.
#[test]
fn kernels_are_taken() {
    taken(files(11, |file, n| {
        let kind = [ET_EXEC, ET_DYN][n / 2 % 2];
        let file = File { kind, text: vec![0xf4; 64 + n], ..file };
        match n {
            0 => file,
            1 => file.dynamic(&[0x6fff_fffb, 5, 6, 10, 21]),
            2 => file.note("GNU", 3, &[1; 20]),
            3 => file.note("Go", 4, b"a build id of Go's"),
            4 => file.note("GNU", 5, &[0; 16]),
            5 => file.note("GNU", 1, &[0; 8]),
            // The table ends before what looks like DT_NEEDED.
            10 => file.dynamic(&[5, 0, 1, 14]),
            6 => file.note("mine", 1, &[0; 16]),
            7 => File { os_abi: 3, ..file },
            8 => File { os_abi: 255, ..file },
            _ => File { text: b"Linux version %s on Linux version numbers".to_vec(), ..file },
        }
    }));
}

/// A Linux that has no note and no section: its banner tells.
#[test]
fn a_linux_without_its_notes_is_refused_as_others_are() {
    let releases = ["2.6.32", "3.2.0-4-amd64", "4.14.55", "4.18.0-rc1", "5.10.0"];
    let linux = |file: File, n: usize| {
        let mut text = vec![0xf4; 100 + 33 * n];
        text.extend(b"Linux version ");
        text.extend(releases[n].bytes());
        text.extend(b" (builder@host) (gcc version 7.3.0) #1 SMP Mon Jan 1 00:00:00 UTC 2018\n\0");
        File { text, ..file }
    };
    for (n, file) in files(releases.len(), linux) {
        let refusal = read(&file, None).unwrap_err();
        assert!(matches!(refusal, Refusal::Plan { why: PlanError::LinuxWithoutPvh }), "{refusal}");
        let warning = read(&file, Some(Protocol::Direct)).unwrap().warning(Protocol::Direct).unwrap();
        assert!(warning.starts_with(&format!("Linux {} without a Xen entry: ", releases[n])), "{warning}");
    }
}

#[test]
fn the_program_says_what_it_is_and_what_to_do() {
    let place = Place::new();
    place.file("busybox", &File::new(true).abi_tag(0).elf());
    assert_eq!(
        place.refuses(&["busybox", "-o", "image"]),
        "busybox: not a kernel for Xen: a program of Linux (its ABI tag): name the kernel's own file; if this is a kernel, \
         pack it with --protocol direct"
    );
    let warning =
        "a program of Linux (its ABI tag): entered by the direct protocol all the same, and by nothing that it expects";
    let line = format!("\nwarning    {warning}\n");
    assert!(place.succeeds(&["busybox", "-o", "image", "--protocol", "direct"]).contains(&line));
    assert!(place.succeeds(&["check", "image"]).contains(&line));
    assert!(place.succeeds(&["info", "image"]).contains(&format!("\n           warning: {warning}\n")));
    place.file("kernel", &multiboot(File::new(false), 0x1000, 0x1bad_b002, 3, 0).elf());
    assert_eq!(
        place.refuses(&["kernel", "-o", "other"]),
        "kernel: not a kernel for Xen: a kernel for Multiboot 1 (header at file offset 0x1000): build it with a note \
         PHYS32_ENTRY (Xen's public/elfnote.h); if it starts by the direct protocol too, pack it with --protocol direct"
    );
}

/// The programs of this machine: those of the tests, at least.
#[test]
fn real_programs() {
    let own = std::env::current_exe().unwrap();
    let paths = [own.as_path(), "/bin/true".as_ref(), "/lib/x86_64-linux-gnu/libc.so.6".as_ref()];
    for elf in paths.iter().filter_map(|path| fs::read(path).ok()) {
        let refusal = Reading::of(&elf, &Decisions::default()).unwrap_err();
        assert!(matches!(refusal, Refusal::Foreign { .. }), "{refusal}");
    }
}
