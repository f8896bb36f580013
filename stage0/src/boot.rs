//! The way of a kernel through stage0: find, verify, plan, arrange, place.

use core::fmt;

use shared::cmdline::{self, Dropped, KernelCmdline, Options};
use shared::format::{MAX_MANIFEST_LEN, Manifest};
use shared::kernel::{Decisions, Kernel, Name, Plan, PlanError, Protocol, PvLayout};
use shared::measure::{self, Hex, Measured, Short};
use shared::memory::{
    Arrangement, Builder, Direct, FileRange, Found, Holder, Low, MIB, PAGE_SIZE, Phys, PhysRange, Ram, Room, Started,
    VIEW_LEN, Virt, Wanted, arrange, first_scratch, lowest_place, memory_need, shifted,
};
use shared::pv::{PvDomain, PvWanted, StartOfDay, pv_memory_need};
use shared::trust::{TrustSlot, check_required};
use shared::visible::write_line;

use crate::error::Error;
use crate::handover::Module;
use crate::load::{LoadError, Memory, Meter, PackedFile, Phase, Ramdisk, place, relocate, verify_member};
use crate::platform::Machine;
use crate::platform::handed::Handed;

/// stage0's copy of a manifest: what has been checked is what is used, and the pack may move meanwhile.
pub type ManifestCopy = [u8; MAX_MANIFEST_LEN as usize];

/// What is known of the domain before its pack has been looked at.
pub struct Domain<'a> {
    /// What the builder handed over.
    pub handed: &'a Handed,
    /// What it asks of stage0.
    pub options: Options,
    /// Whose packs are started.
    pub trust: &'a TrustSlot,
    /// What of stage0's file is loaded.
    pub file: &'a [u8],
    /// Its RAM.
    pub ram: Ram,
    /// stage0's image.
    pub image: PhysRange,
    /// Whose habits the domain follows.
    pub builder: Builder,
    /// What is known of a PV domain; `None` in others.
    pub pv: Option<Pv>,
    /// Whether the processor has pages of 1 GiB.
    pub gib_pages: bool,
    /// Where lines for people go.
    pub log: &'a mut dyn fmt::Write,
}

/// What is known of a PV domain.
#[derive(Clone, Copy, Debug)]
pub struct Pv {
    /// Its size, and who built it.
    pub domain: PvDomain,
    /// The virtual address of pseudo-physical 0 when stage0 begins.
    pub base: Virt,
    /// What the builder put behind stage0 and the pack.
    pub structures: PhysRange,
}

/// A kernel in place.
pub struct Loaded<'m> {
    /// The pack's manifest.
    pub manifest: Manifest<'m>,
    /// Where the kernel was planned to go.
    pub plan: Plan,
    /// Where everything is.
    pub arrangement: Arrangement,
    /// What the kernel gets as its command line.
    pub cmdline: KernelCmdline,
    /// What the kernel calls itself.
    pub name: Name,
    /// By how many bytes all that it gets of the pack lies lower than where it was stored.
    pub sunk: u64,
    /// Where the log of measurements is, if the pack wants one.
    pub log: Option<PhysRange>,
    /// What a PV kernel is started with.
    pub start_of_day: Option<StartOfDay>,
    /// Where ACPI's root pointer is for it.
    pub rsdp: Phys,
}

