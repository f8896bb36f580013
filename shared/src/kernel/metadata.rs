//! What a kernel says of itself to Xen, from its notes or from its `__xen_guest` section.

use super::features::Features;
use super::notes::Reloc;
use crate::memory::Virt;

/// A name that a kernel gives, as libelf keeps it: at most 15 characters (`struct elf_dom_parms`). What is not printable
/// ASCII stands as `?`.
pub type Name = heapless::String<15>;

/// `bytes` up to the first NUL as text, cut to the capacity. What is not printable ASCII becomes `?`.
pub(super) fn name_of<const N: usize>(bytes: &[u8]) -> heapless::String<N> {
    let mut name = heapless::String::new();
    for byte in super::bytes::before_nul(bytes) {
        let shown = if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' };
        if name.push(shown).is_err() {
            break;
        }
    }
    name
}

/// Where a kernel's words to Xen were found. libelf takes the first that has any, and merges nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Source {
    /// Nowhere.
    #[default]
    None,
    /// "Xen" notes in PT_NOTE program headers.
    Segments,
    /// "Xen" notes in SHT_NOTE sections, for want of any in program headers.
    Sections,
    /// The string in the section `__xen_guest`, for want of any note.
    GuestString,
}

impl Source {
    /// Whether notes were found, in whichever place.
    pub const fn is_notes(self) -> bool {
        matches!(self, Self::Segments | Self::Sections)
    }
}

/// Page tables that a 32-bit PV kernel can work with (`PAE_MODE`, `PAE=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pae {
    /// Not said: two-level tables only.
    #[default]
    No,
    /// PAE.
    Yes,
    /// PAE, with a CR3 above 4 GiB.
    ExtendedCr3,
    /// Either.
    Bimodal,
}

/// What a kernel says of itself to Xen. Addresses are as said: all ones, which is libelf's mark for "unset", is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    /// Where all this was found.
    pub source: Source,
    /// LOADER.
    pub loader: Name,
    /// GUEST_OS.
    pub guest_os: Name,
    /// GUEST_VERSION, GUEST_VER.
    pub guest_version: Name,
    /// XEN_VERSION, XEN_VER.
    pub xen_version: Name,
    /// VIRT_BASE: virtual address of pseudo-physical 0.
    pub virt_base: Option<Virt>,
    /// ENTRY, VIRT_ENTRY: where a PV kernel is entered.
    pub virt_entry: Option<Virt>,
    /// PADDR_OFFSET, ELF_PADDR_OFFSET: what to take off every `p_paddr`.
    pub paddr_offset: Option<u64>,
    /// HYPERCALL_PAGE: the page that a PV builder fills.
    pub hypercall_page: Option<Virt>,
    /// INIT_P2M: where a PV kernel wants the list of its frames mapped.
    pub init_p2m: Option<Virt>,
    /// HV_START_LOW: lowest address that the hypervisor may use (32-bit PV).
    pub hv_start_low: Option<Virt>,
    /// MOD_START_PFN: the initrd need not be mapped.
    pub mod_start_pfn: bool,
    /// PHYS32_ENTRY: where a PVH domain's kernel is entered, as said. More than 32 bits make no entry.
    pub phys32_entry: Option<u64>,
    /// PHYS32_RELOC: by how much a PVH kernel may be moved.
    pub phys32_reloc: Option<Reloc>,
    /// FEATURES and SUPPORTED_FEATURES.
    pub features: Features,
    /// PAE_MODE, PAE.
    pub pae: Pae,
    /// BSD_SYMTAB: the symbol table is to be loaded behind the kernel.
    pub bsd_symtab: bool,
    /// SUSPEND_CANCEL, for save and restore tools.
    pub suspend_cancel: bool,
    /// Whether anything shows that this is Linux: a note of name "Linux", or a section `__ksymtab`.
    pub linux_content: bool,
}

impl Metadata {
    /// Whether this is Linux, by its own word or by its content.
    pub fn is_linux(&self) -> bool {
        self.linux_content || self.guest_os.starts_with("linux")
    }
}

/// An address as libelf keeps it: all ones means unset.
pub(super) const fn set(value: u64) -> Option<u64> {
    if value == u64::MAX { None } else { Some(value) }
}

/// [`set`] for virtual addresses.
pub(super) fn set_virt(value: u64) -> Option<Virt> {
    set(value).map(Virt)
}
