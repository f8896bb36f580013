//! Relocations of a static PIE: an ELF file of type DYN, which the direct protocol puts anywhere.
//!
//! The table of PT_DYNAMIC says where they are: DT_RELA and DT_REL in a list of entries, DT_RELR as addresses and bitmaps (ELF
//! gABI, "Relocation"). Only relative ones are applied, which add the bias to a number: others need symbols, or code that runs.
//! All tables are read from the file's frames. The number that an entry of DT_REL or DT_RELR adds to is where the entry points.

use core::fmt;

use super::{Class, MAX_VIEW, Machine, Plan};
use crate::memory::{FileRange, Phys, PhysRange};

/// Bytes of a table that are looked at in one piece: whole entries of each kind. Frames that hold tables are cut there.
pub const PIECE_LEN: u64 = 192 << 10;

/// DT_PLTREL, whose value is the tag of a table of DT_JMPREL's kind (ELF gABI, "Dynamic Section").
const PLTREL: u64 = 20;
/// DT_REL.
const REL: u64 = 17;
/// Each table: its tags in the dynamic table, of its address, of its length and of its entries' (none has tag 0); its name; how
/// it says its relocations, unless DT_PLTREL says it.
static TABLES: [([u64; 3], &str, Form); 4] = [
    ([7, 8, 9], "DT_RELA", Form::Rela),
    ([REL, 18, 19], "DT_REL", Form::Rel),
    ([36, 35, 37], "DT_RELR", Form::Relr),
    ([23, 2, 0], "DT_JMPREL", Form::Rela),
];

/// R_X86_64_NONE and R_386_NONE.
const NONE: u32 = 0;
/// R_X86_64_RELATIVE and R_386_RELATIVE.
const RELATIVE: u32 = 8;

/// Where the dynamic table of a file of type DYN is, as PT_DYNAMIC says it; of no bytes if there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dynamic {
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// What a plan has of a static PIE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pie {
    /// Where its dynamic table is.
    pub dynamic: Dynamic,
    /// What is added to every `p_vaddr`, modulo 2^64.
    pub bias: u64,
    /// What its place may be moved by multiples of, bytes; a power of two, at least 2 MiB.
    pub align: u64,
    /// The processor, whose names relocations have.
    pub machine: Machine,
}

/// Why a static PIE cannot be relocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelocError {
    /// The dynamic table is not in the file, or longer than a view.
    Dynamic {
        /// Offset, bytes.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// A table is not in the bytes that one segment has in the file, or ends within an entry.
    Table {
        /// Its tag.
        table: &'static str,
        /// Its `p_vaddr`.
        virt: u64,
        /// Bytes.
        len: u64,
    },
    /// A table's entries have another length than the class has.
    Entry {
        /// Its tag.
        table: &'static str,
        /// Bytes.
        found: u64,
        /// Bytes.
        expected: u64,
    },
    /// A relocation that is not relative.
    Kind {
        /// The processor.
        machine: Machine,
        /// Its type.
        kind: u32,
        /// Where it points, as the file has it.
        target: u64,
    },
    /// A relocation that points to no segment's memory.
    Target {
        /// Where it points, as the file has it.
        target: u64,
    },
    /// DT_RELR begins with a bitmap, or has an address that is not aligned.
    Relr {
        /// The entry.
        entry: u64,
    },
    /// There are more than numbers of 4 bytes in all segments.
    TooMany {
        /// How many there may be.
        most: u64,
    },
}

impl fmt::Display for RelocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kernel: ")?;
        match self {
            Self::Dynamic { offset, len } => {
                write!(
                    f,
                    "dynamic table of {len:#x} bytes at {offset:#x}: not in the file, or longer than {MAX_VIEW:#x}"
                )
            }
            Self::Table { table, virt, len } => {
                write!(f, "{table}: {len:#x} bytes at {virt:#x}, expected whole entries in one segment of the file")
            }
            Self::Entry { table, found, expected } => {
                write!(f, "{table}: entries of {found} bytes, expected {expected}")
            }
            Self::Kind { machine, kind, target } => {
                let name = Named { machine: *machine, kind: *kind };
                write!(f, "relocation {name} at {target:#x}, expected relative ones alone")
            }
            Self::Target { target } => write!(f, "relocation at {target:#x}, expected it in a segment"),
            Self::Relr { entry } => write!(f, "DT_RELR: entry {entry:#x}, expected an aligned address"),
            Self::TooMany { most } => write!(f, "more than {most} relocations, expected one for 4 bytes at most"),
        }
    }
}

impl core::error::Error for RelocError {}

/// A relocation's name.
struct Named {
    machine: Machine,
    kind: u32,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = name(self.machine, self.kind) else { return write!(f, "of type {}", self.kind) };
        f.write_str(if self.machine == Machine::I386 { "R_386_" } else { "R_X86_64_" })?;
        f.write_str(name)
    }
}

