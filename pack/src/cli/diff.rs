//! `pack diff A B`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pack::diff::diff;
use pack::image::{self, Image, ImageError};
use pack::info::Info;
use pack::stage0;

#[derive(clap::Args, Debug)]
pub(crate) struct DiffArgs {
    /// A pack
    first: PathBuf,
    /// Another pack
    second: PathBuf,
    /// End with status 1 if they are not the same
    #[arg(long)]
    exit_code: bool,
}

/// Shows what is not the same.
pub(super) fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let differences = diff(&info(&args.first)?, &info(&args.second)?);
    super::print(&differences.iter().map(ToString::to_string).collect::<String>())?;
    let told = args.exit_code && !differences.is_empty();
    Ok(if told { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn info(path: &Path) -> Result<Info, ImageError> {
    let bytes = image::read(path)?;
    let at = |cause| ImageError { path: path.to_owned(), cause };
    Info::of(&Image::parse(&bytes).map_err(at)?, stage0::EMBEDDED, None).map_err(at)
}
