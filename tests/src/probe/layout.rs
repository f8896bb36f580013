//! Where a kernel made of the probe lies, and what it is made of besides.

/// A kernel made of the probe.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Names the file, and is the first thing that the probe prints. At most 31 bytes.
    pub name: &'static str,
    /// Physical address of the image (some tens of KiB of file, somewhat more of .bss). A multiple of 4096 below 4 GiB; for
    /// PV as `p_paddr` has it.
    pub base: u64,
    /// Other segments. At most 7.
    pub extras: Vec<Extra>,
    /// Whether the image's program header is the last of the PT_LOADs rather than the first.
    pub image_last: bool,
    /// Kind of ELF file.
    pub class: Class,
    /// Bytes of the PHYS32_ENTRY note's number: 4 or 8, both of which occur.
    pub entry_size: usize,
    /// A PHYS32_RELOC note.
    pub relocation: Option<Relocation>,
    /// GUEST_OS, for one that has it and is not for PV domains.
    pub guest_os: Option<&'static str>,
    /// What makes it a kernel for PV domains, and not one for PVH.
    pub pv: Option<Pv>,
}

/// What a kernel for PV domains says in its notes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pv {
    /// VIRT_BASE.
    pub virt_base: u64,
    /// PADDR_OFFSET; without one it is 0.
    pub paddr_offset: Option<u64>,
    /// INIT_P2M.
    pub init_p2m: Option<u64>,
    /// Whether MOD_START_PFN is set: the module need not be mapped.
    pub module_by_frame: bool,
    /// Whether there is a HYPERCALL_PAGE.
    pub hypercall_page: bool,
    /// Whether there are symbols, and BSD_SYMTAB asks for them.
    pub symbols: bool,
    /// FEATURES, where they are others than usual.
    pub features: &'static str,
}

impl Pv {
    /// What a Linux says.
    pub fn linux() -> Self {
        Self {
            virt_base: 0xffff_ffff_8000_0000,
            init_p2m: Some(0x80_0000_0000),
            module_by_frame: true,
            hypercall_page: true,
            ..Self::default()
        }
    }

    /// What a kernel of the BSDs says that is linked, and has its `p_paddr`, from `base` on.
    pub fn bsd(base: u64) -> Self {
        let paddr_offset = Some(base);
        Self { virt_base: base, paddr_offset, hypercall_page: true, symbols: true, ..Self::default() }
    }

    /// The virtual address of what a program header has at `paddr`.
    pub fn virt(&self, paddr: u64) -> u64 {
        paddr.wrapping_sub(self.paddr_offset.unwrap_or(0)).wrapping_add(self.virt_base)
    }
}

/// A segment besides the image.
#[derive(Clone, Copy, Debug)]
pub struct Extra {
    /// Physical address, a multiple of 4096.
    pub paddr: u64,
    /// Bytes of it in the file.
    pub file_size: usize,
    /// Bytes of it in memory.
    pub memory_size: u64,
    /// What the file's bytes are.
    pub content: Content,
}

/// Kinds of ELF files by class and machine, all of which builders take for a 64-bit guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// ELFCLASS64, EM_X86_64.
    Elf64,
    /// ELFCLASS32, EM_386.
    Elf32,
    /// ELFCLASS32, EM_X86_64: such kernels exist.
    Elf32Amd64,
}

/// The numbers of a PHYS32_RELOC note.
#[derive(Clone, Copy, Debug)]
pub struct Relocation {
    /// The kernel may be loaded at multiples of it.
    pub align: u32,
    /// The lowest address for it.
    pub min: u32,
    /// The highest address for its last byte.
    pub max: u32,
}

/// Contents that can be made again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Every page differs, but compresses well.
    Pages,
    /// Random numbers from this seed: cannot be compressed.
    Noise(u64),
}

impl Layout {
    /// The image alone, at `base`, in an ELF64 file.
    pub fn at(name: &'static str, base: u64) -> Self {
        let (extras, class) = (Vec::new(), Class::Elf64);
        Self { name, base, extras, image_last: false, class, entry_size: 4, relocation: None, guest_os: None, pv: None }
    }

    /// The image for PV domains alone; `base` as `p_paddr` has it.
    pub fn pv(name: &'static str, base: u64, pv: Pv) -> Self {
        Self { pv: Some(pv), ..Self::at(name, base) }
    }

    /// With one more segment.
    pub fn with(mut self, extra: Extra) -> Self {
        self.extras.push(extra);
        self
    }
}

/// The layouts that PV domains are tried with: as Linux has it; everything in the mapping, from address 0 on; as the BSDs have
/// it; from the first frame on.
pub fn for_pv() -> [Layout; 4] {
    /// A high base at which the BSDs' kernels are linked.
    const KERNBASE: u64 = 0xffff_ffff_8000_0000;
    let behind = Extra { memory_size: 2 << 20, ..Extra::whole(20 << 20, 1 << 20, Content::Noise(1)) };
    let first = Pv { virt_base: 0x4000_0000, hypercall_page: true, ..Pv::default() };
    [
        Layout::pv("pv-linux", 16 << 20, Pv::linux()).with(behind),
        Layout::pv("pv-low", 2 << 20, Pv::default()),
        Layout::pv("pv-bsd", KERNBASE + (2 << 20), Pv::bsd(KERNBASE)),
        Layout::pv("pv-first", 0, first),
    ]
}

impl Extra {
    /// A segment that is all file.
    pub fn whole(paddr: u64, size: usize, content: Content) -> Self {
        Self { paddr, file_size: size, memory_size: size as u64, content }
    }
}

impl Content {
    /// `len` bytes of it, none of which is likely to be zero by chance.
    pub fn bytes(self, len: usize) -> Vec<u8> {
        match self {
            Self::Pages => pages(len),
            Self::Noise(seed) => noise(seed, len),
        }
    }
}

/// Each page repeats 64 random bytes of its own.
fn pages(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len.next_multiple_of(4096));
    for page in 0..len.div_ceil(4096) {
        bytes.extend(noise(page as u64, 64).repeat(4096 / 64));
    }
    bytes.truncate(len);
    bytes
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((word ^ word >> 31).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
