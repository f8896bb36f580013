//! `pack stage0 -o FILE`, and which stage0 is meant.

use std::path::Path;

use anyhow::Context;
use pack::output::Output;
use pack::stage0;

use super::args::Stage0Args;
use super::text::size;

/// Writes stage0.
pub(super) fn run(args: &Stage0Args) -> anyhow::Result<()> {
    let inputs: Vec<&Path> = args.stage0.as_deref().into_iter().collect();
    let output = Output::new(&args.output, &inputs)?;
    let image = match &args.stage0 {
        Some(path) => stage0::read(path)?,
        None => stage0::EMBEDDED.to_vec(),
    };
    output.write(&image).context("stage0")?;
    let (output, size) = (args.output.display(), size(image.len() as u64));
    super::print(&format!("stage0  {output}: {size}\ndigest  sha256:{}\n", stage0::digest(&image)))?;
    Ok(())
}
