//! `pack run` in the tiers that take a minute each.

use harness::talk::talk;
use harness::trial;

fn main() {
    trial::main(vec![
        trial::test("one_can_talk_to_a_linux_in_the_emulation_of_xen", || talk("xen-emulation", "console=ttyS0")),
        trial::test("one_can_talk_to_a_linux_in_a_pvh_domain", || talk("xen-pvh", "console=hvc0")),
        trial::test("one_can_talk_to_a_linux_in_a_pv_domain", || talk("xen-pv", "console=hvc0")),
    ]);
}
