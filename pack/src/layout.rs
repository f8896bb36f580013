//! Where everything lies in a domain's memory: as stage0 finds it, and as it leaves it.

use serde::Serialize;
use shared::format::Manifest;
use shared::kernel::{Mapping, Plan, Protocol};
use shared::memory::{ArrangeError, Builder, Claim, ClaimError, Holder, MIB, PhysRange, shifted};
use shared::pv::StartOfDay;

use crate::need::{Arranged, Surroundings};
use crate::reading::Reading;

/// The memory of a domain in which a kernel is started.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// How the kernel is entered.
    pub protocol: &'static str,
    /// Who builds the domain.
    pub builder: &'static str,
    /// The domain's memory, bytes.
    pub memory: u64,
    /// The physical memory that is RAM.
    pub ram: Vec<Held>,
    /// What is in it when stage0 begins, lowest first.
    pub before: Vec<Held>,
    /// What is in it when the kernel is entered, lowest first; where that cannot be, what the kernel wants.
    pub after: Vec<Held>,
    /// What stage0 moves, and the kernel if it cannot lie where it was linked.
    pub moves: Vec<Move>,
    /// Virtual addresses at which stage0 runs.
    pub virtual_before: Vec<Held>,
    /// Virtual addresses at which the kernel is mapped when it is entered; none where paging is off.
    pub virtual_after: Vec<Held>,
    /// Why not everything has a place.
    pub conflict: Option<Conflict>,
}

/// A range of addresses, and what it is for.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// For whom.
    pub holder: Who,
    /// The same, for people.
    pub label: String,
}

/// For whom a range is.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// RAM, whoever holds it.
    Ram,
    /// stage0's image.
    Stage0,
    /// The page tables on which it runs.
    PageTables,
    /// What decoding needs.
    Scratch,
    /// The page from which the kernel is entered.
    Trampoline,
    /// What the kernel is handed.
    StartInfo,
    /// The pack.
    Pack,
    /// A module that the builder passes beside it.
    Module,
    /// What a PV builder made for stage0.
    Structures,
    /// The kernel.
    Kernel,
    /// ACPI's root pointer.
    Rsdp,
}

/// Something that is moved.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// What.
    pub holder: Who,
    /// First address before.
    pub from: u64,
    /// First address after.
    pub to: u64,
}

/// Two that want the same memory, or one that finds none.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// In stage0's words.
    pub message: String,
    /// First address that cannot be had, if it is one place.
    pub start: Option<u64>,
    /// First address behind it.
    pub end: Option<u64>,
}

impl Layout {
    /// The memory of a domain of `memory` bytes, or of a usual size above what is needed.
    pub fn of(
        reading: &Reading,
        plan: &Plan,
        stage0: &[u8],
        manifest: &Manifest<'_>,
        builder: Builder,
        memory: Option<u64>,
    ) -> Self {
        let surroundings = Surroundings::new(stage0, manifest, builder);
        let memory = memory.unwrap_or_else(|| usual_size(surroundings.need(plan).unwrap_or(0)));
        let mut layout = Self {
            protocol: plan.protocol.name(),
            builder: match builder {
                Builder::Xen => "Xen",
                Builder::Qemu => "QEMU",
            },
            memory,
            ram: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            moves: Vec::new(),
            virtual_before: vec![surroundings.virtual_stage0()],
            virtual_after: virtual_after(reading, plan),
            conflict: None,
        };
        match surroundings.domain(plan, memory) {
            Ok(arranged) => layout.fill(plan, &arranged),
            Err(error) => layout.conflict = Some(Conflict { message: error.to_string(), start: None, end: None }),
        }
        for list in [&mut layout.before, &mut layout.after, &mut layout.virtual_after] {
            list.sort_by_key(|held| held.start);
        }
        layout
    }

    /// The first address above all memory and all that wants some.
    pub fn top(&self) -> u64 {
        self.ram.iter().chain(&self.after).map(|held| held.end).fold(self.memory.max(1), u64::max)
    }

    fn fill(&mut self, plan: &Plan, arranged: &Arranged) {
        self.ram = arranged.ram.ranges().iter().map(|range| held(*range, Who::Ram, "RAM".to_owned())).collect();
        self.before = vec![
            held(arranged.stage0, Who::Stage0, Holder::Stage0.to_string()),
            held(arranged.pack, Who::Pack, Holder::Pack.to_string()),
            held(arranged.structures, Who::Structures, Holder::Structures.to_string()),
        ];
        self.before.retain(|held| held.start != held.end);
        match &arranged.arrangement {
            Err(error) => {
                self.after = segments(plan, 0);
                self.conflict = Some(Conflict::of(error, arranged.ram.ranges()));
            }
            Ok(arrangement) => {
                let claims = arrangement.claims.list().iter().filter(|claim| claim.holder != Holder::Kernel);
                self.after = claims.map(of_claim).chain(segments(plan, arrangement.shift)).collect();
                if let Some(start_of_day) = &arranged.start_of_day {
                    self.after.extend(around(start_of_day));
                    let (start, len) = (start_of_day.virt_base.0, start_of_day.mapped_end.0);
                    let label = "the kernel and what lies around it".to_owned();
                    self.virtual_after =
                        vec![Held { start, end: start.saturating_add(len), holder: Who::Kernel, label }];
                }
                let kernel = (plan.extent.start().0, plan.extent.start().0.wrapping_add(arrangement.shift));
                let moves = [
                    (Who::Stage0, arranged.stage0.start().0, arrangement.stage0.start().0),
                    (Who::Pack, arranged.pack.start().0, arrangement.pack.start().0),
                    (Who::Kernel, kernel.0, kernel.1),
                ];
                let moved = moves.into_iter().filter(|(_, from, to)| from != to);
                self.moves = moved.map(|(holder, from, to)| Move { holder, from, to }).collect();
            }
        }
    }
}

