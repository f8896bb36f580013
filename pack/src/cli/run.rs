//! `pack run IMAGE|KERNEL`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, bail};
use pack::build::{Module, Request, member_name};
use pack::check::check;
use pack::compress::Settings;
use pack::domain::{Domain, Kind};
use pack::image::{self, Image};
use pack::open;
use pack::stage0;
use shared::memory::Builder;
use shared::trust::TrustSlot;

use super::args::{memory, usage};
use super::xl::usual_memory;

/// The program that runs machines: of the same workspace, installed beside this one or found by PATH.
const RUNNER: &str = "pack-run";

#[derive(clap::Args, Debug)]
pub(crate) struct RunArgs {
    /// A pack, or a kernel, which is packed first
    file: PathBuf,
    /// Where to run it
    #[arg(long, value_enum, default_value_t = TierArg::Auto)]
    tier: TierArg,
    /// Memory, such as 256M or 2G [default: 512M, or more if the pack needs it]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// The number of processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    vcpus: u32,
    /// For a kernel: a file to hand over as its initrd
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// For a kernel: its command line [default: its console, to end at a panic, in QEMU's tiers not to judge the timer]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// The builder's command line, which follows that of the pack
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    extra: String,
    /// Another stage0 than the one that this program carries, such as one with keys
    #[arg(long, value_name = "FILE", env = "PACK_STAGE0")]
    stage0: Option<PathBuf>,
    /// Seconds after which it is killed, with status 124
    #[arg(long, value_name = "SECONDS", default_value_t = 24 * 3600)]
    timeout: u64,
    /// Further arguments for QEMU
    #[arg(last = true, value_name = "QEMU ARGS")]
    qemu: Vec<OsString>,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum TierArg {
    /// QEMU's emulation of Xen where this machine's KVM can do it, else plain QEMU
    Auto,
    /// Plain QEMU
    Qemu,
    /// QEMU's emulation of Xen
    XenEmulation,
    /// A PV domain of a real Xen, in an emulated machine
    XenPv,
    /// A PVH domain of a real Xen, in an emulated machine
    XenPvh,
}

impl TierArg {
    const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Qemu => "qemu",
            Self::XenEmulation => "xen-emulation",
            Self::XenPv => "xen-pv",
            Self::XenPvh => "xen-pvh",
        }
    }

    /// What a kernel is told that is packed for this alone.
    const fn cmdline(self) -> &'static str {
        match self {
            Self::Auto | Self::Qemu | Self::XenEmulation => "console=ttyS0 panic=-1 no_timer_check",
            Self::XenPv | Self::XenPvh => "console=hvc0 panic=-1",
        }
    }

    /// The domain, of as much memory as is said.
    const fn domain<'a>(self, memory: Option<u64>, cmdline: &'a str, trust: TrustSlot) -> Domain<'a> {
        let (kind, builder) = match self {
            Self::Auto | Self::Qemu | Self::XenEmulation => (Kind::Pvh, Builder::Qemu),
            Self::XenPv => (Kind::Pv, Builder::Xen),
            Self::XenPvh => (Kind::Pvh, Builder::Xen),
        };
        Domain { kind, builder, memory, cmdline, trust }
    }
}

/// Runs it. The exit status is the guest's.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let name = || args.file.display().to_string();
    let bytes = pack_of(args)?;
    let image = Image::parse(&bytes).with_context(name)?;
    let stage0 = stage0::given(args.stage0.as_deref())?;
    let domain = args.tier.domain(args.memory, &args.extra, stage0::trusted(&stage0));
    let verdict = check(&image, &stage0, &domain).with_context(name)?;
    super::warn_of_dropped(&verdict);
    let memory = args.memory.unwrap_or_else(|| usual_memory(verdict.need));

    let folder = tempfile::tempdir()?;
    let (kernel, ramdisk) = (folder.path().join("stage0.elf"), folder.path().join("image.pack"));
    fs::write(&kernel, &stage0).with_context(|| kernel.display().to_string())?;
    fs::write(&ramdisk, &bytes).with_context(|| ramdisk.display().to_string())?;
    let words = [
        ("--tier", OsString::from(args.tier.word())),
        ("--kernel", kernel.into()),
        ("--ramdisk", ramdisk.into()),
        ("--memory", memory.to_string().into()),
        ("--vcpus", args.vcpus.to_string().into()),
        ("--extra", args.extra.clone().into()),
        ("--timeout", args.timeout.to_string().into()),
    ];
    let words: Vec<OsString> = words.into_iter().flat_map(|(option, value)| [option.into(), value]).collect();
    let words = words.into_iter().chain(["--".into()]).chain(args.qemu.iter().cloned()).collect::<Vec<_>>();
    match started(&words) {
        Ok(status) => Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "{RUNNER}: is not there, neither beside this program nor by PATH: in mstrap's source, run `cargo install --locked \
             --path tests --bin {RUNNER}`"
        ),
        Err(error) => Err(error).context(RUNNER),
    }
}

/// The pack that was named, or one made of the kernel that was.
fn pack_of(args: &RunArgs) -> anyhow::Result<Vec<u8>> {
    if image::is_pack(&args.file)? {
        if args.initrd.is_some() || args.cmdline.is_some() {
            usage("--initrd and --cmdline are for a kernel: a pack has its own (--extra adds to its command line)")
        }
        return Ok(image::read(&args.file)?);
    }
    let opened = open::open(&args.file)?;
    let request = Request {
        cmdline: Some(args.cmdline.clone().unwrap_or_else(|| args.tier.cmdline().to_owned())),
        modules: args.initrd.as_deref().map(Module::read).transpose()?.into_iter().collect(),
        // Soon made and soon decoded: it is not kept.
        settings: Settings::quick(),
        ..Request::new(member_name(&args.file), opened.elf)
    };
    Ok(request.build(&|_| ()).with_context(|| args.file.display().to_string())?.pack)
}

/// Runs the runner to its end: the one beside this program, else the one that PATH finds.
fn started(words: &[OsString]) -> io::Result<ExitStatus> {
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent).map(|folder| folder.join(RUNNER));
    let runner = beside.filter(|path| path.exists()).unwrap_or_else(|| RUNNER.into());
    Command::new(runner).args(words).status()
}
