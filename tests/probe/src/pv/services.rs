//! What Xen keeps for the domain: shared_info, the rings' pages, event channels, grants, vCPUs.

use core::cell::UnsafeCell;

use crate::domain::{Domain, FRAME_MASK};
use crate::entry::Work;
use crate::hypercall;
use crate::keeps::{self, Page};
use crate::memory::{self, PAGE};
use crate::report::{check, info, skip};

/// Of a grant's flags, those that a backend does not change.
const GRANT_KIND: u16 = 0b111;

/// What printing changes, as it was before.
pub(crate) struct Snapshot {
    shared_info: Page,
    console: Page,
    store: Page,
    has_rings: bool,
}

static SNAPSHOT: Work<Snapshot> =
    Work(UnsafeCell::new(Snapshot { shared_info: [0; 4096], console: [0; 4096], store: [0; 4096], has_rings: false }));

/// Takes it.
pub(crate) fn snapshot(domain: &Domain) -> &'static Snapshot {
    // SAFETY: called once; this is the one reference.
    let snapshot = unsafe { &mut *SNAPSHOT.0.get() };
    let start_info = &domain.start_info;
    domain.window.map((start_info.shared_info.get() & FRAME_MASK) / PAGE);
    memory::copy(domain.window.virt, &mut snapshot.shared_info);
    domain.window.restore();
    snapshot.has_rings = !domain.is_initial();
    if snapshot.has_rings {
        for (mfn, copy) in
            [(start_info.console.get(), &mut snapshot.console), (start_info.store_mfn.get(), &mut snapshot.store)]
        {
            if let Some(pfn) = domain.pfn(mfn) {
                memory::copy(domain.virt(pfn), copy);
            }
        }
    }
    snapshot
}

impl Snapshot {
    /// All of it.
    pub(crate) fn dump(&self, domain: &Domain) {
        keeps::shared_info(&self.shared_info);
        if !self.has_rings {
            return skip("console", "the initial domain has no ring");
        }
        keeps::console(&self.console);
        keeps::store(&self.store);
        for (name, mfn) in [("console", domain.start_info.console.get()), ("store", domain.start_info.store_mfn.get())]
        {
            let pfn = domain.pfn(mfn).unwrap_or(u64::MAX);
            let same = domain.mfn(pfn) == Some(mfn);
            check(same, format_args!("{name}.frame"), format_args!("{pfn:#x}, P2M agrees {same}"));
        }
    }
}

/// Event channels, grants and vCPUs.
pub(crate) fn dump(domain: &Domain) {
    let start_info = &domain.start_info;
    let [console, store] = match domain.is_initial() {
        true => [0; 2],
        false => [start_info.console_evtchn.get(), start_info.store_evtchn.get()],
    };
    keeps::events(console, store);
    grants(domain);
    keeps::vcpus();
}

/// The entries of version 1: flags, domain, frame.
fn grants(domain: &Domain) {
    keeps::grant_version();
    let Some(mfn) = hypercall::grant_frame() else { return info("grants", format_args!("none")) };
    if !domain.window.map(mfn) {
        return info("grants", format_args!("cannot be mapped"));
    }
    let mut page = [0; PAGE as usize];
    memory::copy(domain.window.virt, &mut page);
    domain.window.restore();
    for (number, entry) in page.as_chunks::<8>().0.iter().enumerate() {
        let [f0, f1, d0, d1, frame @ ..] = *entry;
        let frame = u64::from(u32::from_le_bytes(frame));
        if *entry == [0; 8] {
            continue;
        }
        let whose = match frame {
            frame if frame == domain.start_info.console.get() => "the console's",
            frame if frame == domain.start_info.store_mfn.get() => "xenstore's",
            _ => "another",
        };
        let (flags, to) = (u16::from_le_bytes([f0, f1]) & GRANT_KIND, u16::from_le_bytes([d0, d1]));
        info(format_args!("grant[{number}]"), format_args!("flags {flags:#x}, to domain {to}, frame {whose}"));
    }
}

/// What can be done only once in a domain's life, and so has not been done before: at the very end.
pub(crate) fn register(domain: &Domain) {
    let page = &raw const SPARE as u64;
    let pfn = page.wrapping_sub(domain.table.virt_base) / PAGE;
    let result = domain.mfn(pfn).map_or(-1, hypercall::register_vcpu_info);
    check(result == 0, "vcpu_info.unregistered", format_args!("registering gives {result}"));
}

/// A page that Xen may write then.
static SPARE: Work<[u8; PAGE as usize]> = Work(UnsafeCell::new([0; PAGE as usize]));
