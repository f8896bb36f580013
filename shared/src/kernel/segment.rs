//! A program header that is loaded, as the file has it.

use core::fmt;

use crate::memory::{FileRange, Virt};

/// The most program headers that a kernel may have. Kernels of today have 2 to 8; what is beyond would only make the
/// fixed tables of stage0 larger.
pub const MAX_SEGMENTS: usize = 64;

/// Access that a program header asks for (`p_flags`; the ELF specification's PF_R, PF_W, PF_X).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (set, letter) in [(self.read, "R"), (self.write, "W"), (self.execute, "X")] {
            f.write_str(if set { letter } else { "-" })?;
        }
        Ok(())
    }
}

/// A PT_LOAD program header with at least one access right, as libelf's `elf_phdr_is_loadable` has it.
///
/// [`Kernel::read`](super::Kernel::read) has checked that `file` lies within the file, that it is no longer than
/// `memory_len`, and that `paddr + memory_len` does not exceed 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Number of the program header, from 0.
    pub index: u16,
    /// Access asked for.
    pub access: Access,
    /// `p_offset`, `p_filesz`.
    pub file: FileRange,
    /// `p_paddr` as the file has it: not yet a place in memory, which is `p_paddr` less the plan's offset.
    pub paddr: u64,
    /// `p_vaddr`.
    pub vaddr: Virt,
    /// `p_memsz`, bytes.
    pub memory_len: u64,
    /// `p_align`, bytes, as the file has it.
    pub align: u64,
}

impl Segment {
    /// `p_paddr` behind the last byte.
    pub const fn paddr_end(&self) -> u64 {
        self.paddr.saturating_add(self.memory_len)
    }
}
