//! `pack stage0 -o FILE`, and which stage0 is meant.

use std::path::{Path, PathBuf};

use anyhow::Context;
use pack::info::hex;
use pack::key;
use pack::output::Output;
use pack::stage0;

use super::args::Stage0Args;
use super::text::{name, size};

/// Writes stage0.
pub(super) fn run(args: &Stage0Args) -> anyhow::Result<()> {
    let inputs: Vec<&Path> = args.stage0.iter().chain(args.trust()).map(PathBuf::as_path).collect();
    let output = Output::new(&args.output, &inputs)?;
    let mut image = stage0::given(args.stage0.as_deref())?.into_owned();
    let keys = key::trusting(args.trust())?;
    if !args.trust().is_empty() {
        stage0::trust(&mut image, &keys).context("stage0")?;
    }
    output.write(&image).context("stage0")?;
    let (output, size) = (name(&args.output), size(image.len() as u64));
    let mut text = format!("stage0  {output}: {size}\ndigest  sha256:{}\n", stage0::digest(&image));
    for key in keys.trusted() {
        text += &format!("trusts  key {}\n", hex(&key.id()));
    }
    super::print(&text)?;
    Ok(())
}
