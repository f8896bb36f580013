use core::arch::global_asm;

use shared::kernel::notes::kind;

use crate::platform::VIRT_BASE;

global_asm!(
    include_str!("pv.s"),
    main = sym super::main_pv,
    unpack = sym super::unpack::unpack,
    base = const VIRT_BASE,
    entry = const kind::ENTRY,
    virt_base = const kind::VIRT_BASE,
    paddr_offset = const kind::PADDR_OFFSET,
    xen_version = const kind::XEN_VERSION,
    guest_os = const kind::GUEST_OS,
    loader = const kind::LOADER,
    options(att_syntax)
);