/// The rest of a relocation's name, behind that of its processor (psABI of x86-64 and of i386).
fn name(machine: Machine, kind: u32) -> Option<&'static str> {
    const X86_64: &str = "NONE 64 PC32 GOT32 PLT32 COPY GLOB_DAT JUMP_SLOT RELATIVE GOTPCREL 32 32S 16 PC16 8 PC8 DTPMOD64 \
                          DTPOFF64 TPOFF64 TLSGD TLSLD DTPOFF32 GOTTPOFF TPOFF32 PC64 GOTOFF64 GOTPC32 GOT64 GOTPCREL64 \
                          GOTPC64 GOTPLT64 PLTOFF64 SIZE32 SIZE64 GOTPC32_TLSDESC TLSDESC_CALL TLSDESC IRELATIVE RELATIVE64";
    const I386: &str = "NONE 32 PC32 GOT32 PLT32 COPY GLOB_DAT JMP_SLOT RELATIVE GOTOFF GOTPC 32PLT - - TLS_TPOFF TLS_IE \
                        TLS_GOTIE TLS_LE TLS_GD TLS_LDM 16 PC16 8 PC8 TLS_GD_32 TLS_GD_PUSH TLS_GD_CALL TLS_GD_POP \
                        TLS_LDM_32 TLS_LDM_PUSH TLS_LDM_CALL TLS_LDM_POP TLS_LDO_32 TLS_IE_32 TLS_LE_32 TLS_DTPMOD32 \
                        TLS_DTPOFF32 TLS_TPOFF32 SIZE32 TLS_GOTDESC TLS_DESC_CALL TLS_DESC IRELATIVE";
    let names = match machine {
        Machine::X86_64 => X86_64,
        Machine::I386 => I386,
    };
    names.split(' ').nth(usize::try_from(kind).ok()?).filter(|name| *name != "-")
}

/// A kernel's file, of which one piece at a time is at hand.
pub trait Pieces {
    /// Why a piece cannot be had.
    type Error: From<RelocError>;

    /// Has `piece` at hand, which lies within the file and is at most [`PIECE_LEN`] long.
    fn open(&mut self, piece: FileRange) -> Result<(), Self::Error>;

    /// The little-endian number of `len` bytes, 4 or 8, that begins `at` bytes behind the start of the piece. Bytes that are not
    /// there are zero.
    fn number(&mut self, at: u64, len: u64) -> u64;
}

/// The same, and the memory that the kernel has been placed in.
pub trait Relocated: Pieces {
    /// The little-endian number at `place`, of 4 or 8 bytes; 0 where no number can be put.
    fn get(&mut self, place: PhysRange) -> u64;

    /// Puts a number there.
    fn put(&mut self, place: PhysRange, number: u64) -> Result<(), Self::Error>;
}

/// How a table says its relocations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Rela,
    Rel,
    Relr,
}

impl Form {
    /// Bytes of an entry.
    const fn entry_len(self, word: u64) -> u64 {
        match self {
            Self::Rela => 3 * word,
            Self::Rel => 2 * word,
            Self::Relr => word,
        }
    }
}

/// Where tables are in the file, each with its form.
pub(super) struct Tables([(FileRange, Form); 4]);

impl Tables {
    /// Where each is, of no bytes if there is none.
    pub(super) fn ranges(&self) -> impl Iterator<Item = FileRange> + '_ {
        self.0.iter().map(|(range, _)| *range)
    }

    /// Reads the dynamic table. `segments` gives the `p_vaddr` of each segment and its bytes in the file.
    pub(super) fn read<P: Pieces>(
        file: &mut P,
        file_len: u64,
        class: Class,
        dynamic: Dynamic,
        segments: impl Iterator<Item = (u64, FileRange)> + Clone,
    ) -> Result<Self, P::Error> {
        // Address, length, entries' length of each.
        let mut said = [[0; 3]; TABLES.len()];
        let mut plt_form = Form::Rela;
        let Dynamic { offset, len } = dynamic;
        let range = FileRange::new(offset, len).ok().filter(|range| range.end() <= file_len && len <= MAX_VIEW);
        let range = range.ok_or(RelocError::Dynamic { offset, len })?;
        if !range.is_empty() {
            file.open(range)?;
        }
        let word = class.word();
        for entry in 0..len / (2 * word) {
            let value = file.number((2 * entry + 1) * word, word);
            let tag = file.number(2 * entry * word, word);
            if tag == 0 {
                break;
            }
            if tag == PLTREL && value == REL {
                plt_form = Form::Rel;
            }
            for (said, (tags, ..)) in said.iter_mut().zip(&TABLES) {
                said.iter_mut().zip(tags).filter(|(_, known)| **known == tag).for_each(|(said, _)| *said = value);
            }
        }
        let mut tables = Self([(FileRange::default(), Form::Rela); 4]);
        for ((slot, [virt, len, found]), (tags, table, form)) in tables.0.iter_mut().zip(said).zip(&TABLES) {
            let form = if tags[2] == 0 { plt_form } else { *form };
            let expected = form.entry_len(word);
            if found != expected && len != 0 && tags[2] != 0 {
                return Err(RelocError::Entry { table, found, expected }.into());
            }
            let place = |(start, bytes): (u64, FileRange)| {
                let skip = virt.checked_sub(start).filter(|skip| *skip <= bytes.len())?;
                let range = FileRange::new(bytes.offset().checked_add(skip)?, len).ok()?;
                (range.end() <= bytes.end()).then_some(range)
            };
            let range = if len == 0 { Some(FileRange::default()) } else { segments.clone().find_map(place) };
            let range = range.filter(|_| len.is_multiple_of(expected));
            *slot = (range.ok_or(RelocError::Table { table, virt, len })?, form);
        }
        Ok(tables)
    }
}

