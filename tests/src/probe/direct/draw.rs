//! Kernels drawn at random whose places, and whose addresses, are those of what a PC of 256 MiB holds when stage0 begins.

use fastrand::Rng;
use shared::memory::{MIB, PAGE_SIZE, Phys, PhysRange};

use super::{Direct, Other};
use crate::probe::{Class, Content};

/// The RAM of such a machine, but for what QEMU keeps at its top.
const RAM: [(u64, u64); 2] = [(0x1000, 0x9f000), (MIB, 0xffd_f000)];
/// Where something is: what QEMU hands over, stage0, the ramdisk and what stage0 makes for itself.
const THINGS: [(u64, u64); 3] = [(0x1000, 0x3000), (MIB, MIB + 0x6_0000), (0xfe0_0000, 0xffb_0000)];
/// Bytes that each part of the image may have in memory.
const PART: u64 = 0x2_0000;

/// `count` kernels, the same for the same seed: each place, and most addresses, about one of the things; every third is an
/// ELF32.
pub fn drawn(seed: u64, count: usize) -> Vec<Direct> {
    let mut rng = Rng::with_seed(seed);
    let mut kernels = Vec::new();
    while kernels.len() < count {
        let number = kernels.len();
        kernels.extend(draw(&mut rng, number).filter(fits));
    }
    kernels
}

fn about(rng: &mut Rng) -> u64 {
    let (start, end) = THINGS[rng.usize(..THINGS.len())];
    rng.u64(start..end) & !(PAGE_SIZE - 1)
}

fn draw(rng: &mut Rng, number: usize) -> Option<Direct> {
    let narrow = number % 3 == 2;
    let virt = if narrow { 0xc000_0000 } else { 0xffff_ffff_8000_0000 };
    let others = (0..rng.usize(1..4)).map(|n| {
        let within = rng.u64(..PAGE_SIZE);
        let is_apart = rng.bool() && rng.bool();
        let virt = if is_apart { virt + (n as u64 + 1) * 16 * MIB } else { about(rng) };
        let (file_size, zeros) = (rng.usize(..200_000), rng.u64(1..MIB));
        Other {
            virt: virt + within,
            phys: about(rng) + within,
            file_size,
            memory_size: file_size as u64 + if rng.bool() { zeros } else { 1 },
            access: (rng.bool(), rng.bool()),
            content: Content::Noise(rng.u64(..)),
        }
    });
    let others = others.collect();
    let places = [(); 3].map(|()| about(rng));
    let class = if narrow { Class::Elf32 } else { Class::Elf64 };
    let name = format!("collision-{number}").leak();
    Some(Direct { name, class, virt, places, others, reversed: rng.bool(), physical: false })
}

/// Whether its segments lie in RAM, apart from each other, and nothing hides the 1:1 address at which the probe writes to its text.
fn fits(kernel: &Direct) -> bool {
    let pages = |start: u64, len: u64| PhysRange::sized(Phys(start), len).and_then(|range| range.page_hull());
    let parts = kernel.places.iter().map(|place| pages(*place, PART));
    let places = parts.chain(kernel.others.iter().map(|other| pages(other.phys, other.memory_size)));
    let Ok(places) = places.collect::<Result<Vec<_>, _>>() else { return false };
    let Ok(virts) =
        kernel.others.iter().map(|other| pages(other.virt, other.memory_size)).collect::<Result<Vec<_>, _>>()
    else {
        return false;
    };
    let apart = |list: &[PhysRange]| (1..list.len()).all(|n| list[..n].iter().all(|other| !other.overlaps(&list[n])));
    let ram = |range: &PhysRange| RAM.iter().any(|(start, end)| *start <= range.start().0 && range.end().0 <= *end);
    let hidden = virts.iter().any(|virt| virt.contains(Phys(kernel.places[0])));
    apart(&places) && apart(&virts) && places.iter().all(ram) && !hidden
}
