//! What a PV domain's kernel is started with, laid out for domains of any size and kernels that say anything.

use shared::kernel::{Decisions, Features, Plan, PvLayout};
use shared::memory::{PAGE_SIZE, Phys, PhysRange, Virt};
use shared::pv::tables::{pages, window_len};
use shared::pv::{MAX_PAGES, PvBuilder, PvDomain, StartOfDay};

use crate::input::Input;
use crate::said;

/// Frames whose tables are looked at one by one.
const LOOKED_AT: u64 = 1 << 14;

/// Numbers: those that a kernel says, and the domain's.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let given = input.u8();
    let layout = PvLayout {
        virt_base: Virt(input.address()),
        paddr_offset: 0,
        virt_kstart: Virt(0),
        virt_kend: Virt(0),
        virt_entry: Virt(0),
        hypercall_page: None,
        init_p2m: (given & 1 != 0).then(|| Virt(input.address())),
        hv_start_low: None,
        mod_start_pfn: given & 2 != 0,
        features: Features::default(),
        pae: Default::default(),
        segments: Default::default(),
    };
    let builder = if given & 4 == 0 { PvBuilder::Toolstack } else { PvBuilder::Xen { rings: given & 8 != 0 } };
    let (start, len) = (input.address() & !0xfff, input.address() & !0xfff);
    let Ok(kernel) = PhysRange::sized(Phys(start), len) else { return };
    let (nr_pages, module) = (input.address(), input.address());
    check(&layout, kernel, module, &PvDomain { nr_pages, builder });
}

/// Lays out the kernel of a plan in domains of `nr_pages` frames, with a module of `module` bytes.
pub fn lay_out(plan: &Plan, nr_pages: u64, module: u64) {
    let (Some(layout), Some(kernel)) = (&plan.pv, plan.areas.first()) else { return };
    for builder in [PvBuilder::Toolstack, PvBuilder::Xen { rings: true }, PvBuilder::Xen { rings: false }] {
        check(layout, *kernel, module, &PvDomain { nr_pages, builder });
    }
}

fn check(layout: &PvLayout, kernel: PhysRange, module: u64, domain: &PvDomain) {
    let _ = window_len(domain.nr_pages.min(MAX_PAGES));
    let day = match StartOfDay::new(layout, kernel, module, domain) {
        Ok(day) => day,
        Err(error) => return said::note(&error),
    };
    let memory = PhysRange::new(Phys(0), Phys(domain.nr_pages.min(MAX_PAGES) * PAGE_SIZE)).expect("from 0 on");
    let parts = [
        kernel,
        day.module,
        day.p2m,
        day.p2m_tables,
        day.start_info,
        day.xenstore,
        day.console,
        day.tables_at,
        day.stack,
    ];
    for (n, part) in parts.iter().enumerate() {
        assert!(part.start().is_aligned(PAGE_SIZE) && part.end().is_aligned(PAGE_SIZE), "{part}: {day:?}");
        assert!(memory.covers(part) && part.end() <= day.end, "{part} of {memory}: {day:?}");
        let other = parts[n + 1..].iter().find(|other| other.overlaps(part));
        assert!(other.is_none(), "{part} and {other:?}: {day:?}");
    }
    assert!(day.module.len() >= module && day.p2m.len() >= domain.nr_pages.min(MAX_PAGES) * 8);
    for area in day.areas() {
        assert!(memory.covers(&area) && !area.overlaps(&day.module));
    }
    check_tables(&day);
}

/// Each page that is mapped has a table, among those that were set aside.
fn check_tables(day: &StartOfDay) {
    let (linear, own) = (day.tables_at, day.p2m_tables);
    for (n, mapping) in day.tables.mappings().iter().enumerate() {
        if mapping.memory.len() / PAGE_SIZE > LOOKED_AT {
            continue;
        }
        for (virt, _) in pages(mapping).step_by(61) {
            for level in 1..=3 {
                let table = day.tables.table(level, virt).and_then(shared::memory::Pfn::phys);
                let inside = table.is_some_and(|at| linear.contains(at) || (n > 0 && own.contains(at)));
                // Addresses that no processor translates are refused before anything is mapped.
                let canonical = (virt.0 << 16) as i64 >> 16 == virt.0 as i64;
                assert!(inside || !canonical, "no table of level {level} for {virt}: {table:?}: {day:?}");
            }
        }
    }
}

/// The plans of the corpus.
pub fn seeds() -> Vec<Vec<u8>> {
    let raw = |value: u64| [&[5u8, 0, 0], &value.to_le_bytes()[..]].concat();
    let mut seeds = Vec::new();
    for elf in crate::seeds::kernels() {
        let kernel = shared::kernel::Kernel::read(&mut shared::kernel::SliceFile(&elf));
        let Some(plan) = kernel.ok().and_then(|kernel| kernel.layout_pv(&Decisions::default()).ok()) else { continue };
        let (Some(layout), Some(area)) = (&plan.pv, plan.areas.first()) else { continue };
        for given in [0, 4, 12] {
            let p2m = layout.init_p2m.map(|at| raw(at.0));
            let flags = given | u8::from(p2m.is_some()) | u8::from(layout.mod_start_pfn) << 1;
            let mut seed = [vec![flags], raw(layout.virt_base.0), p2m.unwrap_or_default()].concat();
            [area.start().0, area.len(), 0x8000, 0x3_1234].iter().for_each(|number| seed.extend(raw(*number)));
            seeds.push(seed);
        }
    }
    seeds
}