impl Loaded<'_> {
    /// Where the kernel is.
    pub fn place(&self) -> PhysRange {
        shifted(&self.plan.extent, self.arrangement.shift).unwrap_or(self.plan.extent)
    }

    /// What the kernel calls itself, else how its file is called.
    pub fn name(&self) -> &str {
        if self.name.is_empty() { self.manifest.kernel().name } else { &self.name }
    }

    /// The modules that the kernel gets: the pack's, the log of measurements, then those that the builder passed beside the
    /// pack.
    pub fn modules<'a>(&'a self, handed: &'a Handed) -> impl Iterator<Item = Module<'a>> {
        let ramdisk = Ramdisk { base: self.arrangement.pack.start() };
        let sunk = self.sunk;
        let packed = self.manifest.handed(self.plan.linux).filter_map(move |stored| sunken(ramdisk, stored, sunk));
        let packed = packed.map(|range| Module { range, cmdline: None });
        let packed = packed.chain(self.log.map(|range| Module { range, cmdline: Some(measure::NAME.as_bytes()) }));
        let places = self.arrangement.modules.iter();
        packed.chain(handed.modules.iter().skip(1).zip(places).filter_map(|(module, place)| {
            let offset = module.range.start().0 % PAGE_SIZE;
            let range = PhysRange::sized(place.start().checked_add(offset)?, module.range.len()).ok()?;
            Some(Module { range, cmdline: module.cmdline.as_deref() })
        }))
    }
}

/// Prints a line, unless the builder wants none.
macro_rules! say {
    ($domain:expr, $($text:tt)*) => {
        if !$domain.options.quiet {
            write_line($domain.log, format_args!($($text)*));
        }
    };
}

/// Loads the kernel of the pack that the builder passed.
pub fn load<'m, M: Machine + ?Sized>(
    machine: &mut M,
    domain: &mut Domain<'_>,
    copy: &'m mut ManifestCopy,
    meter: &mut Meter<M::Clock>,
) -> Result<Loaded<'m>, Error> {
    let pack = find_pack(domain)?;
    let manifest = read_manifest(machine.memory(), pack, copy, meter)?;
    say!(domain, "stage0: pack: {} KiB, sha256 {}", manifest.pack_len().div_ceil(1024), Hex(manifest.digest()));
    domain.trust.check(&manifest)?;
    check_required(&manifest, domain.options.require.as_ref())?;
    // What nobody vouches for.
    let beside = domain.handed.modules.len() - 1;
    if beside != 0 && (domain.trust.trusted().next().is_some() || manifest.room().is_some()) {
        return Err(Error::ModulesBeside { found: beside });
    }
    // Before it moves.
    let file = manifest.room().map(|_| domain.file);
    let stage0 = file.map(|file| meter.measure(Phase::Verify, file.len() as u64, || measure::stage0(file)));
    let ramdisk = Ramdisk { base: pack.start() };
    for (index, member) in manifest.members().enumerate().skip(1) {
        verify_member(machine.memory(), &ramdisk, index, &member, meter)?;
    }

    // The pack's own pages: what a builder added behind them is of no use to anyone.
    let pack = PhysRange::sized(pack.start(), manifest.pack_len()).and_then(|pack| pack.page_hull()).unwrap_or(pack);
    let modules: heapless::Vec<PhysRange, { shared::memory::MAX_MODULES }> =
        domain.handed.modules.iter().skip(1).map(|module| module.range.page_hull().unwrap_or(module.range)).collect();
    let structures = domain.pv.map_or(PhysRange::EMPTY, |pv| pv.structures);
    let rsdp = rsdp(domain.handed);
    let found = Found { ram: &domain.ram, stage0: domain.image, pack, modules: &modules, structures, rsdp };
    let scratch = VIEW_LEN;
    let started = Started { stage0: domain.image, pack_len: manifest.pack_len() };

    let view = match first_scratch(&found, scratch) {
        Ok(view) => view,
        Err(error) => {
            let room = if domain.pv.is_some() { Room::PV } else { Room::default() };
            let wanted = Wanted { kernel: &[], relocation: None, scratch, room, direct: None, low: Low::default() };
            return Err(too_small(domain, &started, &wanted, None, &manifest).unwrap_or(error.into()));
        }
    };
    machine.use_scratch(view);
    let kernel = read_kernel(machine.memory(), &manifest, ramdisk, view, meter)?;
    let mut plan = plan(domain, &kernel, manifest.decisions())?;
    let place_of_pie = plan.pie.and_then(|pie| lowest_place(&found, &plan.areas, pie.align).ok());
    plan.move_pie(place_of_pie.unwrap_or(0))?;
    let cmdline = kernel_cmdline(machine.memory(), domain.handed, &manifest, &ramdisk, &plan)?;
    if let Some(dropped) = Dropped::of(&manifest, &domain.handed.cmdline) {
        say!(domain, "stage0: locked: {dropped}");
    }
    let (room, direct) = match plan.protocol {
        Protocol::Pv => (Room::PV, None),
        Protocol::Pvh => (Room::PVH, None),
        Protocol::Direct => (Room::DIRECT, Some(Direct { plan: &plan, gib_pages: domain.gib_pages })),
    };
    let low = Low::of(&plan, manifest.hands());
    let wanted = Wanted { kernel: &plan.areas, relocation: plan.relocation, scratch, room, direct, low };
    let too_small = || too_small(domain, &started, &wanted, Some(&plan), &manifest);
    let start_of_day = start_of_day(domain, &plan, &manifest).map_err(|error| too_small().unwrap_or(error))?;
    let areas = start_of_day.as_ref().map(StartOfDay::areas);
    let kernel_areas = areas.as_deref().unwrap_or(&plan.areas);
    let arrangement = arrange(&found, &Wanted { kernel: kernel_areas, ..wanted });
    let mut arrangement = arrangement.map_err(|error| too_small().unwrap_or(error.into()))?;
    move_all(machine, &found, &arrangement, meter)?;
    let mut ramdisk = Ramdisk { base: arrangement.pack.start() };
    place(machine.memory(), &mut ramdisk, &manifest, &plan, arrangement.shift, meter)?;
    relocate(machine.memory(), &mut ramdisk, &manifest, &plan, arrangement.scratch.start(), meter)?;
    let sunk = sink(machine.memory(), &manifest, arrangement.pack, low)?;
    let room = manifest.room().and_then(|room| sunken(ramdisk, room.stored, sunk)).unwrap_or_default();
    let log = stage0.map(|stage0| measure(machine.memory(), domain, &manifest, room, &cmdline, &stage0)).transpose()?;
    let rsdp = rsdp_for(machine.memory(), domain, &kernel, &mut arrangement);
    Ok(Loaded { manifest, plan, arrangement, cmdline, name: kernel.xen.guest_os, sunk, log, start_of_day, rsdp })
}

