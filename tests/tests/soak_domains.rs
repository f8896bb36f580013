//! The long form of tier T4: domains drawn at random, each started by xl itself and by stage0 from a pack, and compared; and a
//! Linux that is rebooted, saved and restored, with stage0 and without it.

use std::env;
use std::time::Duration;

use fastrand::Rng;
use harness::linux::Packed;
use harness::probe::{Case, Content, Extra, Layout, Pv, differ};
use harness::tier4::{self, Act, Domain, Kind, Pair, Release};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, initrd, kernels, linux, stage0};
use pack::compress::Settings;
use shared::format::Codec;
use shared::memory::MIB;

/// Pairs of one boot of Xen.
const BATCH: usize = 20;

fn main() {
    trial::main(vec![
        trial::test("domains_drawn_at_random_are_equal_to_a_direct_start", drawn),
        trial::test("a_linux_lives_on_as_without_stage0", live_on),
    ]);
}

/// A number from the environment.
fn number(name: &str, usual: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn drawn() -> Result<(), Trouble> {
    let mut rng = Rng::with_seed(number("MSTRAP_SEED", 1));
    let drawn: Vec<Pair> = (0..number("SOAK_PAIRS", 40)).map(|number| draw(&mut rng, number)).collect();
    let mut failed = Vec::new();
    for batch in drawn.chunks(BATCH) {
        let mut domains = Vec::new();
        for pair in batch {
            domains.extend(pair.domains()?);
        }
        let outcomes = tier4::run(Release::Trixie, &domains)?;
        let outcomes: &[[Outcome; 2]] = outcomes.as_chunks().0;
        for (pair, [direct, packed]) in batch.iter().zip(outcomes) {
            let Case { layout, memory_mib, module, .. } = &pair.case;
            println!("{} {layout:x?}, module {module:?}, {memory_mib} MiB", pair.tier);
            failed.extend(pair.check(direct, packed).err().map(|error| format!("{layout:x?}: {error:#}")));
        }
    }
    check(failed.is_empty(), failed.join("\n"))
}

/// A kernel, and a domain for it.
fn draw(rng: &mut Rng, number: u64) -> Pair {
    let name: &'static str = format!("soak-{number}").leak();
    let extra = |rng: &mut Rng, at: u64| {
        let size = rng.u64(1..4 * MIB);
        Extra { memory_size: size + rng.u64(0..4 * MIB), ..Extra::whole(at, size as usize, Content::Noise(number)) }
    };
    let module = rng.bool().then(|| rng.usize(24..24 << 20));
    let memory_mib = rng.u64(128..512);
    let codec = rng.choice([Codec::Zstd, Codec::Lz4, Codec::None]).unwrap_or(Codec::None);
    let page = |rng: &mut Rng, most: u64| rng.u64(0..most / 4096) * 4096;
    if rng.u8(0..3) == 0 {
        let base = MIB + page(rng, 32 * MIB);
        let mut layout = Layout::at(name, base);
        if rng.bool() {
            layout = layout.with(extra(rng, (base + 2 * MIB).next_multiple_of(4096)));
        }
        let case = Case { module, memory_mib, codec, ..Case::new(layout) };
        return Pair {
            case,
            tier: "soak-pvh",
            domain: |machine| Domain::new(Kind::Pvh, machine),
            differ: &differ::PVH,
        };
    }
    let bases = [0, 0x4000_0000, 0xffff_8800_0000_0000, 0xffff_ffff_8000_0000, 0x7f_ffe0_0000, 0x1234_5000];
    let virt_base = rng.choice(bases).unwrap_or(0);
    let offset = rng.bool().then_some(virt_base);
    let pv = Pv {
        virt_base,
        paddr_offset: offset,
        init_p2m: (virt_base > 1 << 47 && rng.bool()).then_some(0x80_0000_0000),
        module_by_frame: rng.bool(),
        hypercall_page: rng.bool(),
        symbols: rng.bool(),
        ..Pv::default()
    };
    let base = offset.unwrap_or(0).wrapping_add(page(rng, 32 * MIB));
    let mut layout = Layout::pv(name, base, pv);
    if rng.bool() {
        layout = layout.with(extra(rng, base.wrapping_add(2 * MIB)));
    }
    let case = Case { module, memory_mib, codec, ..Case::new(layout) };
    let pair = Pair { case, tier: "soak-pv", domain: |machine| Domain::new(Kind::Pv, machine), differ: &differ::PV };
    match rng.u8(0..4) {
        0 => Pair {
            tier: "soak-shim",
            domain: |machine| Domain::new(Kind::Pvh, machine).shim(),
            differ: &differ::PV_BY_XEN,
            ..pair
        },
        _ => pair,
    }
}

/// A Linux of both kinds, started by xl and by stage0, rebooted and saved; and, by stage0, with more memory than stage0 reaches.
fn live_on() -> Result<(), Trouble> {
    let kernel = kernels::with(&["CONFIG_XEN_PV", "CONFIG_XEN_PVH"])?;
    let cmdline = "console=hvc0 quiet panic=-1";
    let settings = Settings::quick();
    let packed = Packed::new("soak-linux", kernel, cmdline.to_owned(), settings)?;
    let ramdisk = linux::folder()?.join("soak-linux.cpio");
    std::fs::write(&ramdisk, initrd::small()?)?;
    let (mut domains, stage0) = (Vec::new(), stage0::file()?);
    for (act, word) in [(Act::Reboot, "reboot"), (Act::Save, "save")] {
        for kind in Kind::ALL {
            let name = |how| format!("soak-linux-{}-{word}-{how}", kind.word());
            let direct = Machine::new(name("direct"), &packed.kernel.vmlinuz).initrd(&ramdisk);
            let direct = direct.append(format!("{cmdline} {}", initrd::STAY));
            let packed = Machine::new(name("packed"), &stage0).initrd(&packed.file).append(initrd::STAY);
            domains.extend(
                [direct, packed].map(|machine| Domain::new(kind, machine.limit(Duration::from_secs(150))).act(act)),
            );
        }
    }
    let large = Kind::ALL.map(|kind| {
        let machine = Machine::new(format!("soak-linux-{}-large", kind.word()), &stage0).initrd(&packed.file);
        Domain::new(kind, machine.memory(5 << 10).limit(Duration::from_secs(150)))
    });
    domains.extend(large);
    let outcomes = tier4::run(Release::Trixie, &domains)?;
    let ended = |outcome: &Outcome| outcome.ended(&Exit::PowerOff).and_then(|()| outcome.guest()).err();
    let failed: Vec<String> = outcomes.iter().filter_map(ended).collect();
    check(failed.is_empty(), failed.join("\n"))
}
