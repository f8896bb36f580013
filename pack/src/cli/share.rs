//! `pack share PREFIX`: what is installed beside the program, made of the same definitions.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use pack::output::Output;
use pack::stage0;

use super::args::Args;
use super::text;

/// Where stage0 is, below a prefix.
const STAGE0: &str = "lib/mstrap/stage0.elf";
/// Where manual pages are.
const MANUAL: &str = "share/man/man1";
/// Where shells look for completions.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions/pack"),
    (Shell::Zsh, "share/zsh/vendor-completions/_pack"),
    (Shell::Fish, "share/fish/vendor_completions.d/pack.fish"),
];

#[derive(clap::Args, Debug)]
pub(crate) struct ShareArgs {
    /// The folder whose lib and share they go to, such as /usr/local
    prefix: PathBuf,
}

/// Writes all of it, replacing what is there.
pub(super) fn run(args: &ShareArgs) -> anyhow::Result<()> {
    let mut list = String::new();
    for (path, content) in files()? {
        let path = args.prefix.join(path);
        write(&path, &content)?;
        list.push_str(&format!("{}\n", text::name(&path)));
    }
    Ok(super::print(&list)?)
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    Ok(Output::new(path, &[])?.write(content)?)
}

/// All files, by their place below a prefix.
fn files() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = vec![(STAGE0.to_owned(), stage0::EMBEDDED.to_vec())];
    let mut program = Args::command();
    for (shell, path) in COMPLETIONS {
        let mut script = Vec::new();
        generate(shell, &mut program, "pack", &mut script);
        files.push((path.to_owned(), script));
    }
    // A page for each command; they are made as files.
    let pages = tempfile::tempdir()?;
    clap_mangen::generate_to(Args::command(), pages.path())?;
    for page in fs::read_dir(&pages)? {
        let page = page?;
        files.push((format!("{MANUAL}/{}", page.file_name().to_string_lossy()), fs::read(page.path())?));
    }
    files.sort();
    Ok(files)
}
