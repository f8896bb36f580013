//! Packs that are signed, required and measured, and some that are not what they have to be: the same domains for each tier.

mod locked;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pack::build::{Module, Request};
use pack::compress::Settings;
use pack::image::Image;
use pack::key::PrivateKey;
use pack::{measurements, open, stage0};
use shared::format::Codec;
use shared::measure::NAME;
use shared::memory::MIB;
use shared::trust::TrustSlot;

use crate::initrd;
use crate::kernels;
use crate::probe::{self, Case, Content, Layout, Lines};
use crate::{Board, Machine, Outcome};

pub use locked::locked;

/// A domain, and what has to become of it.
#[derive(Debug)]
pub struct Verified {
    /// What it is started as.
    pub machine: Machine,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    /// The kernel runs.
    Started(Started),
    /// The kernel runs, and finds this log.
    Measured(String),
    /// stage0 says this, and nothing runs.
    Refused(&'static str),
}

/// What is said of a kernel that runs.
#[derive(Clone, Copy, Debug)]
struct Started {
    /// Its command line.
    cmdline: &'static str,
    /// What stage0 says of words that the lock dropped.
    dropped: Option<&'static str>,
    /// Whether it is a PV domain's, which does not count its modules.
    pv: bool,
}

/// What is in a pack besides the probe.
struct Wish {
    signed_by: Option<u8>,
    measured: bool,
}

/// The domains, to be run at `tier`.
///
/// # Errors
/// Where a pack cannot be made, or a file be written.
pub fn domains(tier: &str) -> Result<Vec<Verified>> {
    let (first, second, stranger) = (1, 2, 3);
    let signed = build(&Wish { signed_by: Some(second), measured: false })?;
    let unsigned = build(&Wish { signed_by: None, measured: false })?;
    let by_stranger = build(&Wish { signed_by: Some(stranger), measured: false })?;
    let measured = build(&Wish { signed_by: Some(first), measured: true })?;
    let mut forged = signed.clone();
    // A bit of the signature (shared::format: 168 to 232).
    forged[200] ^= 1;
    let keys = trusting(&[first, second])?;
    let requires = |pack: &[u8]| Ok::<_, anyhow::Error>(format!("stage0.require=sha256:{} fourth=5", digest(pack)?));
    let log = measurements::log(&Image::parse(&measured)?, &keys, "fourth=5")?;
    let plain = stage0::EMBEDDED;
    let started = |cmdline, dropped| Expected::Started(Started { cmdline, dropped, pv: false });
    let make =
        |name: &str, stage0: &[u8], pack: &[u8], words: &str, expected| make(tier, name, stage0, pack, words, expected);
    let dropped = Some("1 of the builder's words dropped: fourth=5");
    Ok(vec![
        make("signed", &keys, &signed, "fourth=5", started("first \"second third\"", dropped))?,
        make("unsigned", &keys, &unsigned, "fourth=5", Expected::Refused("pack is not signed: "))?,
        make("by-stranger", &keys, &by_stranger, "fourth=5", Expected::Refused("pack is signed by a stranger: "))?,
        make("forged", &keys, &forged, "fourth=5", Expected::Refused("signature is wrong: "))?,
        make("required", plain, &unsigned, &requires(&unsigned)?, started("first \"second third\" fourth=5", None))?,
        make(
            "not-required",
            &keys,
            &signed,
            &requires(&measured)?,
            Expected::Refused("pack is not the required one: "),
        )?,
        make("measured", &keys, &measured, "fourth=5", Expected::Measured(log))?,
    ])
}

/// A domain of the name at the tier.
fn make(tier: &str, name: &str, stage0: &[u8], pack: &[u8], words: &str, expected: Expected) -> Result<Verified> {
    let name = format!("{tier}-{name}");
    let stage0 = probe::file(&format!("{name}.stage0"), stage0)?;
    let pack = probe::file(&format!("{name}.pack"), pack)?;
    let machine = Machine::new(name, stage0).initrd(pack).append(words).debug_console();
    Ok(Verified { machine, expected })
}

fn digest(pack: &[u8]) -> Result<String> {
    Ok(pack::info::hex(Image::parse(pack)?.manifest.digest()))
}

/// A distribution's Linux that shows the log of measurements, and that log.
#[derive(Debug)]
pub struct MeasuredLinux {
    /// What it is started as.
    pub machine: Machine,
    log: String,
}

impl MeasuredLinux {
    /// A Linux whose initrd is compressed so that nothing could be appended to it (zstd), signed, measured, and started by a
    /// stage0 that trusts its signer.
    ///
    /// # Errors
    /// A part is [`crate::Missing`], or a file cannot be written.
    pub fn new(name: &str, console: &str, codec: Codec) -> Result<Self> {
        let kernel = kernels::with(&["CONFIG_XEN_PV", "CONFIG_XEN_PVH", "CONFIG_RD_ZSTD"])?;
        let opened = open::open(&kernel.vmlinuz)?;
        let mut request = Request::new(kernel.release, opened.elf);
        request.cmdline = Some(format!("console={console} quiet panic=-1 {}", Board::Pc.linux_words()));
        request.settings = Settings { codec, level: 3, ..Settings::default() };
        let initrd = zstd::encode_all(initrd::measured("cat /mstrap.measurements")?.as_slice(), 1)?;
        request.modules = vec![Module { name: "initrd.img".to_owned(), content: initrd }];
        request.measured = true;
        request.locked = true;
        let mut pack = request.build(&|_| ())?.pack;
        key(1).sign(&mut pack).map_err(|error| anyhow::anyhow!("{error}"))?;
        let keys = trusting(&[1])?;
        let log = measurements::log(&Image::parse(&pack)?, &keys, "stage0.timing")?;
        let stage0 = probe::file(&format!("{name}.stage0"), &keys)?;
        let machine =
            Machine::new(name, stage0).initrd(probe::file(&format!("{name}.pack"), &pack)?).append("stage0.timing");
        Ok(Self { machine: machine.limit(Duration::from_secs(120)), log })
    }

