//! `pack KERNEL -o IMAGE`.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use pack::build::{Built, Module, Request, member_name};
use pack::identity::Identity;
use pack::image::Image;
use pack::info::{Contents, KernelInfo};
use pack::input::InputCause;
use pack::key::PrivateKey;
use pack::open::{self, Layer, Opened};
use pack::output::Output;
use pack::stage0;
use shared::kernel::{Decisions, Protocol};
use shared::memory::Virt;

use super::args::{MakeArgs, ProtocolArg};
use super::kernel;
use super::text::{name, percent, size};

/// Packs a kernel, and says what became of it.
pub(super) fn run(args: MakeArgs) -> anyhow::Result<()> {
    let (path, image) = args.files();
    let settings = args.settings();
    let inputs = [Some(path.as_path()), args.initrd.as_deref(), args.sign.as_deref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().collect();
    let output = Output::new(&image, &inputs)?;
    let key = args.sign.as_deref().map(PrivateKey::read).transpose()?;
    let opened = open::open(&path)?;
    let origin = Origin::of(&opened);
    let modules = args.initrd.as_deref().map(initrd).transpose()?;
    let request = Request {
        kernel_name: member_name(&path),
        elf: opened.elf,
        cmdline: args.cmdline,
        modules: modules.into_iter().collect(),
        measured: args.measure,
        settings,
        decisions: Decisions {
            entry: args.entry.map(Into::into).unwrap_or_default(),
            virt_base: args.virt_base.map(Virt),
            protocol: args.protocol.into(),
            mapping: args.map.into(),
        },
        locked: args.lock_cmdline || key.is_some(),
        allowed: args.allow_arg,
    };
    let bar = progress_bar(request.elf.len() as u64);
    let mut built = request.build(&|bytes| bar.inc(bytes)).with_context(|| path.display().to_string())?;
    bar.finish_and_clear();
    if let Some(key) = key {
        key.sign(&mut built.pack).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    }
    output.write(&built.pack)?;
    super::print(&summary(&path, &image, &origin, &built, args.protocol)?)?;
    Ok(())
}

/// Reads an initrd.
fn initrd(path: &Path) -> anyhow::Result<Module> {
    Module::read(path).map_err(|error| match error.cause {
        InputCause::TooLarge { .. } => anyhow!("{error}: an initrd lies below 4 GiB: leave what is large to a disk"),
        _ => error.into(),
    })
}

/// What the kernel file was before it was packed.
struct Origin {
    form: String,
    file_len: u64,
    linux_version: Option<String>,
    identity: Identity,
}

impl Origin {
    fn of(opened: &Opened) -> Self {
        let layers = opened.layers.iter().map(Layer::to_string).chain(["ELF".to_owned()]);
        Self {
            form: layers.collect::<Vec<_>>().join(", "),
            file_len: opened.file_len,
            linux_version: opened.linux_version.clone(),
            identity: Identity::of(&opened.elf),
        }
    }
}

/// Says what came in and what went out, how it can be entered and what memory it needs.
fn summary(
    path: &Path,
    output: &Path,
    origin: &Origin,
    built: &Built,
    protocol: ProtocolArg,
) -> anyhow::Result<String> {
    let image = Image::parse(&built.pack)?;
    let contents = Contents::of(&image)?;
    let member = image.manifest.kernel();
    let stored = member.stored.len();
    let linux = origin.linux_version.as_ref().map_or(String::new(), |version| format!(", Linux {version}"));
    let mut out = String::new();
    writeln!(out, "kernel     {}{linux}", name(path))?;
    writeln!(out, "in         {}: {} of {}", size(origin.file_len), origin.form, size(member.content_len))?;
    let ratio = percent(stored, member.content_len);
    writeln!(out, "out        {}, {ratio} of the ELF; frames: {}", size(stored), contents.frame_summary())?;
    for module in image.manifest.modules() {
        writeln!(out, "module     {}: {}", module.name, size(module.content_len))?;
    }
    writeln!(out, "pack       {}: {}", name(output), size(contents.pack_len))?;
    writeln!(out, "digest     sha256:{}", contents.digest)?;
    if let Some(signature) = contents.signature {
        writeln!(out, "signature  {} by key {}", signature.algorithm, signature.key_id)?;
    }
    let info = KernelInfo::of(&built.reading, origin.identity.clone(), stage0::EMBEDDED, &image.manifest);
    if protocol == ProtocolArg::Auto && built.reading.decisions.protocol == Some(Protocol::Direct) {
        writeln!(out, "protocol   direct, as the kernel says nothing to Xen: for PVH domains")?;
    }
    if let Some(warning) = built.reading.decisions.protocol.and_then(|protocol| built.reading.warning(protocol)) {
        writeln!(out, "warning    {warning}")?;
    }
    kernel::brief(&mut out, &info)?;
    Ok(out)
}

/// A bar on standard error, if that is a terminal.
fn progress_bar(len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
    let bar = ProgressBar::new(len).with_message("compressing");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
