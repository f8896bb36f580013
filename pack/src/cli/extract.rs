//! `pack extract IMAGE -o DIR`.

use std::path::PathBuf;

use anyhow::Context;
use pack::extract::extract;
use pack::image::{self, Image};

use super::text::{self, size};

#[derive(clap::Args, Debug)]
pub(crate) struct ExtractArgs {
    /// The pack
    image: PathBuf,
    /// The folder to make, for kernel.elf, cmdline, module-0 and so on
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// Writes what is in the pack to a new folder.
pub(super) fn run(args: &ExtractArgs) -> anyhow::Result<()> {
    let name = || args.image.display().to_string();
    let bytes = image::read(&args.image)?;
    let image = Image::parse(&bytes).with_context(name)?;
    let files = extract(&image, &args.output).map_err(|error| match error {
        pack::extract::ExtractError::Pack(cause) => anyhow::Error::from(cause).context(name()),
        other => other.into(),
    })?;
    let line = |file: &pack::extract::Extracted| {
        let path = args.output.join(&file.file);
        format!("{}  {:?}: {}\n", text::name(&path), file.name, size(file.len))
    };
    super::print(&files.iter().map(line).collect::<String>())?;
    Ok(())
}