impl Conflict {
    fn of(error: &ArrangeError, ram: &[PhysRange]) -> Self {
        let place = match error {
            ArrangeError::Claim(ClaimError::Held { wanted, held }) => wanted.range.intersection(&held.range),
            ArrangeError::Claim(ClaimError::NotRam { wanted }) => {
                // From where the RAM that it begins in ends.
                let (start, end) = (wanted.range.start(), wanted.range.end());
                let first = ram.iter().find(|ram| ram.contains(start)).map_or(start, PhysRange::end);
                PhysRange::new(first, end).ok()
            }
            ArrangeError::TooHigh { kernel } => Some(*kernel),
            _ => None,
        };
        let (start, end) = (place.map(|range| range.start().0), place.map(|range| range.end().0));
        Self { message: error.to_string(), start, end }
    }
}

/// A size that people give domains, and in which the kernel too has room.
fn usual_size(need: u64) -> u64 {
    (need + need / 2).max(64 * MIB).checked_next_power_of_two().unwrap_or(need)
}

fn of_claim(claim: &Claim) -> Held {
    let who = match claim.holder {
        Holder::Stage0 => Who::Stage0,
        Holder::PageTables => Who::PageTables,
        Holder::Scratch => Who::Scratch,
        Holder::Trampoline => Who::Trampoline,
        Holder::StartInfo | Holder::Block | Holder::Shadow => Who::StartInfo,
        Holder::Pack => Who::Pack,
        Holder::Module(_) => Who::Module,
        Holder::Structures => Who::Structures,
        Holder::Kernel => Who::Kernel,
        Holder::Rsdp => Who::Rsdp,
    };
    held(claim.range, who, claim.holder.to_string())
}

/// The kernel's segments, `shift` above where they were linked.
fn segments(plan: &Plan, shift: u64) -> Vec<Held> {
    let placed = plan.placements.iter().filter(|placement| !placement.memory.is_empty());
    let places = placed.filter_map(|placement| {
        let place = shifted(&placement.memory, shift)?;
        Some(held(place, Who::Kernel, format!("kernel, segment {} {}", placement.index, placement.access)))
    });
    let symbols = plan.symbols.as_ref().and_then(|symbols| {
        let end = symbols.strings_at.end();
        shifted(&PhysRange::new(symbols.headers_at.start(), end).ok()?, shift)
    });
    places.chain(symbols.map(|range| held(range, Who::Kernel, "kernel, symbol table".to_owned()))).collect()
}

/// What a PV kernel is started with.
fn around(start_of_day: &StartOfDay) -> impl Iterator<Item = Held> {
    let parts = [
        (start_of_day.module, "the kernel's module"),
        (start_of_day.p2m, "the kernel's list of frames"),
        (start_of_day.p2m_tables, "page tables for that"),
        (start_of_day.start_info, "the kernel's start_info"),
        (start_of_day.xenstore, "the ring for xenstore"),
        (start_of_day.console, "the ring for the console"),
        (start_of_day.tables_at, "the kernel's page tables"),
        (start_of_day.stack, "the kernel's stack"),
    ];
    let there = parts.into_iter().filter(|(range, _)| !range.is_empty());
    there.map(|(range, label)| held(range, Who::StartInfo, label.to_owned()))
}

/// Where the kernel finds itself mapped, by its plan.
fn virtual_after(reading: &Reading, plan: &Plan) -> Vec<Held> {
    let mut found = Vec::new();
    if let Some(pv) = &plan.pv {
        let (start, end) = (pv.virt_base.0, pv.virt_kend.0);
        found.push(Held { start, end, holder: Who::Kernel, label: "kernel, linear".to_owned() });
    }
    if plan.protocol == Protocol::Direct || (plan.pv.is_some() && reading.decisions.mapping == Mapping::Segments) {
        found.extend(plan.placements.iter().filter(|placement| !placement.memory.is_empty()).map(|placement| {
            let start = placement.virt.0;
            let label = format!("kernel, segment {} {}", placement.index, placement.access);
            Held { start, end: start.saturating_add(placement.memory.len()), holder: Who::Kernel, label }
        }));
    }
    found
}

fn held(range: PhysRange, holder: Who, label: String) -> Held {
    Held { start: range.start().0, end: range.end().0, holder, label }
}
