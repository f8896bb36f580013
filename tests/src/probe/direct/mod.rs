//! Kernels for the direct protocol: the probe's three segments, each at a place of its own, and others with them.

mod elf;
mod layouts;
mod promises;

use std::path::PathBuf;

use anyhow::{Context, Result};
use object::elf::{PF_R, PF_W, PF_X};
use probe::{DirectSegment, DirectTable, TABLE_PAGE};
use zerocopy::IntoBytes;

pub use layouts::{layouts, machine};
pub use promises::check;

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

    /// Writes the kernel to the target folder.
    ///
    /// # Errors
    /// Where the probe cannot be compiled, the layout makes no ELF, or the file cannot be written.
    pub fn build(&self) -> Result<PathBuf> {
        super::file(&format!("{}.elf", self.name), &self.elf()?)
    }

    /// The kernel's file.
    ///
    /// # Errors
    /// Where the probe cannot be compiled, or the layout makes no ELF.
    pub fn elf(&self) -> Result<Vec<u8>> {
        let image = image::direct(self.virt)?;
        let mut loads = self.loads(&image);
        let mut table = DirectTable { segment_count: loads.len() as u64, ..DirectTable::default() };
        table.name[..self.name.len()].copy_from_slice(self.name.as_bytes());
        for (number, (segment, load)) in table.segments.iter_mut().zip(&loads).enumerate() {
            // The table is among the constants, and the data are written.
            let hashed = if matches!(number, 1 | 2) { 0 } else { load.file.len() };
            let (virt, phys, memory_size) = (load.virt, load.phys, load.memory_size);
            let hash = probe::hash(&load.file[..hashed]);
            *segment = DirectSegment { virt, phys, memory_size, hashed: hashed as u64, hash };
        }
        let constants = &mut loads[1].file;
        let page = constants.len().checked_sub(TABLE_PAGE).context("the image has no table")?;
        constants[page..][..size_of::<DirectTable>()].copy_from_slice(table.as_bytes());
        let entry = if self.physical { self.places[0] } else { self.virt };
        let entry = entry + if self.class == Class::Elf64 { 0 } else { 0x1000 };
        if self.reversed {
            loads.reverse();
        }
        elf::write(self.class, entry, &loads)
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
