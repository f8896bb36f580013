//! The layouts that the direct protocol is tried with, and machines for them.

use anyhow::{Context, Result};
use pack::build::{Module, Request};
use shared::format::Codec;
use shared::memory::{GIB, MIB};

use super::{Direct, Kernel, Other};
use crate::probe::{self, Class, Content};
use crate::{Machine, stage0};

/// At each end of the address space and between, in reverse order, far apart, over RAM's own addresses, 32-bit ones.
pub fn layouts() -> Vec<Direct> {
    use Class::{Elf32, Elf64};
    let noise = |virt, phys, file_size, memory_size, access| {
        let content = Content::Noise(phys);
        Other { virt, phys, file_size, memory_size, access, content }
    };
    let far = Direct::at("direct-far-apart", Elf64, 0xffff_ffff_8000_0000, 200 * MIB)
        .with(noise(0xffff_8000_0000_0000, 3 * MIB, 70_000, 5 * MIB, (true, false)))
        .with(noise(0x7fff_ffff_f123, 128 * MIB + 0x123, 3000, 3000, (false, true)))
        .with(noise(0x7f00_0000_0000, 64 * MIB, 2 << 20, 4 * MIB, (false, false)))
        .with(noise(0xffff_a000_0020_0000, 20 * MIB, 0, 2 * MIB, (true, true)));
    let shadows = Direct::at("direct-shadows", Elf64, 0xffff_ffff_8000_0000, 32 * MIB)
        .with(noise(MIB, 100 * MIB, 4 * MIB as usize, 8 * MIB, (false, false)))
        .with(noise(100 * MIB, MIB, 10_000, MIB, (true, false)))
        .with(noise(250 * MIB, 120 * MIB, 5, 6 * MIB, (true, false)));
    vec![
        Direct::at("direct-top", Elf64, 0xffff_ffff_8000_0000, 16 * MIB),
        Direct::at("direct-upper", Elf64, 0xffff_9000_0000_0000, MIB),
        Direct::at("direct-1gib", Elf64, GIB, 16 * MIB),
        Direct::at("direct-0x1000", Elf64, 0x1000, 16 * MIB),
        Direct { reversed: true, places: [48 * MIB, 32 * MIB, 16 * MIB], ..far.clone() }.named("direct-reversed"),
        far,
        shadows,
        Direct { physical: true, ..Direct::at("direct-physical", Elf64, 0xffff_ffff_8000_0000, 16 * MIB) },
        Direct::at("direct-32-3gib", Elf32, 0xc000_0000, 16 * MIB),
        Direct::at("direct-32-fb4", Elf32, 0xfb40_0000, MIB),
    ]
}

impl Direct {
    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

/// A machine of 256 MiB that starts the kernel from a pack, which has two modules and a command line.
///
/// # Errors
/// Where the kernel cannot be packed, or the pack not be written.
pub fn machine(tier: &str, kernel: &Kernel) -> Result<Machine> {
    let mut request = Request::new(kernel.name, kernel.elf.clone());
    request.decisions = kernel.decisions;
    request.settings.codec = Codec::Lz4;
    request.cmdline = Some("first second".to_owned());
    let modules = [(5000, 1), (100_000, 2)].map(|(size, seed)| probe::module(size, Content::Noise(seed)));
    request.modules = modules.into_iter().map(|content| Module { name: "module".to_owned(), content }).collect();
    let built = request.build(&|_| ()).with_context(|| format!("probe layout {}", kernel.name))?;
    let pack = probe::file(&format!("{tier}-{}.pack", kernel.name), &built.pack)?;
    Ok(Machine::new(format!("{tier}-{}", kernel.name), stage0::file()?).initrd(pack))
}
