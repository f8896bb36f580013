//! What Xen keeps for the domain: shared_info, the rings' pages, event channels, grants, vCPUs.

use core::cell::UnsafeCell;

use shared::xen::pv::CONSOLE_OUT_CONS;

use crate::domain::{Domain, FRAME_MASK};
use crate::entry::Work;
use crate::hypercall;
use crate::memory::{self, PAGE};
use crate::report::{check, info, skip};

/// Most vCPUs that are asked for.
const VCPUS: u32 = 64;
/// Ports that are asked for; an event channel's number is given from the lowest on.
const PORTS: u32 = 128;
/// `struct vcpu_info` in shared_info: its size, and how many there are.
const VCPU_INFO: usize = 64;
const VCPU_INFOS: usize = 32;
/// Of a vcpu_info the time, which Xen writes.
const TIME: core::ops::Range<usize> = 32..64;
const EVENTS_PENDING: usize = VCPU_INFO * VCPU_INFOS;
const EVENTS_MASK: usize = EVENTS_PENDING + 512;
/// Version, seconds, nanoseconds of the wall clock, and the high seconds: Xen's.
const WALL_CLOCK: core::ops::Range<usize> = EVENTS_MASK + 512..EVENTS_MASK + 528;
/// Of a ring's page of xenstore: the indices, features, connection, and error.
const STORE_INDICES: usize = 2048;
/// Of a grant's flags, those that a backend does not change.
const GRANT_KIND: u16 = 0b111;

type Copy = [u8; PAGE as usize];

/// What printing changes, as it was before.
pub(crate) struct Snapshot {
    shared_info: Copy,
    console: Copy,
    store: Copy,
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

/// The bytes of a page that are not zero: how many, and the first.
fn nonzero(bytes: &[u8]) -> (usize, usize) {
    let count = bytes.iter().filter(|byte| **byte != 0).count();
    (count, bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len()))
}

fn word(page: &Copy, at: usize) -> u32 {
    u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}

impl Snapshot {
    /// All of it.
    pub(crate) fn dump(&self, domain: &Domain) {
        self.shared_info();
        if !self.has_rings {
            return skip("console", "the initial domain has no ring");
        }
        let [in_cons, in_prod, out_cons, out_prod] = [0, 4, 8, 12].map(|at| word(&self.console, 3072 + at));
        check(out_cons == out_prod, "console.out", format_args!("consumed {out_cons}, produced {out_prod}"));
        info("console.in", format_args!("consumed {in_cons}, produced {in_prod}"));
        info("console.connection", format_args!("{}", word(&self.console, 3088)));
        let (count, first) = nonzero(&self.console[..CONSOLE_OUT_CONS - 8]);
        info("console.bytes", format_args!("{count} not zero, the first at {first:#x}"));
        let [req_cons, req_prod, rsp_cons, rsp_prod, features, connection, error] =
            [0, 1, 2, 3, 4, 5, 6].map(|number| word(&self.store, STORE_INDICES + 4 * number));
        info("store.requests", format_args!("consumed {req_cons}, produced {req_prod}"));
        info("store.responses", format_args!("consumed {rsp_cons}, produced {rsp_prod}"));
        info("store.state", format_args!("features {features:#x}, connection {connection}, error {error}"));
        let (count, first) = nonzero(&self.store[..STORE_INDICES]);
        info("store.bytes", format_args!("{count} not zero, the first at {first:#x}"));
        for (name, mfn) in [("console", domain.start_info.console.get()), ("store", domain.start_info.store_mfn.get())]
        {
            let pfn = domain.pfn(mfn).unwrap_or(u64::MAX);
            let same = domain.mfn(pfn) == Some(mfn);
            check(same, format_args!("{name}.frame"), format_args!("{pfn:#x}, P2M agrees {same}"));
        }
    }

    fn shared_info(&self) {
        let page = &self.shared_info;
        let mut masked = 0;
        let mut rest = 0;
        for vcpu in 0..VCPU_INFOS {
            let info = &page[vcpu * VCPU_INFO..][..VCPU_INFO];
            masked += usize::from(info[1] == 1);
            rest += nonzero(&info[..TIME.start]).0 - usize::from(info[1] != 0);
        }
        info("shared_info.upcall_mask", format_args!("set for {masked} vCPUs"));
        check(rest == 0, "shared_info.vcpu_info", format_args!("{rest} other bytes not zero"));
        let pending = nonzero(&page[EVENTS_PENDING..EVENTS_MASK]).0;
        check(pending == 0, "shared_info.evtchn_pending", format_args!("{pending} bytes not zero"));
        let mask = nonzero(&page[EVENTS_MASK..WALL_CLOCK.start]).0;
        info("shared_info.evtchn_mask", format_args!("{mask} bytes not zero"));
        let wc_sec_hi = WALL_CLOCK.end - 4;
        let (count, first) = nonzero(&page[wc_sec_hi + 4..]);
        info("shared_info.arch", format_args!("{count} bytes not zero, the first at {:#x}", wc_sec_hi + 4 + first));
    }
}

/// Event channels, grants and vCPUs.
pub(crate) fn dump(domain: &Domain) {
    events(domain);
    grants(domain);
    let up = (0..VCPUS).map(hypercall::vcpu_is_up);
    let (mut running, mut down) = (0, 0);
    up.for_each(|state| match state {
        1 => running += 1,
        0 => down += 1,
        _ => {}
    });
    check(running == 1, "vcpus", format_args!("{running} up, {down} down"));
}

/// Those that are not closed. Whether the other end has connected yet is a matter of time.
fn events(domain: &Domain) {
    let start_info = &domain.start_info;
    for port in 0..PORTS {
        let Some(channel) = hypercall::event_status(port).filter(|channel| channel.status != 0) else { continue };
        let kind = match channel.status {
            1 | 2 => "to another domain",
            3 => "of a physical interrupt",
            4 => "of a virtual interrupt",
            _ => "between vCPUs",
        };
        let whose = match port {
            _ if domain.is_initial() => "",
            port if port == start_info.console_evtchn.get() => ", the console's",
            port if port == start_info.store_evtchn.get() => ", xenstore's",
            _ => "",
        };
        info(format_args!("event[{port}]"), format_args!("{kind}{whose}, notifies vCPU {}", channel.vcpu));
    }
}

/// The entries of version 1: flags, domain, frame.
fn grants(domain: &Domain) {
    info("grants.version", format_args!("{}", hypercall::grant_version()));
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
