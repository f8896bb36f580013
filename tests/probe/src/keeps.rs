//! What Xen keeps for any kind of domain: event channels, vCPUs, the grant table's version, the rings, and `shared_info`.

use shared::xen::DOMID_SELF;

use crate::call::call;
use crate::report::{check, info};

const GRANT_TABLE_OP: u64 = 20;
const VCPU_OP: u64 = 24;
const EVENT_CHANNEL_OP: u64 = 32;
const EVTCHNOP_STATUS: u64 = 5;
const VCPUOP_IS_UP: u64 = 3;
const GNTTABOP_GET_VERSION: u64 = 10;

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
/// Of the console's: the indices.
const CONSOLE_INDICES: usize = 3072;

/// A copy of a page.
pub(crate) type Page = [u8; 4096];

/// `struct evtchn_status`.
#[repr(C)]
#[derive(Default)]
struct EventStatus {
    domain: u16,
    port: u32,
    /// 0 closed, 1 unbound, 2 interdomain, 3 pirq, 4 virq, 5 ipi.
    status: u32,
    /// Which vCPU is notified.
    vcpu: u32,
    other: [u32; 2],
}

/// The state of an event channel; `None` where there is no such port.
fn event_status(port: u32) -> Option<EventStatus> {
    let mut argument = EventStatus { domain: DOMID_SELF, port, ..EventStatus::default() };
    // SAFETY: Xen writes the argument.
    let result = unsafe { call(EVENT_CHANNEL_OP, [EVTCHNOP_STATUS, &raw mut argument as u64, 0, 0]) };
    (result == 0).then_some(argument)
}

/// The event channels that are not closed. Whether the other end has connected yet is a matter of time.
pub(crate) fn events(console: u32, store: u32) {
    for port in 0..PORTS {
        let Some(channel) = event_status(port).filter(|channel| channel.status != 0) else { continue };
        let kind = match channel.status {
            1 | 2 => "to another domain",
            3 => "of a physical interrupt",
            4 => "of a virtual interrupt",
            _ => "between vCPUs",
        };
        let whose = match port {
            0 => "",
            port if port == console => ", the console's",
            port if port == store => ", xenstore's",
            _ => "",
        };
        info(format_args!("event[{port}]"), format_args!("{kind}{whose}, notifies vCPU {}", channel.vcpu));
    }
}

/// The vCPUs that are up: this one.
pub(crate) fn vcpus() {
    let (mut running, mut down) = (0, 0);
    for vcpu in 0..VCPUS {
        // SAFETY: no memory is involved.
        match unsafe { call(VCPU_OP, [VCPUOP_IS_UP, u64::from(vcpu), 0, 0]) } {
            1 => running += 1,
            0 => down += 1,
            _ => {}
        }
    }
    check(running == 1, "vcpus", format_args!("{running} up, {down} down"));
}

/// The version of the grant table's entries, or an error.
pub(crate) fn grant_version() {
    let mut argument = [u32::from(DOMID_SELF), 0];
    // SAFETY: Xen writes the argument: a domain's number and the version.
    let result = unsafe { call(GRANT_TABLE_OP, [GNTTABOP_GET_VERSION, &raw mut argument as u64, 1, 0]) };
    info("grants.version", format_args!("{}", if result == 0 { i64::from(argument[1]) } else { result }));
}

/// The bytes of a page that are not zero: how many, and the first.
fn nonzero(bytes: &[u8]) -> (usize, usize) {
    let count = bytes.iter().filter(|byte| **byte != 0).count();
    (count, bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len()))
}

fn word(page: &Page, at: usize) -> u32 {
    u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}

/// The console's ring.
pub(crate) fn console(page: &Page) {
    let [in_cons, in_prod, out_cons, out_prod] = [0, 4, 8, 12].map(|at| word(page, CONSOLE_INDICES + at));
    check(out_cons == out_prod, "console.out", format_args!("consumed {out_cons}, produced {out_prod}"));
    info("console.in", format_args!("consumed {in_cons}, produced {in_prod}"));
    info("console.connection", format_args!("{}", word(page, CONSOLE_INDICES + 16)));
    let (count, first) = nonzero(&page[..CONSOLE_INDICES]);
    info("console.bytes", format_args!("{count} not zero, the first at {first:#x}"));
}

/// xenstore's ring.
pub(crate) fn store(page: &Page) {
    let [req_cons, req_prod, rsp_cons, rsp_prod, features, connection, error] =
        [0, 1, 2, 3, 4, 5, 6].map(|number| word(page, STORE_INDICES + 4 * number));
    info("store.requests", format_args!("consumed {req_cons}, produced {req_prod}"));
    info("store.responses", format_args!("consumed {rsp_cons}, produced {rsp_prod}"));
    info("store.state", format_args!("features {features:#x}, connection {connection}, error {error}"));
    let (count, first) = nonzero(&page[..STORE_INDICES]);
    info("store.bytes", format_args!("{count} not zero, the first at {first:#x}"));
}

/// `shared_info`.
pub(crate) fn shared_info(page: &Page) {
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
