//! What Xen keeps for a PVH domain.

use core::cell::UnsafeCell;

use probe::IMAGE_VIRT;
use shared::memory::PAGE_SIZE;
use shared::xen::{
    AddToPhysmap, DOMID_SELF, HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVMOP_GET_PARAM, HYPERVISOR_MEMORY_OP,
    HvmParam, XENMAPSPACE_SHARED_INFO, XENMEM_ADD_TO_PHYSMAP,
};

use crate::call::{call, is_xen};
use crate::entry::State;
use crate::keeps::{self, Page};
use crate::memory;
use crate::report::{info, skip};

const HVM_OP: u64 = 34;
const CALLBACK_IRQ: u32 = 0;
const STORE_PFN: u32 = 1;
const STORE_EVTCHN: u32 = 2;

/// A page of .bss that gives its address to `shared_info`.
#[repr(C, align(4096))]
struct Spare(UnsafeCell<Page>);
// SAFETY: there is one CPU, and only its address is used.
unsafe impl Sync for Spare {}
static SPARE: Spare = Spare(UnsafeCell::new([0; 4096]));

/// All of it, under Xen.
pub(crate) fn dump(state: &State) {
    if !is_xen() {
        return skip("services", "there is no Xen");
    }
    let [console, console_port, store, store_port, callback] =
        [HVM_PARAM_CONSOLE_PFN, HVM_PARAM_CONSOLE_EVTCHN, STORE_PFN, STORE_EVTCHN, CALLBACK_IRQ].map(parameter);
    info("param.console", format_args!("frame {console:#x}, event channel {console_port}"));
    info("param.store", format_args!("frame {store:#x}, event channel {store_port}"));
    info("param.callback", format_args!("{callback:#x}"));
    for (frame, show) in [(console, keeps::console as fn(&Page)), (store, keeps::store)] {
        if let Some(page) = (frame != 0).then(|| page(frame * PAGE_SIZE)).flatten() {
            show(page);
        }
    }
    let spare = (SPARE.0.get() as u64).wrapping_sub(IMAGE_VIRT).wrapping_add(state.image.into());
    match add_shared_info(spare / PAGE_SIZE) {
        0 => page(spare).into_iter().for_each(keeps::shared_info),
        error => info("shared_info", format_args!("cannot be mapped: {error}")),
    }
    keeps::events(console_port as u32, store_port as u32);
    keeps::grant_version();
    keeps::vcpus();
}

fn page(address: u64) -> Option<&'static Page> {
    memory::bytes(address, PAGE_SIZE)?.first_chunk()
}

/// A parameter of the domain; 0 where Xen does not tell.
fn parameter(index: u32) -> u64 {
    let mut param = HvmParam::own(index);
    // SAFETY: Xen writes the argument.
    let result = unsafe { call(HVM_OP, [HVMOP_GET_PARAM, &raw mut param as u64, 0, 0]) };
    if result == 0 { param.value } else { 0 }
}

/// Puts `shared_info` at a frame, whose own memory is lost.
fn add_shared_info(frame: u64) -> i64 {
    let argument = AddToPhysmap { domid: DOMID_SELF, size: 0, space: XENMAPSPACE_SHARED_INFO, index: 0, frame };
    // SAFETY: Xen reads the argument; the frame is of .bss that nobody uses.
    unsafe { call(HYPERVISOR_MEMORY_OP, [XENMEM_ADD_TO_PHYSMAP, &raw const argument as u64, 0, 0]) }
}
