//! `pack xl IMAGE`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use pack::check::{Verdict, check};
use pack::domain::{Domain, Kind};
use pack::image::{self, Image};
use pack::info::hex;
use pack::output::Output;
use pack::stage0;
use pack::xl::{DomainFile, name_of};
use shared::memory::{Builder, MIB};
use shared::trust::TrustSlot;

use super::args::{KindArg, memory};

/// What a domain gets whose kernel is content with it.
const USUAL_MEMORY: u64 = 512 * MIB;
/// What a kernel gets beyond the least with which it can be put in place.
const MORE_MEMORY: u64 = 256 * MIB;
/// Where `cargo make install` and the Debian package put stage0, seen from the folder of this program.
const INSTALLED: &str = "../lib/mstrap/stage0.elf";
const STAGE0: &str = "stage0.elf";

#[derive(clap::Args, Debug)]
pub(crate) struct XlArgs {
    /// The pack
    image: PathBuf,
    /// The domain's name [default: after the pack]
    #[arg(long)]
    name: Option<String>,
    /// The domain's memory, such as 256M or 2G [default: 512M, or more if the pack needs it]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// The kind of domain [default: what the kernel can do, PVH if both]
    #[arg(long = "type", value_enum)]
    kind: Option<KindArg>,
    /// The number of processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=512))]
    vcpus: u32,
    /// The builder's command line, which follows that of the pack
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    extra: String,
    /// A disk, as xl-disk-configuration(5) describes it; may be given more than once
    #[arg(long, value_name = "SPEC")]
    disk: Vec<String>,
    /// A network interface, as xl-network-configuration(5) describes it; may be given more than once
    #[arg(long, value_name = "SPEC")]
    vif: Vec<String>,
    /// Where dom0 finds stage0 [default: stage0.elf beside the pack, or where this program was installed]
    #[arg(long, value_name = "PATH")]
    stage0: Option<PathBuf>,
    /// Where dom0 finds the pack [default: where it is here]
    #[arg(long, value_name = "PATH")]
    ramdisk: Option<PathBuf>,
    /// Where to write the file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Prints a file with which the pack boots.
pub(super) fn run(args: &XlArgs) -> anyhow::Result<()> {
    let name = || args.image.display().to_string();
    let bytes = image::read(&args.image)?;
    let image = Image::parse(&bytes).with_context(name)?;
    let (kind, verdict) = choose(args, &image).with_context(name)?;
    super::warn_of_dropped(&verdict);
    let memory = args.memory.unwrap_or_else(|| usual_memory(verdict.need));
    let file = DomainFile {
        ramdisk: Some(match &args.ramdisk {
            Some(path) => path.clone(),
            None => std::path::absolute(&args.image)?,
        }),
        extra: args.extra.clone(),
        vcpus: args.vcpus,
        disks: args.disk.clone(),
        vifs: args.vif.clone(),
        ..DomainFile::new(
            args.name.clone().unwrap_or_else(|| name_of(&args.image)),
            kind,
            find_stage0(args)?,
            memory / MIB,
        )
    };
    let text = format!("{}{}", comment(&image, &verdict), file.text()?);
    match &args.output {
        Some(path) => Ok(Output::new(path, &[&args.image])?.write(text.as_bytes())?),
        None => Ok(super::print(&text)?),
    }
}

/// The kind of domain in which the pack would boot: the one that was asked for, else the first that does.
fn choose(args: &XlArgs, image: &Image<'_>) -> anyhow::Result<(Kind, Verdict)> {
    let with = |kind| {
        let domain =
            Domain { kind, builder: Builder::Xen, memory: args.memory, cmdline: &args.extra, trust: TrustSlot::EMPTY };
        check(image, stage0::EMBEDDED, &domain).map(|verdict| (kind, verdict))
    };
    if let Some(kind) = args.kind {
        return Ok(with(kind.into())?);
    }
    let [first, others @ ..] = Kind::ALL;
    let refused = match with(first) {
        Ok(found) => return Ok(found),
        Err(refused) => refused,
    };
    // What is said if there is none is what is wrong with the first.
    others.into_iter().find_map(|kind| with(kind).ok()).ok_or_else(|| refused.into())
}

/// What a domain gets that nobody gave a size.
pub(super) fn usual_memory(need: u64) -> u64 {
    USUAL_MEMORY.max((need + MORE_MEMORY).next_multiple_of(128 * MIB))
}

/// What is packed, for people.
fn comment(image: &Image<'_>, verdict: &Verdict) -> String {
    let digest = hex(image.manifest.digest());
    let guest_os = &verdict.reading.kernel.xen.guest_os;
    let kernel = match &verdict.identity.linux_version {
        Some(version) => format!("Linux {version}"),
        None if guest_os.is_empty() => "a kernel".to_owned(),
        None => guest_os.to_string(),
    };
    format!("# {kernel}, entered by {}; pack sha256:{digest}\n", verdict.plan.protocol)
}

/// Where dom0 finds stage0: where it was said, else where it is found here.
fn find_stage0(args: &XlArgs) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.stage0 {
        return Ok(path.clone());
    }
    let beside = std::path::absolute(&args.image)?.with_file_name(STAGE0);
    let program = std::env::current_exe().ok();
    let installed = program.as_deref().and_then(Path::parent).map(|folder| folder.join(INSTALLED));
    for path in [Some(beside.clone()), installed.and_then(|path| path.canonicalize().ok())].into_iter().flatten() {
        if path.exists() {
            stage0::read(&path)?;
            return Ok(path);
        }
    }
    bail!("{}: is not there: write it with `pack stage0 -o`, or say with --stage0 where dom0 has it", beside.display())
}
