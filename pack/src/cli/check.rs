//! `pack check IMAGE`.

use std::path::PathBuf;

use anyhow::Context;
use pack::check::{Verdict, check};
use pack::domain::{Domain, Kind};
use pack::image::{self, Image};
use pack::key;
use pack::stage0;
use shared::kernel::Entry;
use shared::memory::MIB;

use super::args::{BuilderArg, KindArg, keys, memory};
use super::text;

#[derive(clap::Args, Debug)]
pub(crate) struct CheckArgs {
    /// The pack
    image: PathBuf,
    /// The domain's memory, such as 256M or 2G
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// The kind of domain
    #[arg(long = "type", value_enum, default_value_t = KindArg::Pvh)]
    kind: KindArg,
    /// Whose habits the domain follows
    #[arg(long, value_enum, default_value_t = BuilderArg::Xen)]
    builder: BuilderArg,
    /// What the builder gives as its command line
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    extra: String,
    /// The public keys that the domain's stage0 trusts; at most four
    #[arg(long, value_name = "PUB", num_args = 1..)]
    trust: Vec<PathBuf>,
}

/// Says whether the pack would boot.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let kind = Kind::from(args.kind);
    let trust = key::trusting(keys(&args.trust))?;
    let domain = Domain { trust, kind, builder: args.builder.into(), memory: args.memory, cmdline: &args.extra };
    let name = || args.image.display().to_string();
    let bytes = image::read(&args.image)?;
    let image = Image::parse(&bytes).with_context(name)?;
    let verdict = check(&image, stage0::EMBEDDED, &domain).with_context(name)?;
    let size = args.memory.map_or_else(String::new, |bytes| format!(" of {} MiB", bytes / MIB));
    let builder = args.builder.name();
    let boots = format!("{}: would boot in a {kind} domain{size} of {builder}'s\n", text::name(&args.image));
    super::print(&(boots + &lines(&verdict)))?;
    Ok(())
}

/// What it would boot, and how.
fn lines(verdict: &Verdict) -> String {
    let linux = verdict.identity.linux_version.as_ref().map(|version| format!("Linux {version}, "));
    let entry = match verdict.plan.entry {
        Entry::Physical(entry) => format!("physical {entry}"),
        Entry::Virtual(entry) => format!("virtual {entry}"),
    };
    let warning = verdict.reading.warning(verdict.plan.protocol);
    let warning = warning.map_or_else(String::new, |text| format!("warning    {text}\n"));
    let dropped = verdict.dropped.as_ref().map(|dropped| format!("locked     {dropped}\n"));
    format!(
        "kernel     {}entered by {} at {entry}\ncmdline    {:?}\n{}memory     {} MiB at least\n{warning}",
        linux.unwrap_or_default(),
        verdict.plan.protocol,
        verdict.cmdline,
        dropped.unwrap_or_default(),
        verdict.need / MIB
    )
}
