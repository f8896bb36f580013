//! Kernels for the tests: small ELF files that say of themselves what a test wants them to.

pub(crate) mod place;
pub(crate) mod seal;

use object::Endianness;
use object::elf::{
    EM_X86_64, ET_EXEC, Machine, NT_GNU_BUILD_ID, PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE, SHF_ALLOC, SHT_PROGBITS,
};
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, Writer};

/// Types of Xen's notes (Xen's public/elfnote.h).
pub(crate) mod note {
    /// ENTRY: where a PV kernel is entered.
    pub(crate) const ENTRY: u32 = 1;
    /// XEN_VERSION.
    pub(crate) const XEN_VERSION: u32 = 5;
    /// GUEST_OS.
    pub(crate) const GUEST_OS: u32 = 6;
    /// PHYS32_ENTRY: where a PVH kernel is entered.
    pub(crate) const PHYS32_ENTRY: u32 = 18;
    /// PHYS32_RELOC: by how much a PVH kernel may be moved.
    pub(crate) const PHYS32_RELOC: u32 = 19;
}

/// A kernel of one segment at 16 MiB.
pub(crate) struct Kernel {
    /// Notes by Xen's name: type and value.
    pub(crate) notes: Vec<(u32, Vec<u8>)>,
    /// The linker's build id.
    pub(crate) build_id: Option<Vec<u8>>,
    /// What its segment begins with.
    pub(crate) text: &'static str,
    /// Bytes of its segment in the file.
    pub(crate) len: usize,
    /// e_machine.
    pub(crate) machine: Machine,
    /// Name of a section, as a Linux has `__ksymtab`.
    pub(crate) section: Option<&'static str>,
}

impl Kernel {
    /// Where the segment lies and is entered.
    pub(crate) const BASE: u64 = 16 << 20;

    /// A kernel for PVH.
    pub(crate) fn pvh() -> Self {
        let entry = (Self::BASE as u32).to_le_bytes().to_vec();
        Self { notes: vec![(note::PHYS32_ENTRY, entry)], ..Self::without_notes() }
    }

    /// A kernel without a word for Xen.
    pub(crate) fn without_notes() -> Self {
        Self { notes: Vec::new(), build_id: None, text: "", len: 5 << 20, machine: EM_X86_64, section: None }
    }

    /// The ELF file.
    pub(crate) fn elf(&self) -> Vec<u8> {
        let mut content: Vec<u8> = (0..self.len).map(|at| ((at / 3) ^ (at >> 9)) as u8).collect();
        content[..self.text.len()].copy_from_slice(self.text.as_bytes());
        let xen = self.notes.iter().flat_map(|(kind, value)| note_bytes(b"Xen\0", *kind, value));
        let gnu = self.build_id.iter().flat_map(|id| note_bytes(b"GNU\0", NT_GNU_BUILD_ID.0, id));
        let notes: Vec<u8> = xen.chain(gnu).collect();
        let mut file = Vec::new();
        let mut writer = Writer::new(Endianness::Little, true, &mut file);
        writer.reserve_file_header();
        writer.reserve_program_headers(2);
        let notes_at = writer.reserve(notes.len() as u64, 4);
        let content_at = writer.reserve(content.len() as u64, 4096);
        let section = self.section.map(|name| {
            writer.reserve_null_section_index();
            let name = writer.add_section_name(name.as_bytes());
            writer.reserve_section_index();
            writer.reserve_shstrtab_section_index();
            name
        });
        if section.is_some() {
            writer.reserve_shstrtab().unwrap();
            writer.reserve_section_headers();
        }
        writer
            .write_file_header(&FileHeader {
                e_type: ET_EXEC,
                e_machine: self.machine,
                e_entry: Self::BASE,
                ..FileHeader::default()
            })
            .unwrap();
        writer.write_align_program_headers();
        writer.write_program_header(&ProgramHeader {
            p_type: PT_NOTE,
            p_flags: PF_R,
            p_offset: notes_at,
            p_vaddr: 0,
            p_paddr: 0,
            p_filesz: notes.len() as u64,
            p_memsz: notes.len() as u64,
            p_align: 4,
        });
        writer.write_program_header(&ProgramHeader {
            p_type: PT_LOAD,
            p_flags: PF_R | PF_W | PF_X,
            p_offset: content_at,
            p_vaddr: Self::BASE,
            p_paddr: Self::BASE,
            p_filesz: content.len() as u64,
            p_memsz: content.len() as u64 + 0x1000,
            p_align: 4096,
        });
        writer.pad_until(notes_at);
        writer.write(&notes);
        writer.pad_until(content_at);
        writer.write(&content);
        if let Some(name) = section {
            writer.write_shstrtab();
            writer.write_null_section_header();
            let sh_name = writer.section_name_offset(Some(name));
            writer.write_section_header(&SectionHeader {
                sh_name,
                sh_type: SHT_PROGBITS,
                sh_flags: SHF_ALLOC,
                sh_addr: Self::BASE,
                sh_offset: content_at,
                sh_size: 16,
                sh_link: 0,
                sh_info: 0,
                sh_addralign: 1,
                sh_entsize: 0,
            });
            writer.write_shstrtab_section_header();
        }
        file
    }
}

fn note_bytes(name: &[u8; 4], kind: u32, value: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    note.extend(4_u32.to_le_bytes());
    note.extend((value.len() as u32).to_le_bytes());
    note.extend(kind.to_le_bytes());
    note.extend(name);
    note.extend(value);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}
