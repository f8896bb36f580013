//! What a kernel that stage0 started can find different from one that the builder started itself: the names of the probe's
//! lines, with the reason for each. Everything else that the probe says must be the same.

/// In a PV domain.
pub const PV: [&str; 4] = [
    // The last three instructions, 12 bytes, of which the last is the jump to the kernel: right below the end of the boot
    // stack, where the kernel's first push overwrites them. `Case::compare` wants nothing else there.
    "stack",
    // That page's entry says that it was written to. A builder does not write by the domain's page tables.
    "dirty",
    // Which machine frames a domain gets, and in what order, is Xen's choice, and stage0 moves frames by renaming them.
    "p2m.jumps",
    // What is left of the pack and of stage0 in frames that nobody was given; nobody promises that these are zero.
    "frames.free.nonzero",
];

/// In a PV domain that Xen itself builds: the initial one, and the one on its shim.
pub const PV_BY_XEN: [&str; 5] = [
    PV[0], PV[1], PV[2], PV[3],
    // What is behind the list of frames in its last page, where INIT_P2M asks for the list: Xen does not clear that memory. stage0 does.
    "p2m.tail",
];

/// Where QEMU starts the kernel by itself.
pub const PVH_BY_QEMU: [&str; 5] = [
    // The protocol asks for a TSS. QEMU's pvh.bin loads none, so that TR tells nothing; stage0 does load one. It makes one
    // check more, too.
    "tr",
    "end",
    // Where they lie is the builder's choice; its limits are checked in the lines `start_info.place` and
    // `module[0].place`, which may not differ.
    "start_info.address",
    "module[0].address",
    // No builder promises what lies behind a module up to the page's end. stage0 promises zeros, and `compare` looks for them.
    "module[0].tail",
];

/// In a PVH domain of Xen's.
pub const PVH: [&str; 9] = [
    // Xen loads null selectors whose hidden parts are valid, which says nothing when read back; stage0 has to load them from a
    // GDT. That they are flat is checked in `cs.use` and its kin, which may not differ.
    "cs",
    "ds",
    "es",
    "ss",
    "tr",
    "end",
    // The builder's choice, within limits that the probe checks in other lines.
    "start_info.address",
    "module[0].address",
    // Promised by stage0 alone.
    "module[0].tail",
];

/// In the initial domain, if it is a PVH domain, besides: its builder hands a module its file's name as its command line; a
/// pack's modules have none.
pub const PVH_INITIAL: &str = "module[0].cmdline";