/// Relocates a static PIE that lies where `plan` has it, from a file of `file_len` bytes. Nothing is done for others.
pub fn relocate<R: Relocated>(plan: &Plan, file_len: u64, target: &mut R) -> Result<(), R::Error> {
    let Some(pie) = plan.pie else { return Ok(()) };
    let segments = plan.placements.iter().map(|placement| (placement.virt.0.wrapping_sub(pie.bias), placement.file));
    let tables = Tables::read(target, file_len, plan.class, pie.dynamic, segments)?;
    let bytes = plan.placements.iter().fold(0u64, |sum, placement| sum.saturating_add(placement.memory.len()));
    let mut walk =
        Walk { plan, pie, word: plan.class.word(), left: bytes / 4, most: bytes / 4, segment: 0, next: None };
    for (range, form) in tables.0 {
        let mut at = range.offset();
        while at < range.end() {
            let piece = FileRange::new(at, PIECE_LEN.min(range.end() - at)).unwrap_or_default();
            target.open(piece)?;
            let step = form.entry_len(walk.word);
            for entry in 0..piece.len() / step {
                walk.entry(target, form, entry * step)?;
            }
            at = piece.end();
        }
    }
    Ok(())
}

/// A way through all tables.
struct Walk<'a> {
    plan: &'a Plan,
    pie: Pie,
    /// Bytes of an address.
    word: u64,
    /// How many relocations may still come.
    left: u64,
    most: u64,
    /// The segment that the last one was in.
    segment: usize,
    /// DT_RELR: the address of a bitmap's first bit.
    next: Option<u64>,
}

impl Walk<'_> {
    /// Applies the entry that begins `at` bytes behind the piece's start.
    fn entry<R: Relocated>(&mut self, target: &mut R, form: Form, at: u64) -> Result<(), R::Error> {
        let word = self.word;
        let first = target.number(at, word);
        if form == Form::Relr {
            return self.relr(target, first);
        }
        let info = target.number(at + word, word);
        let kind = if word == 8 { info as u32 } else { u32::from(info as u8) };
        match kind {
            NONE => Ok(()),
            RELATIVE => {
                let addend = if form == Form::Rela { Some(target.number(at + 2 * word, word)) } else { None };
                self.apply(target, first, addend)
            }
            kind => Err(RelocError::Kind { machine: self.pie.machine, kind, target: first }.into()),
        }
    }

    /// An address, or a bitmap of the addresses behind the last one.
    fn relr<R: Relocated>(&mut self, target: &mut R, entry: u64) -> Result<(), R::Error> {
        let (wrong, word) = (RelocError::Relr { entry }, self.word);
        if entry & 1 == 0 {
            if !entry.is_multiple_of(word) {
                return Err(wrong.into());
            }
            self.next = Some(entry.checked_add(word).ok_or(wrong)?);
            return self.apply(target, entry, None);
        }
        let first = self.next.ok_or(wrong)?;
        let bits = 8 * word - 1;
        for bit in (0..bits).filter(|bit| entry >> (bit + 1) & 1 != 0) {
            self.apply(target, first.checked_add(bit * word).ok_or(wrong)?, None)?;
        }
        // Past the last address there is nothing that a bit could stand for.
        self.next = first.checked_add(bits * word);
        Ok(())
    }

    /// Adds the bias to `addend`, or to what is there, and puts it where the file says `at`.
    fn apply<R: Relocated>(&mut self, target: &mut R, at: u64, addend: Option<u64>) -> Result<(), R::Error> {
        let place = self.place(at).ok_or(RelocError::Target { target: at })?;
        self.left = self.left.checked_sub(1).ok_or(RelocError::TooMany { most: self.most })?;
        let number = match addend {
            Some(addend) => addend,
            None => target.get(place),
        };
        target.put(place, number.wrapping_add(self.pie.bias))
    }

    /// The memory of a number that the file has at `at`. Where segments share addresses they share memory.
    fn place(&mut self, at: u64) -> Option<PhysRange> {
        let virt = at.wrapping_add(self.pie.bias);
        let placements = &self.plan.placements;
        let within = |index: usize| {
            let placement = placements.get(index)?;
            let skip = virt.checked_sub(placement.virt.0)?;
            (skip.checked_add(self.word)? <= placement.memory.len()).then_some(placement.memory.start().0 + skip)
        };
        let found = |index: usize| Some((index, within(index)?));
        let (index, start) = found(self.segment).or_else(|| (0..placements.len()).find_map(found))?;
        self.segment = index;
        PhysRange::sized(Phys(start), self.word).ok()
    }
}