/// Where something stored in the pack is that the kernel is handed, after [`sink`].
fn sunken(ramdisk: Ramdisk, stored: FileRange, sunk: u64) -> Option<PhysRange> {
    ramdisk.place(FileRange::new(stored.offset().checked_sub(sunk)?, stored.len()).ok()?)
}

/// Moves all that the kernel is handed of the pack, which is its end, down to its start, where frames were that nobody needs any
/// more, if it shall lie low. Returns by how many bytes, whole pages.
fn sink<M: Memory>(memory: &mut M, manifest: &Manifest<'_>, pack: PhysRange, low: Low) -> Result<u64, LoadError> {
    let first = manifest.room().or_else(|| manifest.modules().next()).filter(|_| low.pack);
    let Some(sunk) = first.map(|member| member.stored.offset()) else { return Ok(0) };
    let handed = pack.start().checked_add(sunk).and_then(|start| PhysRange::new(start, pack.end()).ok());
    let from = handed.ok_or(LoadError::Unreachable { range: pack })?;
    memory.relocate(from, pack.start()).ok_or(LoadError::Unreachable { range: from })?;
    Ok(sunk)
}

/// Writes the log of measurements into its room, and says where it is.
fn measure<M: Memory>(
    memory: &mut M,
    domain: &mut Domain<'_>,
    manifest: &Manifest<'_>,
    room: PhysRange,
    cmdline: &str,
    stage0: &[u8; 32],
) -> Result<PhysRange, LoadError> {
    let bytes = memory.bytes_mut(room).ok_or(LoadError::Unreachable { range: room })?;
    let len = Measured { stage0, manifest, cmdline }.write(bytes);
    say!(domain, "stage0: measured:{}", Short(bytes.get(..len).unwrap_or_default()));
    Ok(PhysRange::sized(room.start(), len as u64).unwrap_or(room))
}

