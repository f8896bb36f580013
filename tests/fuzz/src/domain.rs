//! A domain that watches what stage0 does in it: each write must lie in RAM that was claimed for it before.

use std::cell::RefCell;
use std::ops::Range;

use shared::memory::{Arrangement, Holder, MIB, Phys, PhysRange, Ram};
use stage0::load::{Clock, Memory};
use stage0::platform::Machine;

/// Bytes of memory: RAM, as far as the memory map says so.
pub const LEN: u64 = 40 * MIB;
/// Where stage0's image lies: its variables and its stack are not in this memory.
pub const IMAGE: (u64, u64) = (MIB, 0x7_6000);

/// ACPI's root pointer as Xen's toolstack places it for a PVH Linux, and its length (ACPI 6.5, 5.2.5.3).
const LINUX_RSDP: Phys = Phys(0xf_ffc0);
const RSDP_LEN: u64 = 36;

/// What is at `at` when the builder has put nothing there.
pub fn dirt(at: usize) -> u8 {
    ((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1
}

thread_local! {
    /// Memory that was used before: filling so much takes longer than all else.
    static USED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The domain's memory.
pub struct Guest {
    bytes: Vec<u8>,
    written: Vec<Range<usize>>,
    /// Where stage0 stands: out of bounds, as in the guest.
    own: Vec<PhysRange>,
    /// Where stage0 may write.
    allowed: Vec<PhysRange>,
}

fn indices(range: PhysRange) -> Option<Range<usize>> {
    Some(usize::try_from(range.start().0).ok()?..usize::try_from(range.end().0).ok()?)
}

impl Guest {
    /// Memory as nobody has touched it.
    pub fn new() -> Self {
        let bytes = USED.with_borrow_mut(Option::take).unwrap_or_else(|| (0..LEN as usize).map(dirt).collect());
        let image = PhysRange::sized(Phys(IMAGE.0), IMAGE.1).expect("a range");
        Self { bytes, written: Vec::new(), own: vec![image], allowed: Vec::new() }
    }

    /// Puts something there, as the builder does. False if that is not in memory, or stage0 is there.
    pub fn put(&mut self, at: u64, content: &[u8]) -> bool {
        let Ok(range) = PhysRange::sized(Phys(at), content.len() as u64) else { return false };
        if self.own.iter().any(|own| own.overlaps(&range)) {
            return false;
        }
        let Some(place) = indices(range).filter(|place| place.end <= self.bytes.len()) else { return false };
        self.written.push(place.clone());
        self.bytes[place].copy_from_slice(content);
        true
    }

    /// What is there.
    pub fn read(&self, range: PhysRange) -> Option<&[u8]> {
        self.bytes.get(indices(range)?)
    }

    /// Lets stage0 write to `range`, too.
    pub fn allow(&mut self, range: PhysRange) {
        self.allowed.push(range);
    }

    fn reach(&self, range: PhysRange) -> Option<Range<usize>> {
        let own = self.own.iter().any(|own| own.overlaps(&range));
        indices(range).filter(|place| !own && place.start <= place.end && place.end <= self.bytes.len())
    }

    fn write(&mut self, range: PhysRange) -> Option<Range<usize>> {
        let allowed = range.is_empty() || self.allowed.iter().any(|allowed| allowed.covers(&range));
        assert!(allowed, "stage0 writes to {range}, and may to {:?}", self.allowed);
        let place = self.reach(range)?;
        self.written.push(place.clone());
        Some(place)
    }
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        for place in self.written.drain(..) {
            for at in place {
                self.bytes[at] = dirt(at);
            }
        }
        USED.with_borrow_mut(|used| *used = Some(std::mem::take(&mut self.bytes)));
    }
}

impl Memory for Guest {
    fn bytes(&self, range: PhysRange) -> Option<&[u8]> {
        self.bytes.get(self.reach(range)?)
    }

    fn bytes_mut(&mut self, range: PhysRange) -> Option<&mut [u8]> {
        let place = self.write(range)?;
        self.bytes.get_mut(place)
    }

    fn pair(&mut self, from: PhysRange, to: PhysRange) -> Option<(&[u8], &mut [u8])> {
        if from.overlaps(&to) {
            return None;
        }
        let (from, to) = (self.reach(from)?, self.write(to)?);
        let [from, to] = self.bytes.get_disjoint_mut([from, to]).ok()?;
        Some((from, to))
    }

    fn relocate(&mut self, from: PhysRange, to: Phys) -> Option<()> {
        let from = self.reach(from)?;
        let to = self.write(PhysRange::sized(to, from.len() as u64).ok()?)?;
        self.bytes.copy_within(from, to.start);
        Some(())
    }
}

/// A clock that stands still.
#[derive(Clone, Copy)]
pub struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }
}

/// The machine around the memory.
pub struct Watched {
    /// The memory.
    pub guest: Guest,
    /// The domain's RAM.
    pub ram: Ram,
    /// Whether stage0 has moved what is in the kernel's way, and may write to all that it claimed.
    pub arranged: bool,
}

impl Watched {
    /// What has been claimed is RAM, and nobody's twice.
    fn check(&self, arrangement: &Arrangement) {
        let claims = arrangement.claims.list();
        for (n, claim) in claims.iter().enumerate() {
            let other = claims[n + 1..].iter().find(|other| other.range.overlaps(&claim.range));
            assert!(other.is_none(), "{claim:?} and {other:?}");
            // What the builder passed lies where it put it, which its own memory map may call anything.
            let found = matches!(
                claim.holder,
                Holder::Stage0 | Holder::Pack | Holder::Module(_) | Holder::Structures | Holder::Rsdp
            );
            assert!(found || self.ram.covers(&claim.range), "{claim:?} is not in {:?}", self.ram);
        }
        let held = |range: &PhysRange| range.is_empty() || claims.iter().any(|claim| claim.range.covers(range));
        for range in [arrangement.stage0, arrangement.tables, arrangement.scratch, arrangement.pack]
            .iter()
            .chain([&arrangement.structures, &arrangement.start_info, &arrangement.trampoline])
            .chain(&arrangement.modules)
        {
            assert!(held(range), "nobody holds {range}: {claims:?}");
        }
    }
}

impl Machine for Watched {
    type Memory = Guest;
    type Clock = Still;

    fn memory(&mut self) -> &mut Guest {
        &mut self.guest
    }

    fn clock(&self) -> Still {
        Still
    }

    fn use_scratch(&mut self, range: PhysRange) {
        assert!(self.ram.covers(&range), "scratch at {range} is not in {:?}", self.ram);
        if !self.arranged {
            self.guest.allowed = vec![range];
        }
    }

    fn relocate(&mut self, arrangement: &Arrangement) {
        self.check(arrangement);
        self.arranged = true;
        self.guest.own = vec![arrangement.stage0, arrangement.tables, arrangement.structures];
        let writable =
            |holder: Holder| !matches!(holder, Holder::Stage0 | Holder::PageTables | Holder::Structures | Holder::Rsdp);
        let claims = arrangement.claims.list().iter().filter(|claim| writable(claim.holder));
        self.guest.allowed = claims.map(|claim| claim.range).collect();
        // Where an older Linux looks for ACPI's root pointer, if that is RAM and nobody's.
        let rsdp = PhysRange::sized(LINUX_RSDP, RSDP_LEN).expect("a range");
        if self.ram.covers(&rsdp) && arrangement.claims.held(&rsdp).is_none() {
            self.guest.allowed.push(rsdp);
        }
    }
}
