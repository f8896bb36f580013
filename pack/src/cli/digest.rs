//! `pack digest IMAGE`.

use std::path::PathBuf;

use anyhow::Context;
use pack::image::{self, Image};
use pack::measurements;
use pack::stage0;

#[derive(clap::Args, Debug)]
pub(crate) struct DigestArgs {
    /// The pack
    image: PathBuf,
    /// The stage0 that starts it [default: the one that this program carries]
    #[arg(long, value_name = "FILE", env = "PACK_STAGE0")]
    stage0: Option<PathBuf>,
    /// What the builder gives as its command line
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    cmdline: String,
}

/// Prints the log that the kernel will find.
pub(super) fn run(args: &DigestArgs) -> anyhow::Result<()> {
    let name = || args.image.display().to_string();
    let bytes = image::read(&args.image)?;
    let image = Image::parse(&bytes).with_context(name)?;
    let stage0 = stage0::given(args.stage0.as_deref())?;
    super::print(&measurements::log(&image, &stage0, &args.cmdline).with_context(name)?)?;
    Ok(())
}
