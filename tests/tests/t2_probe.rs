//! T2: kernels made of the probe in QEMU's emulation of Xen, started by QEMU itself and by stage0 from a pack.

use harness::probe::{Case, Content, Extra, Layout};
use harness::tier2;
use harness::trial::{self, Trouble};
use harness::{Machine, Outcome};
use shared::memory::MIB;

/// Lines that may differ.
const DIFFER: [&str; 6] = [
    // The time: QEMU's wall clock is laid out for 32-bit guests, which have it where 64-bit ones have these bits.
    "shared_info.evtchn_pending",
    // QEMU's pvh.bin loads no TSS, stage0 does, as the protocol asks.
    "tr",
    "end",
    // The builder's choice, within limits that the probe checks in other lines.
    "start_info.address",
    "module[0].address",
    // Promised by stage0 alone.
    "module[0].tail",
];

fn main() {
    trial::main(vec![trial::test("equal_to_a_direct_start", equal_to_a_direct_start)]);
}

/// All in one call, as the emulation may have to be started first.
fn equal_to_a_direct_start() -> Result<(), Trouble> {
    let filler = Extra { memory_size: 40 * MIB, ..Extra::whole(32 * MIB, 3 << 20, Content::Noise(1)) };
    let cases = [
        Case::new(Layout::at("xen-1mib", MIB)),
        Case::new(Layout::at("xen-16mib", 16 * MIB)),
        Case::new(Layout::at("xen-gap", 16 * MIB).with(filler)),
    ];
    let mut machines: Vec<Machine> = Vec::new();
    for case in &cases {
        let packed = case.packed("t2")?.append(format!("stage0.quiet {}", Case::BUILDERS));
        machines.extend([case.direct("t2")?, packed]);
    }
    let outcomes = tier2::run(&machines)?;
    for (case, pair) in cases.iter().zip(outcomes.as_chunks().0) {
        let [direct, packed]: &[Outcome; 2] = pair;
        // Not everything is as promised: nested in QEMU's TCG, a guest sees the CR4.MCE of the KVM around it, on both ways.
        case.compare(direct, packed, &DIFFER)?;
    }
    Ok(())
}
