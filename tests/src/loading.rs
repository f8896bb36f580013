//! stage0's own loading, run on the host: a kernel is packed, and comes out of the pack into a memory that is made of arrays.

use pack::compress::{self, Settings};
use pack::cut;
use shared::format::{EncodedKernel, Manifest, PackContent};
use shared::kernel::{Decisions, Kernel, Plan, Protocol, SliceFile};
use shared::memory::{Phys, PhysRange, VIEW_LEN};
use stage0::load::{Clock, Memory, Meter, PackedFile, Ramdisk, place};

/// Where the pack lies, above any kernel's place; the scratch for views lies before it.
const PACK_AT: u64 = 1 << 40;
/// What memory holds before anything is loaded.
const DIRT: u8 = 0xa5;

/// A stretch of memory.
struct Stretch {
    start: u64,
    bytes: Vec<u8>,
}

impl Stretch {
    fn dirty(start: u64, len: u64) -> Self {
        Self { start, bytes: vec![DIRT; usize::try_from(len).unwrap_or(0)] }
    }

    fn indices(&self, range: PhysRange) -> Option<std::ops::Range<usize>> {
        let index = |at: Phys| usize::try_from(at.0.checked_sub(self.start)?).ok();
        let indices = index(range.start())?..index(range.end())?;
        (indices.end <= self.bytes.len()).then_some(indices)
    }
}

/// Memory where the kernel goes, and where the scratch and the pack lie.
struct Domain {
    kernel: Stretch,
    pack: Stretch,
}

impl Memory for Domain {
    fn bytes(&self, range: PhysRange) -> Option<&[u8]> {
        [&self.kernel, &self.pack].into_iter().find_map(|stretch| stretch.bytes.get(stretch.indices(range)?))
    }

    fn bytes_mut(&mut self, range: PhysRange) -> Option<&mut [u8]> {
        let stretch = if self.kernel.indices(range).is_some() { &mut self.kernel } else { &mut self.pack };
        let indices = stretch.indices(range)?;
        stretch.bytes.get_mut(indices)
    }

    fn pair(&mut self, from: PhysRange, to: PhysRange) -> Option<(&[u8], &mut [u8])> {
        let from = self.pack.indices(from)?;
        if let Some(to) = self.kernel.indices(to) {
            return Some((&self.pack.bytes[from], &mut self.kernel.bytes[to]));
        }
        let to = self.pack.indices(to)?;
        let [from, to] = self.pack.bytes.get_disjoint_mut([from, to]).ok()?;
        Some((from, to))
    }

    fn relocate(&mut self, from: PhysRange, to: Phys) -> Option<()> {
        let bytes = self.bytes(from)?.to_vec();
        self.bytes_mut(PhysRange::sized(to, from.len()).ok()?)?.copy_from_slice(&bytes);
        Some(())
    }
}

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }
}

/// Loads the kernel in `elf` for a PVH or a PV domain as stage0 does: out of a pack, whose frames are verified, decoded and
/// placed. Returns the memory of the plan's one area.
///
/// # Errors
/// What stage0 says is wrong.
pub fn load(elf: &[u8], pvh: bool) -> Result<Vec<u8>, String> {
    let pack = packed(elf)?;
    let manifest = Manifest::parse(&pack, pack.len() as u64).map_err(|error| error.to_string())?;
    let mut memory = Domain { kernel: Stretch::dirty(0, 0), pack: Stretch::dirty(PACK_AT - VIEW_LEN, VIEW_LEN) };
    memory.pack.bytes.extend(&pack);
    let (mut ramdisk, mut meter) = (Ramdisk { base: Phys(PACK_AT) }, Meter::new(Still, |_| ()));
    let scratch = Phys(PACK_AT - VIEW_LEN);
    let mut file = PackedFile::new(&mut memory, &mut ramdisk, manifest, scratch, &mut meter);
    let kernel = Kernel::read(&mut file).map_err(|error| error.to_string())?;
    let plan = plan(&kernel, pvh)?;
    let area = plan.areas.first().copied().unwrap_or_default();
    memory.kernel = Stretch::dirty(area.start().0, area.len());
    place(&mut memory, &mut ramdisk, &manifest, &plan, 0, &mut meter).map_err(|error| error.to_string())?;
    Ok(memory.kernel.bytes)
}

/// The plan; for PV that of 32-bit kernels too, which stage0 does not start.
fn plan(kernel: &Kernel, pvh: bool) -> Result<Plan, String> {
    let auto = Decisions::default();
    let plan = if pvh { kernel.plan(Protocol::Pvh, &auto) } else { kernel.layout_pv(&auto) };
    plan.map_err(|error| error.to_string())
}

/// A pack of the kernel, cut where it is read, whether or not any domain could start it.
fn packed(elf: &[u8]) -> Result<Vec<u8>, String> {
    let cuts = Kernel::cuts(&mut SliceFile(elf)).map_err(|error| error.to_string())?;
    let pieces = cut::pieces(elf.len() as u64, cuts.iter().flat_map(|range| [range.offset(), range.end()]));
    let settings = Settings { level: 1, ..Settings::default() };
    let frames = compress::frames(elf, &pieces, settings, &|_| {}).map_err(|error| error.to_string())?;
    let kernel = EncodedKernel { name: "kernel".into(), sha256: [0; 32], frames };
    let (decisions, modules, allowed) = (Decisions::default(), vec![], vec![]);
    let content = PackContent { kernel, cmdline: None, modules, measured: false, decisions, locked: false, allowed };
    content.encode().map_err(|error| error.to_string())
}
