//! What a file is that says nothing to Xen, and is no kernel that the direct protocol could start.
//!
//! A kernel for the direct protocol says nothing of itself, so that whatever says nothing could be one. Some files say that
//! they are something else: those are packed for direct only where a person asks for it.

use object::elf::{
    DT_NEEDED, DT_NULL, DT_SONAME, ELFOSABI_ARM_AEABI, ELFOSABI_GNU, ELFOSABI_NONE, ET_CORE, ET_REL, NT_GNU_ABI_TAG,
    PT_INTERP, PT_NOTE,
};
use object::read::elf::{Dyn, FileHeader, NoteIterator, ProgramHeader};
use object::{LittleEndian, elf};

use crate::identity::Banner;

/// What a file is, where it is no kernel for the direct protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// Its type is ET_CORE.
    #[error("a core file (ET_CORE)")]
    Core,
    /// Its type is ET_REL.
    #[error("an object file or a kernel's module (ET_REL), which is not linked")]
    Object,
    /// It has a PT_INTERP.
    #[error("a program (PT_INTERP {interpreter})")]
    Program {
        /// What the system starts it with, escaped.
        interpreter: String,
    },
    /// It has a DT_NEEDED.
    #[error("a program or library that needs libraries (DT_NEEDED)")]
    Needs,
    /// It has a DT_SONAME.
    #[error("a shared library (DT_SONAME)")]
    Library,
    /// It has the ABI tag of an operating system, or its EI_OSABI.
    #[error("a program of {system} ({tag})")]
    System {
        /// The system.
        system: &'static str,
        /// By what it is known.
        tag: &'static str,
    },
    /// It has Linux' banner.
    #[error("Linux {release} without a Xen entry")]
    Linux {
        /// What it is by its own word.
        release: String,
    },
    /// It has a header for a boot loader that knows Multiboot.
    #[error("a kernel for Multiboot {version} (header at file offset {offset:#x})")]
    Multiboot {
        /// 1 or 2.
        version: u8,
        /// Where it is.
        offset: usize,
    },
}

impl Foreign {
    /// What `file` is, if it is no kernel for the direct protocol. It is known to have no Xen note.
    pub fn of(file: &[u8]) -> Option<Self> {
        let linux = || Some(Self::Linux { release: Banner::find(file)?.release.to_owned() });
        Self::unlinked(file).or_else(|| by_class(file, system32, system64)).or_else(linux).or_else(|| multiboot(file))
    }

    /// What `file` is, if it is not of a type that is run.
    pub fn unlinked(file: &[u8]) -> Option<Self> {
        by_class(file, unlinked::<elf::FileHeader32<LittleEndian>>, unlinked::<elf::FileHeader64<LittleEndian>>)
    }
}

type Look = fn(&[u8]) -> Option<Foreign>;

/// Looks at a file by its EI_CLASS.
fn by_class(file: &[u8], elf32: Look, elf64: Look) -> Option<Foreign> {
    match file.get(4) {
        Some(1) => elf32(file),
        _ => elf64(file),
    }
}

fn unlinked<E: FileHeader<Endian = LittleEndian>>(file: &[u8]) -> Option<Foreign> {
    match E::parse(file).ok()?.e_type(LittleEndian) {
        ET_CORE => Some(Foreign::Core),
        ET_REL => Some(Foreign::Object),
        _ => None,
    }
}

fn system32(file: &[u8]) -> Option<Foreign> {
    system::<elf::FileHeader32<LittleEndian>>(file)
}

fn system64(file: &[u8]) -> Option<Foreign> {
    system::<elf::FileHeader64<LittleEndian>>(file)
}

/// What an operating system starts, or loads for what it starts.
fn system<E: FileHeader<Endian = LittleEndian>>(file: &[u8]) -> Option<Foreign> {
    let endian = LittleEndian;
    let header = E::parse(file).ok()?;
    let programs = header.program_headers(endian, file).ok()?;
    if let Some(program) = programs.iter().find(|program| program.p_type(endian) == PT_INTERP) {
        let interpreter = program.interpreter(endian, file).ok().flatten().unwrap_or_default();
        return Some(Foreign::Program { interpreter: shown(interpreter) });
    }
    let mut library = None;
    let tables = programs.iter().filter_map(|program| program.dynamic(endian, file).ok().flatten());
    // DT_NULL ends a table, whatever is behind it.
    for tag in tables.flat_map(|table| table.iter().map(|entry| entry.tag(endian)).take_while(|tag| *tag != DT_NULL)) {
        match tag {
            DT_NEEDED => return Some(Foreign::Needs),
            DT_SONAME => library = Some(Foreign::Library),
            _ => {}
        }
    }
    library.or_else(|| {
        let tag = programs.iter().find_map(|program| abi_tag::<E>(program, file));
        let tag = tag.map(|system| Foreign::System { system, tag: "its ABI tag" });
        let os_abi = os_abi(header.e_ident().os_abi.0).map(|system| Foreign::System { system, tag: "its EI_OSABI" });
        tag.or(os_abi)
    })
}

