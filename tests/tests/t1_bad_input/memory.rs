//! Kernels for which there is no memory, or not where they want it.

use std::fs;

use harness::probe::{self, Content, Extra, Layout};
use harness::trial::Trouble;
use harness::{Exit, Machine, stage0};
use pack::build::Request;
use shared::memory::MIB;

use crate::{Bad, run};

/// Packs a kernel of that layout and starts it with `memory_mib`; what stage0 says.
fn refused(layout: &Layout, memory_mib: u64, says: &str) -> Result<String, Trouble> {
    let pack = pack_of(layout)?;
    run(layout.name, &Bad { memory_mib, ..Bad::pack(pack, says) })
}

fn pack_of(layout: &Layout) -> Result<Vec<u8>, Trouble> {
    let mut request = Request::new(layout.name, fs::read(probe::build(layout)?)?);
    request.settings.level = 1;
    Ok(request.build(&|_| ()).map_err(|error| error.to_string())?.pack)
}

/// It says how much would do; and so much does, and less does not.
fn too_little(layout: &Layout, memory_mib: u64) -> Result<(), Trouble> {
    let line = refused(layout, memory_mib, "not enough memory: ")?;
    let needed = line.split_once("expected ").and_then(|(_, rest)| rest.split_once(" MiB"));
    let needed: Option<u64> = needed.and_then(|(number, _)| number.parse().ok());
    let needed = needed.ok_or_else(|| format!("no number of MiB in: {line}"))?;
    refused(layout, needed - 1, "not enough memory: ")?;
    let pack = probe::file(&format!("{}.pack", layout.name), &pack_of(layout)?)?;
    let machine = Machine::new(format!("bad-{}-just-enough", layout.name), stage0::file()?);
    let outcome = machine.memory(needed).initrd(pack).run()?;
    Ok(outcome.ended(&Exit::Debug(probe::EXIT_OK))?)
}

/// Most of it is .bss.
pub(crate) fn more_than_there_is() -> Result<(), Trouble> {
    let bss = Extra { paddr: 32 * MIB, file_size: 0, memory_size: 512 * MIB, content: Content::Pages };
    too_little(&Layout::at("too-large", 16 * MIB).with(bss), 128)
}

/// The kernel is small, but where stage0 lies; its pack has 5 MiB that nothing makes smaller.
pub(crate) fn no_room_beside_the_pack() -> Result<(), Trouble> {
    let noise = Extra::whole(2 * MIB, 5 << 20, Content::Noise(1));
    too_little(&Layout::at("too-tight", MIB).with(noise), 12)
}

/// RAM does not reach so far.
pub(crate) fn behind_its_end() -> Result<(), Trouble> {
    refused(&Layout::at("too-high", 512 * MIB), 256, "not enough memory: ").map(drop)
}

/// No domain has RAM there.
pub(crate) fn no_ram(name: &'static str, base: u64) -> Result<(), Trouble> {
    refused(&Layout::at(name, base), 256, "memory is not RAM: ").map(drop)
}
