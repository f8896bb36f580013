//! `pack key`, `pack sign`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use pack::image::{self, Image};
use pack::info::hex;
use pack::key::PrivateKey;
use pack::output::Output;

use super::text;

#[derive(Subcommand, Debug)]
pub(crate) enum KeyCommand {
    /// Make a private key (Ed25519, PKCS#8 in PEM), which nobody but you may read
    New {
        /// Where to write it; what is there is not replaced
        key: PathBuf,
    },
    /// Print the public key that belongs to a private key (PEM)
    Public {
        /// The private key
        key: PathBuf,
        /// Write it to a file instead
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Makes a key, or shows its public half.
pub(super) fn run(command: &KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::New { key: path } => {
            let key = PrivateKey::random()?;
            key.write(path)?;
            super::print(&format!("key        {}\n{}", text::name(path), id(&key)))?;
        }
        KeyCommand::Public { key: path, output } => {
            let output = output.as_deref().map(|output| Output::new(output, &[path])).transpose()?;
            let key = PrivateKey::read(path)?;
            let pem = key.public_pem()?;
            match output {
                Some(output) => {
                    output.write(pem.as_bytes())?;
                    super::print(&id(&key))?;
                }
                None => super::print(&pem)?,
            }
        }
    }
    Ok(())
}

fn id(key: &PrivateKey) -> String {
    format!("key id     {}\n", hex(&key.public().id()))
}

#[derive(clap::Args, Debug)]
pub(crate) struct SignArgs {
    /// The pack, which must be locked: made with --lock-cmdline or --sign
    image: PathBuf,
    /// The private key
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Write the signed pack elsewhere; if not given, it takes the pack's place
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Signs a pack that is there, and locked.
pub(super) fn sign(args: &SignArgs) -> anyhow::Result<()> {
    let inputs: &[&Path] = if args.output.is_some() { &[&args.image, &args.key] } else { &[&args.key] };
    let output = Output::new(args.output.as_deref().unwrap_or(&args.image), inputs)?;
    let key = PrivateKey::read(&args.key)?;
    let name = || args.image.display().to_string();
    let mut bytes = image::read(&args.image)?;
    let image = Image::parse(&bytes).with_context(name)?;
    // Whoever signs vouches for what is in it: not for what is damaged.
    image.check().with_context(name)?;
    let digest = hex(image.manifest.digest());
    key.sign(&mut bytes).map_err(|error| anyhow::anyhow!("{}: {error}", name()))?;
    output.write(&bytes)?;
    super::print(&format!("digest     sha256:{digest}\n{}", id(&key)))?;
    Ok(())
}