    /// Checks that the guest's userspace read the log that the host computes.
    ///
    /// # Errors
    /// It read another, or none.
    pub fn check(&self, outcome: &Outcome) -> Result<()> {
        let found = initrd::measurements(&outcome.serial) + &initrd::measurements(&outcome.xen_console);
        ensure!(found == self.log, outcome.failure(&format!("expected the log\n{}found\n{found}", self.log)));
        Ok(())
    }
}

/// A kernel made of the probe, with a module, packed.
fn build(wish: &Wish) -> Result<Vec<u8>> {
    let layout = Layout::at("verified", 16 * MIB);
    let kernel = fs::read(probe::build(&layout)?)?;
    let mut request = Request::new(layout.name, kernel);
    request.cmdline = Some(Case::OWN.to_owned());
    request.settings.codec = Codec::Lz4;
    request.modules = vec![Module { name: "module".to_owned(), content: probe::module(100_003, Content::Noise(1)) }];
    request.measured = wish.measured;
    request.locked = wish.signed_by.is_some();
    let mut pack = request.build(&|_| ()).context("the probe")?.pack;
    if let Some(seed) = wish.signed_by {
        key(seed).sign(&mut pack).map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(pack)
}

/// The stage0 that `pack` carries, with these keys.
fn trusting(seeds: &[u8]) -> Result<Vec<u8>> {
    let mut slot = TrustSlot::EMPTY;
    for (place, seed) in slot.keys.iter_mut().zip(seeds) {
        *place = key(*seed).public();
    }
    let mut image = stage0::EMBEDDED.to_vec();
    stage0::trust(&mut image, &slot)?;
    Ok(image)
}

/// One key for each number.
fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

/// What stage0 says of errors, on a domain's console, or on the serial port of a machine that has none.
fn errors(outcome: &Outcome) -> Vec<&str> {
    let consoles = [&outcome.xen_console, &outcome.serial];
    let [on_console, on_port] = consoles.map(|console| crate::stage0::errors(console));
    if on_console.is_empty() { on_port } else { on_console }
}

impl Verified {
    /// Whether the kernel is to run.
    pub fn starts(&self) -> bool {
        !matches!(self.expected, Expected::Refused(_))
    }

    /// Checks what the domain said. How it ended differs from tier to tier.
    ///
    /// # Errors
    /// It said something else.
    pub fn check(&self, outcome: &Outcome) -> Result<()> {
        // In a PV domain the probe has no port.
        let [on_port, on_console] = [&outcome.serial, &outcome.xen_console].map(|console| Lines::of(console));
        let lines = if on_port.is_complete() { on_port } else { on_console };
        let expect = |name: &str, line: String| -> Result<()> {
            ensure!(lines.named(name) == Some(&line), outcome.failure(&format!("expected: {line}")));
            Ok(())
        };
        let cmdline = |text: &str| expect("cmdline", format!("ok cmdline: {} bytes \"{text}\"", text.len()));
        if self.starts() {
            ensure!(lines.is_complete(), outcome.failure("the probe did not come to its end"));
            ensure!(errors(outcome).is_empty(), outcome.failure("expected no error of stage0's"));
        }
        for line in outcome.serial.lines().chain(outcome.xen_console.lines()).map(str::trim_end) {
            let shows = line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            ensure!(shows || !line.starts_with("stage0: "), outcome.failure(&format!("found {line:?}")));
            let measured = line.starts_with("stage0: measured:");
            ensure!(
                !measured || matches!(self.expected, Expected::Measured(_)),
                outcome.failure("expected no measurements")
            );
        }
        match &self.expected {
            Expected::Started(started) => {
                cmdline(started.cmdline)?;
                let lines = outcome.xen_console.lines().chain(outcome.serial.lines());
                let mut found: Vec<&str> = lines.filter_map(|line| line.strip_prefix("stage0: locked: ")).collect();
                found.dedup();
                let as_expected = found.iter().map(|line| line.trim_end()).eq(started.dropped);
                ensure!(as_expected, outcome.failure(&format!("expected {:?}, found {found:?}", started.dropped)));
                if started.pv { Ok(()) } else { expect("modules", "info modules: 1".to_owned()) }
            }
            Expected::Measured(log) => {
                cmdline("first \"second third\"")?;
                expect("modules", "info modules: 2".to_owned())?;
                let hash = ::probe::hash(log.as_bytes());
                expect("module[1].content", format!("info module[1].content: {} bytes, hash {hash:#018x}", log.len()))?;
                expect("module[1].cmdline", format!("info module[1].cmdline: \"{NAME}\""))?;
                let shown = format!("stage0: measured:{}", short(log));
                let found =
                    outcome.serial.lines().chain(outcome.xen_console.lines()).any(|line| line.trim_end() == shown);
                ensure!(found, outcome.failure(&format!("expected: {shown}")));
                Ok(())
            }
            Expected::Refused(start) => {
                ensure!(!lines.is_complete(), outcome.failure("expected no kernel"));
                let errors = errors(outcome);
                let found = errors.len() == 1 && errors[0].starts_with(start);
                ensure!(found, outcome.failure(&format!("expected one error that begins with {start:?}")));
                Ok(())
            }
        }
    }
}

/// The log as people are shown it: eight digits of each digest, and the whole chain.
fn short(log: &str) -> String {
    let words = log.lines().skip(1).filter_map(|line| line.split_once(' '));
    words.map(|(name, digest)| format!(" {name} {}", if name == "chain" { digest } else { &digest[..8] })).collect()
}
