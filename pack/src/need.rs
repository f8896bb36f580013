//! How much memory a domain needs, found by running stage0's own arrangement in simulated ones.

use shared::format::Manifest;
use shared::kernel::{Kernel, Plan, Protocol, SliceFile};
use shared::memory::{Builder, NeedError, PhysRange, Room, Started, Wanted, memory_need, scratch_len};

/// The smallest memory that `plan` finds its place in, bytes, in a domain of `builder`'s in which `stage0`, an image,
/// is started with the pack of `manifest`.
pub(crate) fn need(stage0: &[u8], manifest: &Manifest<'_>, plan: &Plan, builder: Builder) -> Result<u64, NeedError> {
    let started = Started { stage0: place(stage0), pack_len: manifest.pack_len() };
    let scratch = scratch_len(manifest.frames().map(|frame| frame.codec));
    let wanted = Wanted { kernel: &plan.areas, relocation: plan.relocation, scratch, room: Room::PVH };
    memory_need(builder, &started, &wanted)
}

/// Where a builder places a stage0: it is a PVH kernel like any other.
fn place(stage0: &[u8]) -> PhysRange {
    let kernel = Kernel::read(&mut SliceFile(stage0)).ok();
    let plan = kernel.and_then(|kernel| kernel.plan(Protocol::Pvh, &Default::default()).ok());
    plan.map(|plan| plan.extent).unwrap_or_default()
}
