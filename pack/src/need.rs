//! How much memory a domain needs, and where everything goes in it, found by running stage0's own arrangement in simulated
//! domains.

use shared::format::Manifest;
use shared::kernel::{Kernel, Plan, Protocol, SliceFile};
use shared::memory::{
    ArrangeError, Arrangement, Builder, Found, NeedError, PhysRange, Ram, Room, Started, VirtRange, Wanted, arrange,
    first_scratch, memory_need, scratch_len, simulated_domain,
};

use crate::layout::{Held, Who};

/// All that decides where things go, but for the plan and the domain's size.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    builder: Builder,
    started: Started,
    virtual_stage0: VirtRange,
    scratch: u64,
}

/// A domain of a certain size: what stage0 would find in it, and where everything would go.
#[derive(Clone, Debug)]
pub struct Arranged {
    /// The domain's RAM.
    pub ram: Ram,
    /// Where stage0 is at first.
    pub stage0: PhysRange,
    /// Where the pack is at first.
    pub pack: PhysRange,
    /// Where everything goes, or why it has no place.
    pub arrangement: Result<Arrangement, ArrangeError>,
}

impl Surroundings {
    /// Those in which `builder` starts `stage0`, an image, with the pack of `manifest`.
    pub fn new(stage0: &[u8], manifest: &Manifest<'_>, builder: Builder) -> Self {
        let (stage0, virtual_stage0) = place(stage0);
        let started = Started { stage0, pack_len: manifest.pack_len() };
        let scratch = scratch_len(manifest.frames().map(|frame| frame.codec));
        Self { builder, started, virtual_stage0, scratch }
    }

    /// Where stage0 runs.
    pub fn virtual_stage0(&self) -> Held {
        let (start, end) = (self.virtual_stage0.start().0, self.virtual_stage0.end().0);
        Held { start, end, holder: Who::Stage0, label: "stage0".to_owned() }
    }

    /// The smallest memory, bytes, that `plan` finds its place in.
    pub fn need(&self, plan: &Plan) -> Result<u64, NeedError> {
        memory_need(self.builder, &self.started, &self.wanted(plan))
    }

    /// Where everything goes in a domain of `memory` bytes. An error if not even the pack fits into it.
    pub fn domain(&self, plan: &Plan, memory: u64) -> Result<Arranged, ArrangeError> {
        let (ram, pack) = simulated_domain(self.builder, memory, &self.started)?;
        let stage0 = self.started.stage0;
        let found = Found { ram: &ram, stage0, pack, modules: &[], structures: PhysRange::EMPTY, rsdp: None };
        let arrangement = first_scratch(&found, self.scratch).and_then(|_| arrange(&found, &self.wanted(plan)));
        Ok(Arranged { ram, stage0, pack, arrangement })
    }

    /// The same, where it must have a place.
    pub fn arrange(&self, plan: &Plan, memory: u64) -> Result<Arrangement, ArrangeError> {
        self.domain(plan, memory)?.arrangement
    }

    fn wanted<'a>(&self, plan: &'a Plan) -> Wanted<'a> {
        Wanted { kernel: &plan.areas, relocation: plan.relocation, scratch: self.scratch, room: Room::PVH }
    }
}

/// Where a builder places a stage0, which is a PVH kernel like any other, and where it is linked.
fn place(stage0: &[u8]) -> (PhysRange, VirtRange) {
    let kernel = Kernel::read(&mut SliceFile(stage0)).ok();
    let plan = kernel.and_then(|kernel| kernel.plan(Protocol::Pvh, &Default::default()).ok());
    let Some(plan) = plan else { return Default::default() };
    let linked = plan.placements.iter().filter_map(|place| VirtRange::sized(place.virt, place.memory.len()).ok());
    (plan.extent, linked.fold(VirtRange::EMPTY, |hull, range| hull.hull(&range)))
}