/// The plan for the protocol that was decided, or for what the domain is.
fn plan(domain: &Domain<'_>, kernel: &Kernel, decisions: &Decisions) -> Result<Plan, PlanError> {
    let protocol = match domain.pv {
        Some(_) => kernel.protocol_in_pv(decisions)?,
        None => kernel.protocol_in_pvh(decisions)?,
    };
    kernel.plan(protocol, decisions)
}

/// What is laid out around a PV kernel.
fn start_of_day(domain: &Domain<'_>, plan: &Plan, manifest: &Manifest<'_>) -> Result<Option<StartOfDay>, Error> {
    let Some((pv, layout)) = domain.pv.zip(plan.pv.as_ref()) else { return Ok(None) };
    let mut modules = manifest.handed(plan.linux);
    let module = modules.next().map_or(0, |module| module.len());
    if modules.next().is_some() {
        return Err(Error::PvModules);
    }
    let kernel = plan.areas.first().copied().unwrap_or_default();
    let day = StartOfDay::new(layout, kernel, module, &pv.domain)?;
    day.check_module(&domain.ram)?;
    Ok(Some(day))
}

fn find_pack(domain: &Domain<'_>) -> Result<PhysRange, Error> {
    let pack = domain.handed.modules.first().ok_or(Error::NoPack)?.range;
    if !pack.start().is_aligned(PAGE_SIZE) {
        return Err(Error::PackUnaligned { start: pack.start() });
    }
    // The window of a PV domain shows its RAM and nothing else.
    let is_shown = domain.pv.is_none() || pack.page_hull().is_ok_and(|pages| domain.ram.covers(&pages));
    if is_shown { Ok(pack) } else { Err(Error::PackUnreachable { start: pack.start(), len: pack.len() }) }
}

/// Copies and checks the manifest of the pack that lies at `pack`.
fn read_manifest<'m, M: Memory, C: crate::load::Clock>(
    memory: &M,
    pack: PhysRange,
    copy: &'m mut ManifestCopy,
    meter: &mut Meter<C>,
) -> Result<Manifest<'m>, Error> {
    let len = pack.len().min(MAX_MANIFEST_LEN);
    let outside = Error::PackUnreachable { start: pack.start(), len: pack.len() };
    let range = PhysRange::sized(pack.start(), len).ok();
    let bytes = range.and_then(|range| memory.bytes(range)).ok_or(outside)?;
    let copied = &mut copy[..bytes.len()];
    copied.copy_from_slice(bytes);
    Ok(meter.measure(Phase::Verify, len, || Manifest::parse(copied, pack.len()))?)
}

fn kernel_cmdline<M: Memory>(
    memory: &M,
    handed: &Handed,
    manifest: &Manifest<'_>,
    ramdisk: &Ramdisk,
    plan: &Plan,
) -> Result<KernelCmdline, Error> {
    let own = match manifest.cmdline() {
        None => "",
        Some(member) => {
            let (start, len) = (ramdisk.base, member.stored.end());
            let range = ramdisk.place(member.stored).ok_or(Error::PackUnreachable { start, len })?;
            let bytes = memory.bytes(range).ok_or(LoadError::Unreachable { range })?;
            core::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(LoadError::CmdlineText)?
        }
    };
    let limit = cmdline::limit(plan.protocol, plan.linux);
    Ok(cmdline::merge(own, &handed.cmdline, manifest.is_locked(), manifest.allowed(), limit)?)
}

fn read_kernel<M: Memory, C: crate::load::Clock>(
    memory: &mut M,
    manifest: &Manifest<'_>,
    mut ramdisk: Ramdisk,
    view: PhysRange,
    meter: &mut Meter<C>,
) -> Result<Kernel, Error> {
    let manifest = *manifest;
    let mut file = PackedFile::new(memory, &mut ramdisk, manifest, view.start(), meter);
    Ok(Kernel::read(&mut file)?)
}

