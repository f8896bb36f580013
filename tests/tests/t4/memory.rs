//! In PV and PVH domains of a real Xen, as T1 has it in QEMU's machines: the memory that `pack info` states is the least with which stage0
//! puts a kernel in place; with a MiB less, it says both numbers.

use std::sync::OnceLock;

use harness::stated::{self, LAST_LINE, Stated};
use harness::tier4::{self, Domain, Release};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Outcome};
use libtest_mimic::Trial;
use shared::format::Codec;
use shared::kernel::Protocol;
use shared::memory::Builder;

const PROTOCOLS: [Protocol; 3] = [Protocol::Pvh, Protocol::Pv, Protocol::Direct];

pub(crate) fn tests() -> Vec<Trial> {
    let tests = PROTOCOLS.into_iter().map(|protocol| {
        let name = protocol.name().to_lowercase();
        trial::test(&format!("the_memory_stated_is_the_least_by_{name}"), move || Batch::get()?.check(protocol))
    });
    tests.collect()
}

/// All domains, run in one go.
struct Batch {
    stated: Vec<Stated>,
    /// Of each, at its need, and a MiB below.
    outcomes: Vec<[Outcome; 2]>,
}

impl Batch {
    fn get() -> Result<&'static Self, Trouble> {
        static BATCH: OnceLock<Result<Batch, Trouble>> = OnceLock::new();
        BATCH.get_or_init(Self::run).as_ref().map_err(Clone::clone)
    }

    fn run() -> Result<Self, Trouble> {
        let mut stated = Vec::new();
        for protocol in PROTOCOLS {
            stated.extend(stated::probes(protocol)?);
        }
        stated.extend(stated::distribution(Codec::Lz4, &[Protocol::Pvh, Protocol::Pv])?);
        let mut domains = Vec::new();
        for one in &stated {
            let need = one.need(Builder::Xen);
            let (kind, machine) = one.domain(need)?;
            // A Linux may take long to find that it has too little.
            let enough = if one.is_linux { machine.until(LAST_LINE) } else { machine };
            domains.extend([Domain::new(kind, enough), Domain::new(kind, one.domain(need - 1)?.1)]);
        }
        let outcomes = tier4::run(Release::Trixie, &domains)?;
        check(outcomes.len() == domains.len(), "expected as many outcomes as domains")?;
        Ok(Self { stated, outcomes: outcomes.as_chunks().0.to_vec() })
    }

    fn check(&self, protocol: Protocol) -> Result<(), Trouble> {
        for (one, [enough, less]) in self.stated.iter().zip(&self.outcomes) {
            if one.protocol == protocol {
                println!("{}: {} MiB", one.name, one.need(Builder::Xen));
                one.got_through(enough)?;
                one.refused(Builder::Xen, less, &Exit::Crashed)?;
            }
        }
        Ok(())
    }
}
