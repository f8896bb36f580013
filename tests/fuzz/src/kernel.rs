//! Reading a kernel from raw bytes, and every plan that can be made of it.

use harness::agreement;
use harness::corpus::Load;
use shared::kernel::{
    Decisions, EntryRule, Kernel, KernelFile, MAX_KERNEL_AREA, MAX_VIEW, Mapping, Outside, Plan, Protocol, SliceFile,
};
use shared::memory::{FileRange, PhysRange, Virt};

use crate::input::Input;
use crate::{pv, said, seeds};

/// Bytes of what stands before the file.
pub const HEAD: usize = 12;

/// Most views of a file that reading it may take: a few for each of 64 program headers, and for each of at most 1638 section
/// headers (64 KiB of them) its own and its name.
const MAX_VIEWS: u32 = 12_000;

/// Bytes of a kernel in memory that are worth the time of looking at each.
const LOOKED_AT: u64 = 64 << 10;

/// What a person may decide, of 12 bytes.
pub fn decisions(input: &mut Input<'_>) -> Decisions {
    let (mapping, entry, given) = (input.u8(), input.u8(), input.u8());
    let virt_base = (given % 2 == 1).then_some(Virt(0));
    input.u8();
    let base = input.u64();
    let protocols = [None, Some(Protocol::Direct), Some(Protocol::Pvh), Some(Protocol::Pv)];
    Decisions {
        protocol: protocols[usize::from(mapping / 4 % 4)],
        mapping: if mapping % 4 == 1 { Mapping::Segments } else { Mapping::Linear },
        entry: [EntryRule::Notes, EntryRule::Physical, EntryRule::Virtual][usize::from(entry % 3)],
        virt_base: virt_base.map(|_| Virt(base)),
    }
}

/// [`HEAD`] bytes of decisions, then a kernel file.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let decisions = decisions(&mut input);
    read(input.rest(), &decisions);
}

/// Reads `elf` and makes every plan of it.
pub fn read(elf: &[u8], decisions: &Decisions) {
    let mut file = Watched { file: SliceFile(elf), views: 0 };
    let found = Kernel::read(&mut file);
    if let Ok(cuts) = Kernel::cuts(&mut file) {
        cuts.iter().for_each(|range| assert!(range.end() <= elf.len() as u64));
    }
    let kernel = match found {
        Ok(kernel) => kernel,
        Err(error) => return said::note(&error),
    };
    for protocol in [Protocol::Pvh, Protocol::Pv, Protocol::Direct] {
        let plan = match kernel.plan(protocol, decisions) {
            Ok(plan) => plan,
            Err(error) => {
                said::note(&error);
                continue;
            }
        };
        check(&plan, elf);
        pv::lay_out(&plan, 0x1_0000, 0x3000);
        if plan.extent.len() > LOOKED_AT {
            continue;
        }
        if let Err(why) = agreement::keeps(&plan, elf) {
            panic!("{protocol}: {why}");
        }
    }
}

/// What all users of a plan rely on.
pub fn check(plan: &Plan, elf: &[u8]) {
    let mut end = 0;
    for area in &plan.areas {
        assert!(area.start().0 >= end && area.start().is_aligned(4096) && area.end().is_aligned(4096), "{plan:?}");
        assert!(area.len() <= MAX_KERNEL_AREA);
        end = area.end().0;
    }
    for placement in &plan.placements {
        assert!(placement.file.end() <= elf.len() as u64 && placement.file.len() <= placement.memory.len());
        assert!(placement.memory.is_empty() || plan.areas.iter().any(|area| area.covers(&placement.memory)));
    }
    if let Some(symbols) = &plan.symbols {
        for place in [symbols.headers_at, symbols.symbols_at, symbols.strings_at] {
            assert!(plan.areas.iter().any(|area: &PhysRange| area.covers(&place)));
        }
    }
}

/// A file of which is asked no more than was agreed on.
struct Watched<'a> {
    file: SliceFile<'a>,
    views: u32,
}

impl KernelFile for Watched<'_> {
    type Error = Outside;

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn view(&mut self, range: FileRange) -> Result<&[u8], Outside> {
        self.views += 1;
        assert!(self.views <= MAX_VIEWS, "{} views", self.views);
        assert!(range.len() <= MAX_VIEW && range.end() <= self.file.len(), "a view of {range}");
        self.file.view(range)
    }
}

/// Kernels of the corpus, and the heads of real ones.
pub fn seeds() -> Vec<Vec<u8>> {
    let with = |elf: Vec<u8>| [&[0; HEAD], &elf[..]].concat();
    seeds::kernels().into_iter().chain(seeds::heads()).chain(seeds::pies()).map(with).collect()
}

/// A segment at `paddr`, as any.
pub fn load(paddr: u64) -> Load {
    Load {
        paddr,
        vaddr: 0xffff_ffff_8010_0000,
        file_len: 0x100,
        memory_len: 0x3000,
        flags: 5,
        offset: None,
        align: 4096,
    }
}
