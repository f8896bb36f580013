//! How much memory a domain needs, and where everything goes in it, found by running stage0's own arrangement in simulated
//! domains.

use shared::format::Manifest;
use shared::kernel::{Kernel, Plan, Protocol, PvLayout, SliceFile};
use shared::memory::{
    ArrangeError, Arrangement, Builder, Direct, Found, Low, NeedError, PhysRange, Ram, Room, Started, VIEW_LEN,
    VirtRange, Wanted, arrange, first_scratch, memory_need, simulated_domain,
};
use shared::pv::{PvBuilder, PvError, PvNeedError, PvWanted, SimulatedPv, StartOfDay, pv_memory_need, simulated_pv};

use crate::layout::{Held, Who};

/// All that decides where things go, but for the plan and the domain's size.
#[derive(Clone, Debug)]
pub struct Surroundings {
    builder: Builder,
    started: Started,
    virtual_stage0: VirtRange,
    /// Where a PV builder puts stage0.
    stage0_pv: Option<PvLayout>,
    /// Bytes of each module in the pack, as a Linux gets them.
    modules: Vec<u64>,
    /// Whether the pack has anything that the kernel is handed.
    hands: bool,
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
    /// What a PV builder put behind both; empty in other domains.
    pub structures: PhysRange,
    /// What the kernel is started with in a PV domain.
    pub start_of_day: Option<StartOfDay>,
    /// Where everything goes, or why it has no place.
    pub arrangement: Result<Arrangement, ArrangeError>,
}

/// Why there is no such domain.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoPlace {
    /// Something cannot lie where it must, or anywhere.
    #[error("{0}")]
    Arrange(ArrangeError),
    /// No domain will do.
    #[error("{0}")]
    Never(NeedError),
    /// No PV domain will do.
    #[error("{0}")]
    NeverPv(PvNeedError),
    /// What a PV kernel, or stage0 itself, is started with does not fit.
    #[error("{0}")]
    Pv(PvError),
    /// stage0 is no PV kernel.
    #[error("stage0: no PV entry")]
    NoPvEntry,
    /// More modules than a PV kernel can be handed.
    #[error("too many modules: pack, expected at most one for PV, found {found}: put all into one initrd")]
    Modules {
        /// How many there are.
        found: usize,
    },
}

impl Surroundings {
    /// Those in which `builder` starts `stage0`, an image, with the pack of `manifest`.
    pub fn new(stage0: &[u8], manifest: &Manifest<'_>, builder: Builder) -> Self {
        let kernel = Kernel::read(&mut SliceFile(stage0)).ok();
        let plan = |protocol| kernel.as_ref().and_then(|kernel| kernel.plan(protocol, &Default::default()).ok());
        let pvh = plan(Protocol::Pvh);
        // A builder gives it whole pages.
        let place = pvh.as_ref().and_then(|plan| plan.areas.first().copied()).unwrap_or_default();
        let linked = pvh.iter().flat_map(|plan| &plan.placements);
        let linked = linked.filter_map(|place| VirtRange::sized(place.virt, place.memory.len()).ok());
        Self {
            builder,
            started: Started { stage0: place, pack_len: manifest.pack_len() },
            virtual_stage0: linked.fold(VirtRange::EMPTY, |hull, range| hull.hull(&range)),
            stage0_pv: plan(Protocol::Pv).and_then(|plan| plan.pv),
            modules: manifest.handed(true).map(|module| module.len()).collect(),
            hands: manifest.hands(),
        }
    }

    /// Where stage0 runs.
    pub fn virtual_stage0(&self) -> Held {
        let (start, end) = (self.virtual_stage0.start().0, self.virtual_stage0.end().0);
        Held { start, end, holder: Who::Stage0, label: "stage0".to_owned() }
    }

    /// The smallest memory, bytes, that `plan` finds its place in.
    pub fn need(&self, plan: &Plan) -> Result<u64, NoPlace> {
        match &plan.pv {
            Some(layout) => pv_memory_need(&self.wanted_pv(plan, layout)?).map_err(NoPlace::NeverPv),
            None => memory_need(self.builder, &self.started, &self.wanted(plan)).map_err(NoPlace::Never),
        }
    }

    /// Where everything goes in a domain of `memory` bytes. An error if not even the pack fits into it.
    pub fn domain(&self, plan: &Plan, memory: u64) -> Result<Arranged, NoPlace> {
        let stage0 = self.started.stage0;
        if let Some(layout) = &plan.pv {
            let simulated = simulated_pv(&self.wanted_pv(plan, layout)?, memory).map_err(NoPlace::Pv)?;
            let SimulatedPv { ram, pack, structures, start_of_day, arrangement } = simulated;
            return Ok(Arranged { ram, stage0, pack, structures, start_of_day: Some(start_of_day), arrangement });
        }
        let (ram, pack) = simulated_domain(self.builder, memory, &self.started).map_err(NoPlace::Arrange)?;
        let structures = PhysRange::EMPTY;
        let found = Found { ram: &ram, stage0, pack, modules: &[], structures, rsdp: None };
        let arrangement = first_scratch(&found, VIEW_LEN).and_then(|_| arrange(&found, &self.wanted(plan)));
        Ok(Arranged { ram, stage0, pack, structures, start_of_day: None, arrangement })
    }

    /// The same, where it must have a place.
    pub fn arrange(&self, plan: &Plan, memory: u64) -> Result<Arrangement, NoPlace> {
        self.domain(plan, memory)?.arrangement.map_err(NoPlace::Arrange)
    }

    /// What decides on a PV domain that the toolstack builds.
    fn wanted_pv<'a>(&'a self, plan: &Plan, layout: &'a PvLayout) -> Result<PvWanted<'a>, NoPlace> {
        let module = match self.modules.as_slice() {
            [] => 0,
            [module] => *module,
            more => return Err(NoPlace::Modules { found: more.len() }),
        };
        Ok(PvWanted {
            own: self.stage0_pv.as_ref().ok_or(NoPlace::NoPvEntry)?,
            started: self.started,
            layout,
            kernel: plan.areas.first().copied().unwrap_or_default(),
            module,
            scratch: VIEW_LEN,
            builder: PvBuilder::Toolstack,
        })
    }

    fn wanted<'a>(&self, plan: &'a Plan) -> Wanted<'a> {
        // Pages of 1 GiB, where the processor has them, only make it less.
        let direct = Direct { plan, gib_pages: false };
        let (room, direct) =
            if plan.protocol == Protocol::Direct { (Room::DIRECT, Some(direct)) } else { (Room::PVH, None) };
        Wanted {
            kernel: &plan.areas,
            relocation: plan.relocation,
            scratch: VIEW_LEN,
            room,
            direct,
            low: Low::of(plan, self.hands),
        }
    }
}
