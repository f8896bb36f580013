//! Kernels made from descriptions: each a table of headers and notes, from which an ELF file is written.
//!
//! The descriptions of kernels that matter lie in `tests/corpus`, as `NAME.kernel`, with what is to come of them beside, as
//! `NAME.plan`. [`generate`] draws others at random.

mod elf;
pub mod exceptional;
pub mod generate;
mod parse;
mod render;

use std::fs;
use std::path::PathBuf;

use shared::kernel::{Class, Decisions, notes::kind};

pub use render::render;

use crate::cache;

/// A PT_LOAD program header.
#[derive(Debug, Clone)]
pub struct Load {
    /// p_paddr.
    pub paddr: u64,
    /// p_vaddr.
    pub vaddr: u64,
    /// p_filesz.
    pub file_len: u64,
    /// p_memsz.
    pub memory_len: u64,
    /// p_flags.
    pub flags: u32,
    /// p_offset; `None` means behind everything that has one.
    pub offset: Option<u64>,
    /// p_align.
    pub align: u64,
}

/// Where a group of notes lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a PT_NOTE program header, and a section.
    Segment,
    /// In a section alone.
    Section,
    /// In a section, and in a PT_NOTE with p_offset 0, as old binutils wrote it.
    SegmentAtZero,
}

/// Notes that follow each other.
#[derive(Debug, Clone)]
pub struct Notes {
    /// Where they lie.
    pub place: Place,
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// How many of these the headers leave out.
    pub cut: u64,
}

/// A kernel, as far as its reading depends on it. What it would do when run is arbitrary bytes.
#[derive(Debug, Clone)]
pub struct Description {
    /// What is said of it, for people: the comment at the top of its file.
    pub about: String,
    /// EI_CLASS.
    pub class: Class,
    /// e_machine.
    pub machine: u16,
    /// e_type.
    pub kind: u16,
    /// e_entry.
    pub entry: u64,
    /// What is loaded.
    pub loads: Vec<Load>,
    /// What it says by notes.
    pub notes: Vec<Notes>,
    /// What it says by `__xen_guest`.
    pub guest: Option<Vec<u8>>,
    /// Bytes of its symbol table and of the strings, if it has them.
    pub symbols: Option<(u64, u64)>,
    /// Further sections, empty ones.
    pub sections: Vec<String>,
    /// What a person decides when packing it.
    pub decisions: Decisions,
}

impl Default for Description {
    fn default() -> Self {
        Self {
            about: String::new(),
            class: Class::Elf64,
            machine: 62,
            kind: 2,
            entry: 0,
            loads: Vec::new(),
            notes: Vec::new(),
            guest: None,
            symbols: None,
            sections: Vec::new(),
            decisions: Decisions::default(),
        }
    }
}

impl Description {
    /// The ELF file.
    pub fn elf(&self) -> Vec<u8> {
        elf::write(self)
    }
}

/// Appends a note, padded as Xen's are.
pub fn add_note(bytes: &mut Vec<u8>, name: &[u8], kind: u32, desc: &[u8]) {
    for word in [name.len(), desc.len()] {
        bytes.extend(u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
    }
    bytes.extend(kind.to_le_bytes());
    for part in [name, desc] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

/// The names and numbers of Xen's notes (`public/elfnote.h`).
pub const NOTE_NAMES: [(&str, u32); 19] = [
    ("ENTRY", kind::ENTRY),
    ("HYPERCALL_PAGE", kind::HYPERCALL_PAGE),
    ("VIRT_BASE", kind::VIRT_BASE),
    ("PADDR_OFFSET", kind::PADDR_OFFSET),
    ("XEN_VERSION", kind::XEN_VERSION),
    ("GUEST_OS", kind::GUEST_OS),
    ("GUEST_VERSION", kind::GUEST_VERSION),
    ("LOADER", kind::LOADER),
    ("PAE_MODE", kind::PAE_MODE),
    ("FEATURES", kind::FEATURES),
    ("BSD_SYMTAB", kind::BSD_SYMTAB),
    ("HV_START_LOW", kind::HV_START_LOW),
    ("L1_MFN_VALID", kind::L1_MFN_VALID),
    ("SUSPEND_CANCEL", kind::SUSPEND_CANCEL),
    ("INIT_P2M", kind::INIT_P2M),
    ("MOD_START_PFN", kind::MOD_START_PFN),
    ("SUPPORTED_FEATURES", kind::SUPPORTED_FEATURES),
    ("PHYS32_ENTRY", kind::PHYS32_ENTRY),
    ("PHYS32_RELOC", kind::PHYS32_RELOC),
];

/// A kernel of the corpus.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is made from.
    pub description: Description,
    /// What is to come of it; empty if that was never written down.
    pub expected: String,
    /// Where that is written down.
    pub expected_at: PathBuf,
}

/// The corpus, sorted by name.
///
/// # Errors
/// A description cannot be read, with its file and line.
pub fn corpus() -> Result<Vec<Entry>, String> {
    let folder = cache::workspace().join("tests/corpus");
    let at = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).map_err(at)?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "kernel"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(at)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let description = parse::description(&text).map_err(|error| format!("{name}.kernel: {error}"))?;
        let expected_at = path.with_extension("plan");
        Ok(Entry { name, description, expected: fs::read_to_string(&expected_at).unwrap_or_default(), expected_at })
    };
    paths.into_iter().map(read).collect()
}
