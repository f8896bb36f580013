//! On the Xen before last, 4.17: kernels made of the probe in PV and PVH domains, and a distribution's kernel in a PV
//! domain. (In a PVH domain this Xen does not run one when QEMU's TCG emulates it.)

use std::time::Duration;

use harness::linux::Packed;
use harness::probe::{Case, Layout, differ, for_pv};
use harness::tier4::{self, Domain, Kind, Pair, Release};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, kernels, stage0};
use libtest_mimic::Trial;
use pack::compress::Settings;
use shared::memory::MIB;

pub(crate) fn tests() -> Vec<Trial> {
    vec![trial::test("probes_are_equal_to_a_direct_start_and_linux_reaches_userspace", all)]
}

/// All in one go, as Xen has to be started first.
fn all() -> Result<(), Trouble> {
    let pairs = pairs();
    let kernel = kernels::with(&["CONFIG_XEN_PV", "CONFIG_XEN_PVH"])?;
    let settings = Settings::quick();
    let packed = Packed::new("t4-older-linux", kernel, "console=hvc0 quiet panic=-1".to_owned(), settings)?;
    let linux = Machine::new("t4-older-linux", stage0::file()?).initrd(&packed.file).limit(Duration::from_secs(120));
    let mut domains = vec![Domain::new(Kind::Pv, linux)];
    for pair in &pairs {
        domains.extend(pair.domains()?);
    }
    let outcomes = tier4::run(Release::Bookworm, &domains)?;
    let [linux, probes @ ..] = outcomes.as_slice() else { return Err("outcomes are missing".into()) };
    let probes: &[[Outcome; 2]] = probes.as_chunks().0;
    check(probes.len() == pairs.len(), "expected two outcomes of each pair")?;
    let results = pairs.iter().zip(probes).map(|(pair, [direct, packed])| pair.check(direct, packed));
    let failed: Vec<String> = results.filter_map(|result| Some(format!("{:#}", result.err()?))).collect();
    check(failed.is_empty(), failed.join("\n"))?;
    linux.ended(&Exit::PowerOff)?;
    let report = linux.guest()?;
    let expected = report.kernel == packed.kernel.release && report.guest_type == "PV";
    check(expected, linux.failure("expected the kernel that was packed, in a PV domain"))
}

fn pairs() -> Vec<Pair> {
    let pv = for_pv().map(|layout| Pair {
        case: Case { memory_mib: 64, ..Case::new(layout) },
        tier: "t4-older-pv",
        domain: |machine| Domain::new(Kind::Pv, machine),
        differ: &differ::PV,
    });
    let pvh = Pair {
        case: Case { memory_mib: 64, ..Case::new(Layout::at("older-1mib", MIB)) },
        tier: "t4-older-pvh",
        domain: |machine| Domain::new(Kind::Pvh, machine),
        differ: &differ::PVH,
    };
    pv.into_iter().chain([pvh]).collect()
}
