//! `struct start_info` of Xen's public/xen.h.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `SIF_INITDOMAIN`.
const INITIAL_DOMAIN: u32 = 1 << 1;
/// `SIF_MOD_START_PFN`.
const MODULE_BY_FRAME: u32 = 1 << 3;

/// The structure, 64-bit.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct StartInfo {
    pub(crate) magic: [u8; 32],
    pub(crate) nr_pages: u64,
    pub(crate) shared_info: u64,
    pub(crate) flags: u32,
    padding: u32,
    pub(crate) store_mfn: u64,
    pub(crate) store_evtchn: u32,
    padding2: u32,
    /// A domU's machine frame number; dom0: offset and size of what Xen says of the screen.
    pub(crate) console_mfn: u64,
    pub(crate) console_evtchn: u32,
    padding3: u32,
    pub(crate) pt_base: u64,
    pub(crate) nr_pt_frames: u64,
    pub(crate) mfn_list: u64,
    pub(crate) mod_start: u64,
    pub(crate) mod_len: u64,
    pub(crate) cmd_line: [u8; 1024],
    pub(crate) first_p2m_pfn: u64,
    pub(crate) nr_p2m_frames: u64,
}

const _: () = assert!(size_of::<StartInfo>() == 0x490 && offset_of!(StartInfo, pt_base) == 88);

impl StartInfo {
    pub(crate) fn is_initial(&self) -> bool {
        self.flags & INITIAL_DOMAIN != 0
    }

    pub(crate) fn is_module_by_frame(&self) -> bool {
        self.flags & MODULE_BY_FRAME != 0
    }

    /// The bytes that are not within any field.
    pub(crate) fn padding(&self) -> [u32; 3] {
        [self.padding, self.padding2, self.padding3]
    }
}
