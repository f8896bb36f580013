//! How much memory a domain needs, and where everything goes in it, found by running stage0's own arrangement in simulated
//! domains.

use shared::format::Manifest;
use shared::kernel::{Kernel, Plan, Protocol, PvLayout, SliceFile};
use shared::memory::{
    ArrangeError, Arrangement, Builder, Found, GIB, MIB, NeedError, PAGE_SIZE, Phys, PhysRange, Ram, Region,
    RegionKind, Room, Started, VirtRange, Wanted, arrange, first_scratch, memory_need, scratch_len, simulated_domain,
};
use shared::pv::tables::window_len;
use shared::pv::{PvBuilder, PvDomain, PvError, StartOfDay};

use crate::layout::{Held, Who};

/// Most memory of a PV domain that is tried, bytes: as much as of others.
const MAX_TRIED: u64 = 16 * GIB;

/// All that decides where things go, but for the plan and the domain's size.
#[derive(Clone, Debug)]
pub struct Surroundings {
    builder: Builder,
    started: Started,
    virtual_stage0: VirtRange,
    /// Where a PV builder puts stage0.
    stage0_pv: Option<PvLayout>,
    scratch: u64,
    /// Bytes of each module in the pack, as a Linux gets them.
    modules: Vec<u64>,
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
            scratch: scratch_len(manifest.frames().map(|frame| frame.codec)),
            modules: manifest.handed(true).map(|module| module.len()).collect(),
        }
    }

    /// Where stage0 runs.
    pub fn virtual_stage0(&self) -> Held {
        let (start, end) = (self.virtual_stage0.start().0, self.virtual_stage0.end().0);
        Held { start, end, holder: Who::Stage0, label: "stage0".to_owned() }
    }

    /// The smallest memory, bytes, that `plan` finds its place in.
    pub fn need(&self, plan: &Plan) -> Result<u64, NoPlace> {
        if plan.protocol != Protocol::Pv {
            return memory_need(self.builder, &self.started, &self.wanted(plan)).map_err(NoPlace::Never);
        }
        let kernel: u64 = plan.areas.iter().map(PhysRange::len).sum();
        let mut memory = (kernel.saturating_add(self.started.pack_len) / MIB * MIB).max(MIB);
        loop {
            match self.arrange(plan, memory) {
                Ok(_) => return Ok(memory),
                Err(error) if memory >= MAX_TRIED => return Err(error),
                Err(error @ (NoPlace::NoPvEntry | NoPlace::Modules { .. })) => return Err(error),
                Err(_) => memory += MIB,
            }
        }
    }

    /// Where everything goes in a domain of `memory` bytes. An error if not even the pack fits into it.
    pub fn domain(&self, plan: &Plan, memory: u64) -> Result<Arranged, NoPlace> {
        if let (Protocol::Pv, Some(layout)) = (plan.protocol, &plan.pv) {
            return self.pv_domain(plan, layout, memory);
        }
        let (ram, pack) = simulated_domain(self.builder, memory, &self.started).map_err(NoPlace::Arrange)?;
        let (stage0, structures) = (self.started.stage0, PhysRange::EMPTY);
        let found = Found { ram: &ram, stage0, pack, modules: &[], structures, rsdp: None };
        let arrangement = self.arranged(&found, &self.wanted(plan));
        Ok(Arranged { ram, stage0, pack, structures, start_of_day: None, arrangement })
    }

    /// The same, where it must have a place.
    pub fn arrange(&self, plan: &Plan, memory: u64) -> Result<Arrangement, NoPlace> {
        self.domain(plan, memory)?.arrangement.map_err(NoPlace::Arrange)
    }

    /// A PV domain that the toolstack builds: stage0 is laid out as any PV kernel is, the pack being its module.
    fn pv_domain(&self, plan: &Plan, layout: &PvLayout, memory: u64) -> Result<Arranged, NoPlace> {
        let domain = PvDomain { nr_pages: memory / PAGE_SIZE, builder: PvBuilder::Toolstack };
        let stage0 = self.started.stage0;
        let own = self.stage0_pv.as_ref().ok_or(NoPlace::NoPvEntry)?;
        let first = StartOfDay::new(own, stage0, self.started.pack_len, &domain).map_err(NoPlace::Pv)?;
        let start = first.p2m.start().min(first.start_info.start()).min(first.tables_at.start());
        let structures = PhysRange::new(start, first.stack.end()).unwrap_or_default();

        let all = PhysRange::new(Phys(0), Phys(memory)).unwrap_or_default();
        let window = window_len(domain.nr_pages);
        let too_small = NoPlace::Pv(PvError::TooSmall { needed: first.end.0.saturating_add(window), found: memory });
        let window = all.end().checked_sub(window).filter(|start| *start >= first.end).ok_or(too_small)?;
        let window = PhysRange::new(window, all.end()).unwrap_or_default();
        let regions = [(all, RegionKind::Ram), (window, RegionKind::Other(0))];
        let regions = regions.map(|(range, kind)| Region { range, kind });
        let ram = Ram::from_regions(regions.into_iter()).unwrap_or_default();

        let module = match self.modules.as_slice() {
            [] => 0,
            [module] => *module,
            more => return Err(NoPlace::Modules { found: more.len() }),
        };
        let kernel = plan.areas.first().copied().unwrap_or_default();
        let start_of_day = StartOfDay::new(layout, kernel, module, &domain).map_err(NoPlace::Pv)?;
        let areas = start_of_day.areas();
        let wanted = Wanted { kernel: &areas, room: Room::PV, ..self.wanted(plan) };
        let found = Found { ram: &ram, stage0, pack: first.module, modules: &[], structures, rsdp: None };
        let arrangement = self.arranged(&found, &wanted);
        Ok(Arranged { ram, stage0, pack: first.module, structures, start_of_day: Some(start_of_day), arrangement })
    }

    fn arranged(&self, found: &Found<'_>, wanted: &Wanted<'_>) -> Result<Arrangement, ArrangeError> {
        first_scratch(found, self.scratch)?;
        arrange(found, wanted)
    }

    fn wanted<'a>(&self, plan: &'a Plan) -> Wanted<'a> {
        Wanted { kernel: &plan.areas, relocation: plan.relocation, scratch: self.scratch, room: Room::PVH }
    }
}