/// The system of which a note is an ABI tag.
fn abi_tag<E: FileHeader<Endian = LittleEndian>>(program: &E::ProgramHeader, file: &[u8]) -> Option<&'static str> {
    /// The systems that have one of their own name.
    const NAMES: [&str; 5] = ["FreeBSD", "NetBSD", "OpenBSD", "DragonFly", "Android"];
    /// The systems of GNU's, by its first word (glibc's abi-tags; GNU binutils).
    const GNU: [&str; 7] = ["Linux", "the Hurd", "Solaris", "FreeBSD", "NetBSD", "Syllable", "NaCl"];
    /// Bytes of GNU's: the system and three of a version.
    const GNU_LEN: usize = 16;

    /// What notes are padded to where the header says this; else to 4 bytes, as stage0 reads Xen's.
    const WIDE: u64 = 8;

    if program.p_type(LittleEndian) != PT_NOTE {
        return None;
    }
    // None is 4.
    let align = Some(program.p_align(LittleEndian)).filter(|align| (*align).into() == WIDE).unwrap_or_default();
    let bytes = program.data(LittleEndian, file).ok()?;
    let mut notes = NoteIterator::<E>::new(LittleEndian, align, bytes).ok()?;
    while let Ok(Some(note)) = notes.next() {
        if note.n_type(LittleEndian) != NT_GNU_ABI_TAG {
            continue;
        }
        if note.name() == b"GNU" && note.desc().len() >= GNU_LEN {
            let word = note.desc().first_chunk().map_or(u32::MAX, |word| u32::from_le_bytes(*word));
            return Some(usize::try_from(word).ok().and_then(|word| GNU.get(word)).unwrap_or(&"another system"));
        }
        if let Some(name) = NAMES.iter().find(|name| note.name() == name.as_bytes()) {
            return Some(name);
        }
    }
    None
}

/// The system of an EI_OSABI. GNU's tells nothing: linkers write it for a symbol's or section's property too, which a kernel may
/// have. From that of ARM on, they are of processors, or mean that there is no system.
fn os_abi(value: u8) -> Option<&'static str> {
    if value == ELFOSABI_NONE.0 || value == ELFOSABI_GNU.0 || value >= ELFOSABI_ARM_AEABI.0 {
        return None;
    }
    Some(match elf::OsAbi(value) {
        elf::ELFOSABI_NETBSD => "NetBSD",
        elf::ELFOSABI_HURD => "the Hurd",
        elf::ELFOSABI_SOLARIS => "Solaris",
        elf::ELFOSABI_FREEBSD => "FreeBSD",
        elf::ELFOSABI_OPENBSD => "OpenBSD",
        _ => "another system",
    })
}

/// A Multiboot header: the checksum makes the sum of its words zero, and the whole lies in what a boot loader looks at
/// (Multiboot 0.6.96, 3.1; Multiboot2 2.0, 3.1).
fn multiboot(file: &[u8]) -> Option<Foreign> {
    let is_header = |at: usize, magic: u32, words: usize| {
        let bytes = file.get(at..at + 4 * words).unwrap_or_default();
        let mut numbers = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
        numbers.next() == Some(magic) && numbers.fold(magic, u32::wrapping_add) == 0
    };
    let find = |version, magic, words: usize, align, within: usize| {
        let mut places = (0..=within - 4 * words).step_by(align);
        places.find(|at| is_header(*at, magic, words)).map(|offset| Foreign::Multiboot { version, offset })
    };
    find(1, 0x1bad_b002, 3, 4, 8 << 10).or_else(|| find(2, 0xe852_50d6, 4, 8, 32 << 10))
}

/// A name of the file's, as it can be shown to people.
fn shown(name: &[u8]) -> String {
    /// More of a name tells nobody more.
    const MAX_LEN: usize = 100;

    name.get(..MAX_LEN).unwrap_or(name).escape_ascii().to_string()
}
