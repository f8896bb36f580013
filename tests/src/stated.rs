//! Packs with the memory that `pack info` states for them, and how far one comes in a machine of some size.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use pack::build::{Module, Request};
use pack::compress::Settings;
use shared::format::Codec;
use shared::kernel::Protocol;
use shared::memory::{Builder, MIB};

use crate::initrd::GuestReport;
use crate::linux::{self, Packed};
use crate::probe::direct::{Direct, Other};
use crate::probe::{self, Class, Content, Extra, Layout, Lines, Pv};
use crate::tier4::Kind;
use crate::trial::{Trouble, check};
use crate::{Board, Exit, Machine, Outcome, kernels, stage0};

/// What stage0 says last before it leaves.
pub const LAST_LINE: &str = "stage0: kernel: ";
/// What its line begins with when the machine is too small.
const TOO_SMALL: &str = "stage0: error: not enough memory: domain, expected ";
/// Where the kernels are linked that are not at their physical addresses.
const HIGH: u64 = 0xffff_ffff_8000_0000;

/// A pack that is started by one protocol, and the memory that is stated for it.
#[derive(Clone, Debug)]
pub struct Stated {
    /// Its kernel's shape; or its release, and how it is packed.
    pub name: String,
    /// Bytes of the pack.
    pub len: u64,
    /// How it is started.
    pub protocol: Protocol,
    pack: PathBuf,
    need: [u64; 2],
    /// Whether it is a Linux.
    pub is_linux: bool,
}

/// A probe's shape: where it lies, and what makes its pack, or its place, larger.
struct Shape {
    name: &'static str,
    base: u64,
    extra: Option<Extra>,
    pv: Pv,
    codec: Codec,
    /// Bytes of its module, or none.
    module: usize,
}

/// Small; over stage0; with much memory that is not in the file; with a module, and with much that nothing makes smaller, in
/// which the pack is what takes the room. With a MiB less than it needs, the one with a module still lies behind stage0: where QEMU
/// has to load one over the other, nobody can read what it needs.
fn shapes() -> [Shape; 5] {
    let small = Shape { name: "small", base: 16 * MIB, extra: None, pv: Pv::linux(), codec: Codec::Zstd, module: 0 };
    let bss = Extra { paddr: 32 * MIB, file_size: 0, memory_size: 24 * MIB, content: Content::Pages };
    let noise = Extra::whole(20 * MIB, 5 << 20, Content::Noise(1));
    let low = Pv::default();
    [
        Shape { name: "over", base: MIB, pv: low, codec: Codec::Lz4, ..small },
        Shape { name: "bss", extra: Some(bss), ..small },
        Shape { name: "module", base: 2 * MIB, pv: low, codec: Codec::None, module: (12 << 20) - (128 << 10), ..small },
        Shape { name: "noise", extra: Some(noise), module: 100, ..small },
        small,
    ]
}

impl Shape {
    /// The kernel for a protocol, packed.
    fn stated(&self, protocol: Protocol) -> Result<Stated, Trouble> {
        let name: &'static str = format!("need-{}-{}", protocol.name().to_lowercase(), self.name).leak();
        let mut request = match protocol {
            Protocol::Direct => {
                let kernel = self.direct(name).kernel()?;
                Request { decisions: kernel.decisions, ..Request::new(name, kernel.elf) }
            }
            Protocol::Pvh | Protocol::Pv => {
                let pv = (protocol == Protocol::Pv).then_some(self.pv);
                let layout = Layout { pv, extras: self.extra.into_iter().collect(), ..Layout::at(name, self.base) };
                Request::new(name, fs::read(probe::build(&layout)?)?)
            }
        };
        request.settings = Settings { codec: self.codec, level: 1, ..request.settings };
        if self.module > 0 {
            request.modules =
                vec![Module { name: "module".into(), content: probe::module(self.module, Content::Noise(2)) }];
        }
        let pack = request.build(&|_| ()).map_err(|error| error.to_string())?.pack;
        Stated::new(self.name.to_owned(), protocol, &pack, probe::file(&format!("{name}.pack"), &pack)?, false)
    }

    fn direct(&self, name: &'static str) -> Direct {
        let direct = Direct::at(name, Class::Elf64, HIGH, self.base);
        match self.extra {
            None => direct,
            Some(Extra { paddr, file_size, memory_size, content }) => {
                let (virt, access) = (HIGH + paddr, (true, false));
                direct.with(Other { virt, phys: paddr, file_size, memory_size, access, content })
            }
        }
    }
}

/// Five kernels made of the probe.
///
/// # Errors
/// One of them cannot be built or packed.
pub fn probes(protocol: Protocol) -> Result<Vec<Stated>, Trouble> {
    shapes().iter().map(|shape| shape.stated(protocol)).collect()
}

/// Two kernels of the distribution with the small ramdisk; each is packed once for all the protocols.
///
/// # Errors
/// They cannot be had, or one cannot be packed.
pub fn distribution(codec: Codec, protocols: &[Protocol]) -> Result<Vec<Stated>, Trouble> {
    let mut all = Vec::new();
    for kernel in kernels::of_different_compressions(2)?.into_iter().take(2) {
        let settings = Settings::of(codec);
        let name = format!("{}-{}", kernel.release, codec.name());
        let packed = Packed::new(&format!("need-{name}"), kernel, "quiet panic=-1".to_owned(), settings)?;
        for protocol in protocols {
            all.push(Stated::new(name.clone(), *protocol, &packed.bytes, packed.file.clone(), true)?);
        }
    }
    Ok(all)
}