/// Whether no memory map of the domain's size would do, or `None` if its size is not the matter. A domain may have less
/// RAM than it is said to have, by the part of a MiB that firmware keeps.
fn too_small(
    domain: &Domain<'_>,
    started: &Started,
    wanted: &Wanted<'_>,
    plan: Option<&Plan>,
    manifest: &Manifest<'_>,
) -> Option<Error> {
    let (needed, found) = match domain.pv {
        None => (memory_need(domain.builder, started, wanted).ok()?, domain.ram.total()),
        Some(Pv { domain, base, .. }) => {
            let own = PvLayout { virt_base: base, ..PvLayout::default() };
            let needed = pv_memory_need(&PvWanted {
                own: &own,
                started: *started,
                layout: plan.and_then(|plan| plan.pv.as_ref()).unwrap_or(&own),
                kernel: wanted.kernel.first().copied().unwrap_or_default(),
                module: manifest.handed(true).next().map_or(0, |module| module.len()),
                scratch: wanted.scratch,
                builder: domain.builder,
            });
            (needed.ok()?, domain.nr_pages * PAGE_SIZE)
        }
    };
    (needed / MIB > found.div_ceil(MIB)).then_some(Error::TooSmall { needed, found })
}

/// The page of ACPI's root pointer: 36 bytes (ACPI 6.5, 5.2.5.3).
fn rsdp(handed: &Handed) -> Option<PhysRange> {
    (handed.rsdp != Phys(0)).then(|| PhysRange::sized(handed.rsdp, 36).ok()).flatten()
}

/// Where PCs' firmware has ACPI's root pointer, at a multiple of 16 (ACPI 6.5, 5.2.5.1).
const FIRMWARE: (Phys, Phys) = (Phys(0xe_0000), Phys(MIB));
/// Where libxl puts it for a Linux that looks there alone (libxl_x86_acpi.c).
const LINUX_RSDP: Phys = Phys(MIB - 64);

/// Where the kernel finds ACPI's root pointer: where the builder has it, but for a Linux that would not look there, if the place
/// for that is RAM and nobody's.
fn rsdp_for<M: Memory>(memory: &mut M, domain: &Domain<'_>, kernel: &Kernel, arrangement: &mut Arrangement) -> Phys {
    let handed = domain.handed.rsdp;
    let looks = kernel.xen.guest_os == "linux" && !kernel.xen.features.takes_any_rsdp();
    let is_found = (FIRMWARE.0..FIRMWARE.1).contains(&handed);
    let Some(from) = rsdp(domain.handed).filter(|_| looks && !is_found) else { return handed };
    let to = PhysRange::sized(LINUX_RSDP, from.len()).unwrap_or_default();
    let is_free = arrangement.claims.claim_ram(&domain.ram, to, Holder::Rsdp).is_ok();
    match is_free.then(|| memory.pair(from, to)).flatten() {
        Some((from, to)) => to.copy_from_slice(from),
        None => return handed,
    }
    LINUX_RSDP
}

/// Moves what lies where the kernel goes, in the order that the arrangement wants.
fn move_all<M: Machine + ?Sized>(
    machine: &mut M,
    found: &Found<'_>,
    arrangement: &Arrangement,
    meter: &mut Meter<M::Clock>,
) -> Result<(), LoadError> {
    meter.measure(Phase::Place, found.stage0.len(), || machine.relocate(arrangement));
    // stage0 and what it stands on have moved.
    let moves = [(found.pack, arrangement.pack)].into_iter();
    for (from, to) in moves.chain(found.modules.iter().copied().zip(arrangement.modules.iter().copied())) {
        if from != to {
            let memory = machine.memory();
            meter
                .measure(Phase::Place, from.len(), || memory.relocate(from, to.start()))
                .ok_or(LoadError::Unreachable { range: from })?;
        }
    }
    machine.use_scratch(arrangement.scratch);
    Ok(())
}

const _: () = assert!(VIEW_LEN.is_multiple_of(PAGE_SIZE));
