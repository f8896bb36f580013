//! What a person can do about each error: one table, of which `pack` prints its part and the catalogue of messages all.
//!
//! stage0 has no room for such words; the host has.

use std::fmt;

use shared::kernel::{PlanError, ReadError, RelocError};
use shared::trust::TrustError;

use crate::foreign::Foreign;

/// A remedy, as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The end of the error's line.
    Added(&'static str),
    /// The message says it already: it stands in the catalogue alone.
    Said(&'static str),
}

impl Remedy {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Added(sentence) | Self::Said(sentence) => sentence,
        }
    }
}

/// Behind an error's message: a colon and the sentence as a clause, or nothing.
impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Added(sentence) = self else { return Ok(()) };
        let mut letters = sentence.trim_end_matches('.').chars();
        let first = letters.next().map(|letter| letter.to_lowercase());
        write!(f, ": {}{}", first.into_iter().flatten().collect::<String>(), letters.as_str())
    }
}

/// Rows of the table, and the function that finds an error's own. A variant without a row does not compile.
macro_rules! remedies {
    (
        $(#[$doc:meta])* $on:ident($error:ident$(<$of:ident>)?), $rows:ident:
        $($($variant:ident)|+ => $kind:ident($text:expr),)+
    ) => {
        $(#[$doc])*
        pub const fn $on$(<$of>)?(error: &$error$(<$of>)?) -> Remedy {
            match error {
                $($($error::$variant { .. })|+ => Remedy::$kind($text),)+
            }
        }

        const $rows: &[(&str, Remedy)] =
            &[$($((concat!(stringify!($error), "::", stringify!($variant)), Remedy::$kind($text)),)+)+];
    };
}

remedies! {
    /// What to do about a file that is no kernel that can be read.
    on_read(ReadError<E>), READ:
    File => Said(""),
    View => Added("Report it: a file always gives what it has."),
    Magic => Added("Name an ELF file, or a boot image with one in it."),
    Machine | Data => Added("Take a kernel that is built for x86."),
    NothingToLoad => Added("Link the kernel with program headers of type PT_LOAD that have flags."),
    SegmentOutside => Added("Get the whole file: it is cut off, or its program headers are wrong."),
    NotesTooLong | TooManyNotes => Added("Link the kernel so that Xen's notes are in a place of their own."),
    TooManySections | SectionNamesTooLong =>
        Added("Strip the kernel, or give it notes in a program header, so that no section is looked for."),
    TooManyProgramHeaders => Added("Link the kernel with fewer segments."),
    Short | Class | Header | ProgramHeaderSize | ProgramHeadersOutside | SectionHeadersOutside | SegmentShrinks
        | SegmentWraps | NotesOutside | NoteTruncated | GuestString | SymbolsOutside =>
        Added("Get the file again, whole; if it is as it was linked, its headers are wrong: link it anew."),
}

remedies! {
    /// What to do about a kernel that cannot be entered as it is wanted.
    on_plan(PlanError), PLAN:
    PvOnly => Said("Create the domain with type=pv."),
    PvhOnly | NotInPv => Said("Create the domain with type=pvh."),
    LinuxWithoutPvh =>
        Added("This is a Linux without Xen support: take one that is built with CONFIG_PVH, as distributions' kernels \
               are."),
    NotXen => Added("Pack it with --protocol direct, or build it with a note PHYS32_ENTRY (Xen's public/elfnote.h)."),
    NoPvhEntry => Added("Build it with a note PHYS32_ENTRY (Xen's public/elfnote.h), or with what PV needs."),
    NotInPvDomain => Added("Take another kernel, or use type=pvh."),
    Pv32 => Added("Take a 64-bit build, no Xen of today starts others."),
    Loader => Added("Take a build for PVH, or one for today's Xen, or correct the note LOADER (\"generic\")."),
    XenVersion => Added("Take a build for PVH, or one for today's Xen, or correct the note XEN_VERSION (\"xen-3.0\")."),
    UnknownFeature => Added("Take another kernel: no Xen has what this one must have."),
    OffsetWithoutBase => Added("Say the base with --virt-base, or give the kernel the note VIRT_BASE too."),
    VirtualPaddr => Said("Say by `pack --virt-base` at which virtual address physical 0 is."),
    Meaningless => Added("Pack it without."),
    EntryOutside => Added("Correct the kernel's entry note, or say by `pack --entry` what it means."),
    EntryTooHigh => Added("Correct the note PHYS32_ENTRY: PVH enters kernels in 32-bit mode."),
    EntryNowhere => Added("Correct its e_entry (`ENTRY` of its linker script), or say with --entry what it is."),
    EntryShadowed =>
        Added("Correct its e_entry, or say with --entry what it is (virtual: it is in that segment), or link \
               that segment elsewhere."),
    EntryData => Added("Correct its e_entry, or the segment's flags."),
    Incongruent => Added("Link it so that p_vaddr and p_paddr are the same modulo 0x1000."),
    NotCanonical =>
        Added("Link it below 0x800000000000, or from 0xffff800000000000 on: the processor has no other addresses."),
    Beyond32 => Added("Link it below, or build an ELF64."),
    TooManyMaps => Added("Link the segments behind one another, or pack it without --map segments."),
    SharedAccess => Added("Link each at a page of its own, or give both the same flags."),
    SharedPlace => Added("Link them apart."),
    InHypervisor =>
        Added("Link it below 0xffff800000000000 or from 0xffff880000000000 on, or pack it without --map segments."),
    InLinearMap => Added("Link it elsewhere, or pack it without --map segments."),
    AreaTooLarge => Added("Link its segments closer to each other."),
    PieAlign => Added("Correct its program headers."),
    PieBase => Added("Give --virt-base another one: a multiple of what is expected."),
    BelowOffset | PlacedTooOften | VirtBounds | SymbolsOutside | P2mInside | StartUnaligned =>
        Added("Correct the kernel's addresses in its linker script; `readelf -l` shows them."),
}

/// What to do about a static PIE that cannot be relocated.
const RELOCATIONS: &str = "Link it without shared libraries and without symbols that are not defined, or at an address \
                           of its own (-no-pie, rustc's -Crelocation-model=static).";

remedies! {
    /// What to do about a static PIE that stage0 could not relocate.
    on_relocation(RelocError), RELOCATION:
    Dynamic | Table | Entry | Kind | Target | Relr | TooMany => Added(RELOCATIONS),
}

remedies! {
    /// What to do about a file that is no kernel.
    on_foreign(Foreign), FOREIGN:
    Core | Object => Added("Name the kernel's own file."),
    Linux => Said("Take a Linux with CONFIG_PVH; this is only a warning, of a pack for the direct protocol."),
    Multiboot =>
        Added("Build it with a note PHYS32_ENTRY (Xen's public/elfnote.h); if it starts by the direct protocol too, \
               pack it with --protocol direct."),
    Program | Needs | Library | System =>
        Added("Name the kernel's own file; if this is a kernel, pack it with --protocol direct."),
}

remedies! {
    /// What to do about a pack that a stage0 does not start.
    on_trust(TrustError), TRUST:
    Unlocked =>
        Added("Pack it again with `--lock-cmdline` and sign that: it was signed by another program than `pack`."),
    Unsigned => Added("Sign it with `pack sign`, and a key that stage0 trusts."),
    Stranger => Added("Sign it with a trusted key, or trust its signer's (`pack stage0 --trust`)."),
    Signature =>
        Added("Do not start it: sign it again where you know what it is, and find out who changed it."),
    NotRequired => Added("Start the pack that is meant, or require this one; `pack info` shows a pack's digest."),
}

/// What to do about all other errors, which stage0 says, or which say it themselves. `Enum::*` is for all of an enum that
/// have no row of their own.
const OTHERS: &[(&str, &str)] = &[
    ("Error::NoPack", "Name the pack as the domain's ramdisk (`ramdisk` of xl, `-initrd` of QEMU)."),
    ("Error::PackUnreachable", "Give the domain less memory, or use a builder that puts ramdisks below 4 GiB."),
    ("Error::PackUnaligned", "Use a builder that puts ramdisks at the start of a page; all of Xen's and QEMU do."),
    (
        "Error::TooSmall",
        "Give the domain at least the memory that is expected, and what the kernel itself needs beyond it.",
    ),
    ("Error::ModulesBeside", "Put all modules into the pack."),
    ("NoMeasurements::Cmdline", "As the message says."),
    ("Error::PvModules", "Put all into one initrd, or use type=pvh."),
    ("HandOverError::TooLong", "Pass fewer modules beside the pack, or shorter command lines."),
    (
        "HandOverError::Unreachable",
        "Give the domain less memory or fewer modules; what is handed over must lie below 4 GiB.",
    ),
    ("HandOverError::Window", "Link the kernel at another virtual address, or use type=pvh."),
    ("HandOverError::EntryTooFar", "Correct the kernel's ENTRY note, or use type=pvh."),
    ("HandOverError::HypercallPage", "Correct the kernel's HYPERCALL_PAGE note."),
    (
        "DecodeError::*",
        "Make the pack again with `pack`; if it comes again, report it, for the program that made it is faulty.",
    ),
    ("LoadError::FrameHash", "The pack was damaged on its way: copy it again, and compare `pack info`'s digest."),
    ("LoadError::MemberHash", "The pack was damaged on its way: copy it again, and compare `pack info`'s digest."),
    (
        "LoadError::Decode",
        "Make the pack again with `pack`; if it comes again, report it, for the program that made it is faulty.",
    ),
    (
        "FrameError::*",
        "Make the pack again with `pack`; if it comes again, report it, for the program that made it is faulty.",
    ),
    (
        "BlockError::*",
        "Make the pack again with `pack`; if it comes again, report it, for the program that made it is faulty.",
    ),
    ("LoadError::Straddles", "Make the pack again with `pack`: another program cut it."),
    (
        "LoadError::View",
        "Make the pack again with `pack`: another program cut it, or the kernel's headers and notes are spread over \
         more than 256 KiB.",
    ),
    (
        "LoadError::HeadWork",
        "Make the pack again with `pack`: another program cut it, or compressed it into blocks beyond number; or the \
         kernel has sections of notes beyond number.",
    ),
    ("LoadError::Unreachable", "Give the domain less memory, or a kernel and initrd that lie below 4 GiB."),
    ("LoadError::CmdlineText", "Make the pack again with `pack`, and a command line that is text."),
    (
        "in place::bug-stage-panic",
        "Report it as [SECURITY.md](../SECURITY.md) says, with the pack and the domain's configuration: this must \
         never come.",
    ),
    (
        "in place::unfit-processor-CPUID",
        "Give the machine an x86-64 processor: another `-cpu` of QEMU, or `lm` in the `cpuid` of xl.",
    ),
    (
        "Fault",
        "Report it as [SECURITY.md](../SECURITY.md) says, with the pack and the domain's configuration: this must \
         never come.",
    ),
    ("Refused", "Look into Xen's log (`xl dmesg`) for why it refused, and report both."),
    ("HandedError::Magic", "Start stage0 by a builder that knows PVH: `type = \"pvh\"` of xl, QEMU's `-kernel`."),
    ("HandedError::Unreachable", "Give the domain less memory, so that the builder puts its structures below 4 GiB."),
    ("HandedError::TooManyModules", "Pass fewer modules beside the pack; put them into the pack."),
    ("HandedError::TooManyRegions", "Give the domain fewer devices or less scattered memory."),
    ("HandedError::TooLong", "Shorten it."),
    ("HandedError::NotText", "Write it in UTF-8."),
    ("HandedError::NoMemmap", "Use a builder that hands over a memory map (QEMU since 3.1), or Xen."),
    (
        "PvHandedError::Magic",
        "Start stage0 by a builder that knows 64-bit PV: `type = \"pv\"` of xl, or Xen's dom0 builder.",
    ),
    (
        "PvHandedError::Misplaced",
        "Report it with the builder's name and version: it lays PV domains out in another way.",
    ),
    ("PvHandedError::Pages", "Give the domain an amount of memory that Xen supports."),
    (
        "PvHandedError::NoFrames",
        "Report it with the builder's name and version: its list of frames has holes where it put something.",
    ),
    ("PvHandedError::NoRoom", "Give the domain more memory."),
    (
        "CmdlineError::UnknownOption",
        "Leave the word out, or correct it; words for stage0 are in the README. It is one in capitals, too, and \
         within another word, behind any character but letters, digits and `/ . _ - =`.",
    ),
    (
        "CmdlineError::OptionInPack",
        "Give the word to the builder (`extra` of xl, `-append` of QEMU), not to `pack`. It is one in capitals, too, \
         and within another word, behind any character but letters, digits and `/ . _ - =`.",
    ),
    ("CmdlineError::Requirement", "Write `stage0.require=sha256:` and 64 digits, once."),
    ("CmdlineError::*", "Shorten it."),
    ("FormatError::Magic", "Name a pack as ramdisk: what `pack KERNEL -o FILE` writes."),
    (
        "FormatError::Version",
        "Use a stage0 and a `pack` of the same version: `pack stage0 -o stage0.elf`, and make the pack again.",
    ),
    ("FormatError::Truncated", "Copy the pack again; a builder's limit for ramdisks may have cut it."),
    ("FormatError::Digest", "The pack was damaged on its way: copy it again, and compare `pack info`'s digest."),
    (
        "FormatError::Name",
        "Make the pack again with `pack`: another program made it, or somebody wants to forge a line of the console.",
    ),
    ("FormatError::NoSignature", "Sign the pack again, or make it anew."),
    (
        "FormatError::*",
        "Make the pack again with a `pack` of the same version as stage0; if it comes again, report it, for the \
         program that made it is faulty.",
    ),
    ("RangeError::*", "Report it: what leads here is refused in other words before."),
    ("ArrangeError::TooHigh", "Link the kernel below 4 GiB."),
    ("ArrangeError::TooManyModules", "Pass fewer modules beside the pack; put them into the pack."),
    ("ClaimError::Held", "Link the kernel elsewhere, or give it the note PHYS32_RELOC."),
    ("ClaimError::NotRam", "Give the domain more memory, or link the kernel where domains have RAM."),
    ("ClaimError::NoRoom", "Give the domain more memory."),
    ("ClaimError::TooMany", "Link the kernel with fewer segments, or pass fewer modules."),
    ("NeedError", "Link the kernel elsewhere: what it says behind the colon is true in a domain of any size."),
    ("TooManyRegions", "Give the domain fewer devices or less scattered memory."),
    ("PvError::TooSmall", "Give the domain at least the memory that is expected."),
    ("PvError::BeyondAddresses", "Correct the kernel's notes VIRT_BASE and INIT_P2M."),
    ("CompressError::*", "Report it, with the kernel."),
    (
        "BuildError::Cut",
        "Strip the kernel (`strip --strip-all`), or give it notes in a program header: then its sections do not \
         matter.",
    ),
    ("Obstacle::Plan", "Create the domain with another type; else as for what stands behind the colon."),
    ("Obstacle::*", "As the message says."),
    ("in place::error-initrd-lies", "As the message says."),
    ("in place::RUNNER-not-there", "As the message says."),
    ("in place::not-there-write", "As the message says."),
    ("Refusal::Foreign", "As the message says."),
    ("ExtractError::Exists", "As the message says."),
    ("ExtractError::Unwritable", "Make room, or name a folder in which you may write."),
    ("ImageCause::PackTooLarge", "Take a smaller initrd: leave what is large in it to a disk."),
    ("ImageCause::KernelTooLarge", "Take a smaller kernel: strip it of its debug information."),
    ("ImageCause::*", "As the message says."),
    ("InputCause::Unreadable", "See that the file is there and that you may read it."),
    ("InputCause::NoMemory", "Give the machine more memory, or raise its limit (`ulimit -v`)."),
    (
        "InputCause::TooLarge",
        "Take a smaller file: strip a kernel of its debug information, leave what is large in an initrd to a disk.",
    ),
    ("InputCause::*", "As the message says."),
    ("NoPlace::NoPvEntry", "Name a stage0 with a PV entry, or use type=pvh."),
    ("NoPlace::Modules", "As the message says."),
    ("OpenCause::Text", "Name the kernel, not a text about it."),
    ("OpenCause::Unknown", "Name an ELF file, a bzImage, or one of them compressed."),
    ("OpenCause::ForeignElf", "Take a kernel that is built for x86."),
    ("OpenCause::*", "As the message says."),
    ("OutputError::Unwritable", "Make room, or name a place where you may write."),
    ("OutputError::*", "As the message says."),
    ("Stage0Cause::*", "Name a stage0 as `pack stage0 -o` writes it."),
    ("XlError::*", "As the message says."),
    ("PvError::OnlyDom0", "Start the kernel as dom0, or take another."),
    ("PvError::NeverDom0", "Start the kernel in a domU, or take another."),
    ("KeyCause::Unwritable", "Make room, or name a place where you may write."),
    ("KeyCause::Random", "Repair the system's source of random numbers."),
    ("KeyCause::*", "As the message says."),
    ("NotSigned::*", "As the message says."),
];

/// The whole table: the name of an error (`Enum::Variant`, `Enum::*`, or a struct's), and the sentence.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let typed = [READ, PLAN, RELOCATION, FOREIGN, TRUST].into_iter().flatten();
    let typed = typed.map(|(name, remedy)| (*name, remedy.sentence())).filter(|(_, sentence)| !sentence.is_empty());
    typed.chain(OTHERS.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_a_sentence_and_ends_a_line_as_a_clause() {
        let mut names = std::collections::BTreeSet::new();
        for (name, sentence) in all() {
            assert!(names.insert(name), "{name} twice");
            assert!(sentence.starts_with(|letter: char| letter.is_ascii_uppercase()), "{name}: {sentence}");
            assert!(sentence.ends_with('.') && !sentence.ends_with(".."), "{name}: {sentence}");
        }
        assert!(names.len() > 100, "{} remedies", names.len());
        let words = "Link it elsewhere, or pack it without --map segments.";
        let clause = ": link it elsewhere, or pack it without --map segments";
        assert_eq!(Remedy::Added(words).to_string(), clause);
        assert_eq!(Remedy::Said(words).to_string(), "");
    }
}
