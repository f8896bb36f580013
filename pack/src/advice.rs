//! What a person can do about a kernel that is refused. stage0 has no room for such words; the host has.

use shared::kernel::PlanError;
use shared::trust::TrustError;

use crate::foreign::Foreign;

/// What to do, as the end of an error's line; empty where the line says it already, or where nothing helps but another kernel.
pub fn on_plan(error: &PlanError) -> &'static str {
    match error {
        PlanError::LinuxWithoutPvh => {
            ": this is a Linux without Xen support: take one that is built with CONFIG_PVH, as distributions' kernels are"
        }
        PlanError::NotXen => {
            ": pack it with --protocol direct, or build it with a note PHYS32_ENTRY (Xen's public/elfnote.h)"
        }
        PlanError::NoPvhEntry => ": build it with a note PHYS32_ENTRY (Xen's public/elfnote.h)",
        PlanError::Pv32 => ": take a 64-bit build, no Xen of today starts others",
        PlanError::XenVersion { .. } | PlanError::Loader { .. } => ": take a build for PVH, or one for today's Xen",
        PlanError::OffsetWithoutBase => ": say the base with --virt-base",
        PlanError::AreaTooLarge { .. } => ": link its segments closer to each other",
        PlanError::SharedAccess { .. } => ": link each at a page of its own, or give both the same flags",
        PlanError::SharedPlace { .. } => ": link them apart",
        PlanError::Incongruent { .. } => ": link it so that p_vaddr and p_paddr are the same modulo 0x1000",
        PlanError::NotCanonical { .. } => {
            ": link it below 0x800000000000, or from 0xffff800000000000 on: the processor has no other addresses"
        }
        PlanError::Beyond32 { .. } => ": link it below, or build an ELF64",
        PlanError::InHypervisor { .. } => {
            ": link it below 0xffff800000000000 or from 0xffff880000000000 on, or pack it without --map segments"
        }
        PlanError::InLinearMap { .. } => ": link it elsewhere, or pack it without --map segments",
        PlanError::PieAlign { .. } => ": correct its program headers",
        PlanError::PieBase { .. } => ": give --virt-base another one",
        PlanError::Meaningless { .. } => ": pack it without",
        PlanError::EntryNowhere { .. } | PlanError::EntryShadowed { .. } => {
            ": correct its e_entry, or say with --entry what it is"
        }
        PlanError::EntryData { .. } => ": correct its e_entry, or the segment's flags",
        _ => "",
    }
}

/// What to do about a static PIE that stage0 could not relocate.
pub const RELOCATIONS: &str = "link it without shared libraries and without symbols that are not defined, or at an address of its own (-no-pie, rustc's -Crelocation-model=static)";

/// What to do about a file that is no kernel.
pub const fn on_foreign(what: &Foreign) -> &'static str {
    match what {
        Foreign::Core | Foreign::Object => "name the kernel's own file",
        Foreign::Multiboot { .. } => {
            "build it with a note PHYS32_ENTRY (Xen's public/elfnote.h); if it starts by the direct protocol too, pack it with --protocol direct"
        }
        _ => "name the kernel's own file; if this is a kernel, pack it with --protocol direct",
    }
}

/// What to do about a pack that a stage0 does not start.
pub const fn on_trust(error: &TrustError) -> &'static str {
    match error {
        TrustError::Unlocked => "pack it again with `--lock-cmdline` and sign that",
        TrustError::Unsigned => "sign it with `pack sign`",
        TrustError::Stranger { .. } => "sign it with a trusted key, or trust its signer's",
        TrustError::Signature { .. } => "do not start it: sign it again where you know what it is",
        TrustError::NotRequired { .. } => "start the pack that is meant, or require this one",
    }
}
