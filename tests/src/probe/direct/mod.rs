//! Kernels for the direct protocol: the probe's three segments, each at a place of its own, and others with them.

mod draw;
mod elf;
mod layouts;
mod promises;
mod solaris;

use anyhow::{Context, Result, bail};
use object::elf::{PF_R, PF_W, PF_X};
use probe::{DirectSegment, DirectTable, TABLE_PAGE};
use shared::kernel::{Decisions, Protocol};
use shared::memory::{Phys, PhysRange};
use zerocopy::IntoBytes;

pub use draw::drawn;
pub use layouts::{layouts, machine};
pub use promises::{CR4_MCE, Processor, check};
pub use solaris::solaris;

use super::image::{self, DirectImage};
use super::{Class, Content};

/// A kernel made of the direct protocol's probe.
#[derive(Clone, Debug)]
pub struct Direct {
    /// Names the file, and is the first thing that the probe prints. At most 31 bytes.
    pub name: &'static str,
    /// ELF64, or ELF32.
    pub class: Class,
    /// Where the image is linked; for ELF32 a multiple of 2 MiB.
    pub virt: u64,
    /// Places of its text, constants and data.
    pub places: [u64; 3],
    /// Other segments. At most 9.
    pub others: Vec<Other>,
    /// Whether the program headers are in reverse order.
    pub reversed: bool,
    /// Whether `e_entry` is physical.
    pub physical: bool,
}

/// Where in the image a 32-bit kernel is entered.
const ENTRY_32: u64 = 0x1000;

/// A kernel, and what is known of it.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its name.
    pub name: &'static str,
    /// Its ELF file.
    pub elf: Vec<u8>,
    /// What is decided when it is packed.
    pub decisions: Decisions,
    /// How wide it is.
    pub class: Class,
    physical: bool,
    to_try: [u64; 3],
    loads: Vec<Load>,
}

impl Kernel {
    /// Whether a segment's place, and whether one's address, is where `range` is.
    pub fn collides(&self, range: PhysRange) -> [bool; 2] {
        let place = |load: &Load| (load.phys, load.memory_size);
        let shadow = |load: &Load| (load.virt, load.memory_size);
        let meets = |(start, len)| PhysRange::sized(Phys(start), len).is_ok_and(|other| other.overlaps(&range));
        [self.loads.iter().map(place).any(meets), self.loads.iter().map(shadow).any(meets)]
    }
}

/// The protocol, and nothing else.
fn direct() -> Decisions {
    Decisions { protocol: Some(Protocol::Direct), ..Decisions::default() }
}

/// A segment besides the image.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    /// `p_vaddr`.
    pub virt: u64,
    /// `p_paddr`, congruent to it modulo 4096.
    pub phys: u64,
    /// Bytes of it in the file.
    pub file_size: usize,
    /// Bytes of it in memory, at least one.
    pub memory_size: u64,
    /// `PF_W`, `PF_X`.
    pub access: (bool, bool),
    /// What the file's bytes are.
    pub content: Content,
}

/// A segment as it is written.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) virt: u64,
    pub(super) phys: u64,
    pub(super) file: Vec<u8>,
    pub(super) memory_size: u64,
    pub(super) flags: u32,
}

impl Direct {
    /// The image alone, linked at `virt`, its segments one after the other from `phys` on.
    pub fn at(name: &'static str, class: Class, virt: u64, phys: u64) -> Self {
        let places = [phys, phys + (1 << 20), phys + (2 << 20)];
        Self { name, class, virt, places, others: Vec::new(), reversed: false, physical: false }
    }

    /// With one more segment.
    pub fn with(mut self, other: Other) -> Self {
        self.others.push(other);
        self
    }

    /// The kernel.
    ///
    /// # Errors
    /// Where the probe cannot be compiled, or the layout makes no ELF.
    pub fn kernel(&self) -> Result<Kernel> {
        let mut loads = self.loads(&image::direct(self.virt)?);
        let [text, constants, data, ..] = loads.as_slice() else { bail!("an image of three parts") };
        let table = DirectTable {
            places: [text.phys, constants.phys, data.phys],
            to_try: [text.virt, text.phys, data.virt],
            ..DirectTable::default()
        };
        // The table is among the constants, and the data are written.
        let page = constants.file.len().checked_sub(TABLE_PAGE).context("the image has no table")?;
        let table = filled(table, self.name, &loads, &[1, 2]);
        loads[1].file[page..][..size_of::<DirectTable>()].copy_from_slice(table.as_bytes());
        let entry = if self.physical { self.places[0] } else { self.virt };
        let entry = entry + if self.class == Class::Elf64 { 0 } else { ENTRY_32 };
        let mut ordered = loads.clone();
        if self.reversed {
            ordered.reverse();
        }
        let elf = elf::write(self.class, entry, &ordered)?;
        let (name, class, physical, to_try) = (self.name, self.class, self.physical, table.to_try);
        Ok(Kernel { name, class, physical, decisions: direct(), to_try, elf, loads })
    }

    fn loads(&self, image: &DirectImage) -> Vec<Load> {
        let parts = image.parts.iter().zip(self.places).map(|(part, phys)| Load {
            virt: self.virt.wrapping_add(part.offset),
            // Entered at its physical address, it finds its other parts from there.
            phys: if self.physical { self.places[0] + part.offset } else { phys },
            file: part.file.clone(),
            memory_size: part.memory_size,
            flags: part.flags,
        });
        let others = self.others.iter().map(|other| {
            let (write, execute) = other.access;
            let flags = PF_R.0 | if write { PF_W.0 } else { 0 } | if execute { PF_X.0 } else { 0 };
            let (file, memory_size) = (other.content.bytes(other.file_size), other.memory_size);
            Load { virt: other.virt, phys: other.phys, file, memory_size, flags }
        });
        parts.chain(others).collect()
    }
}

/// The table, which tells of the segments; those whose numbers are in `unhashed` are not what they were.
fn filled(mut table: DirectTable, name: &str, loads: &[Load], unhashed: &[usize]) -> DirectTable {
    table.name[..name.len()].copy_from_slice(name.as_bytes());
    table.segment_count = loads.len() as u64;
    for (number, (segment, load)) in table.segments.iter_mut().zip(loads).enumerate() {
        let hashed = if unhashed.contains(&number) { 0 } else { load.file.len() };
        let (virt, phys, memory_size) = (load.virt, load.phys, load.memory_size);
        let hash = probe::hash(&load.file[..hashed]);
        *segment = DirectSegment { virt, phys, memory_size, hashed: hashed as u64, hash };
    }
    table
}