impl Stated {
    fn new(name: String, protocol: Protocol, bytes: &[u8], pack: PathBuf, is_linux: bool) -> Result<Self, Trouble> {
        let [qemu, xen] = ["QEMU", "Xen"].map(|builder| linux::need(bytes, protocol.name(), builder));
        let need = [qemu?.div_ceil(MIB), xen?.div_ceil(MIB)];
        Ok(Self { name, len: bytes.len() as u64, protocol, pack, need, is_linux })
    }

    /// The least memory, MiB, as `pack info` states it.
    pub fn need(&self, builder: Builder) -> u64 {
        let [qemu, xen] = self.need;
        match builder {
            Builder::Qemu => qemu,
            Builder::Xen => xen,
        }
    }

    /// A machine of QEMU's.
    ///
    /// # Errors
    /// stage0's file cannot be written.
    pub fn machine(&self, memory_mib: u64) -> Result<Machine, Trouble> {
        let words = if self.is_linux { format!("console=ttyS0 {}", Board::Pc.linux_words()) } else { String::new() };
        self.started("qemu", memory_mib, &words)
    }

    /// The same as a domain of a real Xen; its kind, and the machine to make it of.
    ///
    /// # Errors
    /// As for [`Self::machine`].
    pub fn domain(&self, memory_mib: u64) -> Result<(Kind, Machine), Trouble> {
        let kind = if self.protocol == Protocol::Pv { Kind::Pv } else { Kind::Pvh };
        let words = if self.is_linux { "console=hvc0" } else { "" };
        Ok((kind, self.started("xen", memory_mib, words)?))
    }

    fn started(&self, builder: &str, memory_mib: u64, words: &str) -> Result<Machine, Trouble> {
        let name = format!("need-{builder}-{}-{}-{memory_mib}", self.protocol.name().to_lowercase(), self.name);
        Ok(Machine::new(name, stage0::file()?).initrd(&self.pack).append(words).memory(memory_mib))
    }

    /// How far it came.
    pub fn fate(&self, outcome: &Outcome) -> Fate {
        let lines = || outcome.serial.lines().chain(outcome.xen_console.lines()).map(str::trim_end);
        if let Some(error) = lines().find(|line| line.starts_with(stage0::ERROR)) {
            let numbers = error.strip_prefix(TOO_SMALL).and_then(|rest| {
                let (expected, rest) = rest.split_once(" MiB, found ")?;
                Some((expected.parse().ok()?, rest.strip_suffix(" MiB")?.parse().ok()?))
            });
            return match numbers {
                Some((expected, found)) => Fate::TooSmall { expected, found },
                None => Fate::Refused(error.to_owned()),
            };
        }
        if !lines().any(|line| line.starts_with(LAST_LINE)) {
            return if matches!(outcome.exit, Exit::Failed(_)) { Fate::Unbuilt } else { Fate::Silent };
        }
        let mut texts = [&outcome.serial, &outcome.xen_console].into_iter();
        let ended = if self.is_linux {
            texts.any(|text| GuestReport::find(text).is_some())
        } else {
            texts.any(|text| has_run(&Lines::of(text)))
        };
        if ended { Fate::Runs } else { Fate::Entered }
    }

    /// Checks that stage0 got through in the memory that is stated. What a Linux does in so little is its own affair; a probe needs no
    /// more.
    ///
    /// # Errors
    /// It did not.
    pub fn got_through(&self, outcome: &Outcome) -> Result<(), Trouble> {
        let fate = self.fate(outcome);
        let enough = fate == Fate::Runs || self.is_linux && fate == Fate::Entered;
        check(enough, outcome.failure(&format!("expected stage0 to get through, and a probe to run: {fate}")))
    }

    /// Checks that stage0 refused a MiB less, with both numbers, and ended the machine as `exit`.
    ///
    /// # Errors
    /// It did not.
    pub fn refused(&self, builder: Builder, outcome: &Outcome, exit: &Exit) -> Result<(), Trouble> {
        let expected = self.need(builder);
        let (expected, found) = (Fate::TooSmall { expected, found: expected - 1 }, self.fate(outcome));
        check(found == expected, outcome.failure(&format!("expected: {expected}; {found}")))?;
        Ok(outcome.ended(exit)?)
    }
}

/// Whether a probe found all as it is promised.
fn has_run(lines: &Lines) -> bool {
    lines.is_complete() && lines.not_ok().is_empty()
}

/// How far a pack came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The builder did not start the machine.
    Unbuilt,
    /// It was started, and nothing was said.
    Silent,
    /// stage0 refused it: memory, in MiB.
    TooSmall {
        /// What it needs.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// stage0 refused it with another line.
    Refused(String),
    /// The kernel was entered, and did not come to its end.
    Entered,
    /// The kernel did all that it is there for: a Linux up to its userspace.
    Runs,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbuilt => f.write_str("the builder refused"),
            Self::Silent => f.write_str("nothing was said"),
            Self::TooSmall { expected, found } => write!(f, "{TOO_SMALL}{expected} MiB, found {found} MiB"),
            Self::Refused(line) => f.write_str(line),
            Self::Entered => f.write_str("the kernel was entered"),
            Self::Runs => f.write_str("the kernel ran"),
        }
    }
}
