//! `pack run` in the tiers that take a minute each.

use harness::talk::talk;
use harness::trial;

const RUNNER: &str = env!("CARGO_BIN_EXE_pack-run");

fn main() {
    trial::main(vec![
        trial::test("one_can_talk_to_a_linux_in_the_emulation_of_xen", || {
            talk(RUNNER, "xen-emulation", "console=ttyS0")
        }),
        trial::test("one_can_talk_to_a_linux_in_a_pvh_domain", || talk(RUNNER, "xen-pvh", "console=hvc0")),
        trial::test("one_can_talk_to_a_linux_in_a_pv_domain", || talk(RUNNER, "xen-pv", "console=hvc0")),
    ]);
}
