//! The probe as it is compiled and linked: one image, that any place can be chosen for.

use std::process::Command;
use std::sync::Mutex;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use probe::{IMAGE_VIRT, TABLE_PAGE};

/// The image.
#[derive(Clone)]
pub(super) struct Image {
    /// The bytes that come from the file. Its first is the entry, its last page the table.
    pub(super) file: Vec<u8>,
    /// Bytes in memory, .bss included.
    pub(super) memory_size: u64,
}

/// The image, compiled once in a process.
pub(super) fn build() -> Result<Image> {
    static BUILT: Mutex<Option<Image>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if built.is_none() {
        *built = Some(read(&compile()?)?);
    }
    built.clone().context("the probe's image is there")
}

/// Runs cargo for the probe and gives back the linked file's bytes.
fn compile() -> Result<Vec<u8>> {
    let target = super::folder("probe-build")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--locked", "--package=probe", "--bin=probe", "--profile=probe"])
        .arg("--target=x86_64-unknown-none")
        .arg("--target-dir")
        .arg(&target)
        .current_dir(crate::cache::workspace());
    // What the cargo that runs the tests was told is not meant for this one.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let inherited = text.starts_with("CARGO_")
            && !["HOME", "NET", "REGISTR", "HTTP", "SOURCE"]
                .iter()
                .any(|kept| text["CARGO_".len()..].starts_with(kept));
        if inherited || text == "RUSTFLAGS" || text.starts_with("RUSTC") {
            command.env_remove(&name);
        }
    }
    let output = command.output().context("cargo cannot be run for the probe")?;
    ensure!(
        output.status.success(),
        "the probe was not compiled (is its target there? rustup target add x86_64-unknown-none):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = target.join("x86_64-unknown-none/probe/probe");
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Takes the one PT_LOAD out of the linked file.
fn read(linked: &[u8]) -> Result<Image> {
    let header = FileHeader64::<LittleEndian>::parse(linked)?;
    let loads: Vec<_> = header
        .program_headers(LittleEndian, linked)?
        .iter()
        .filter(|load| load.p_type(LittleEndian) == PT_LOAD)
        .collect();
    ensure!(loads.len() == 1, "the probe links to {} PT_LOADs, not to one", loads.len());
    let load = loads[0];
    ensure!(
        load.p_vaddr(LittleEndian) == IMAGE_VIRT && header.e_entry(LittleEndian) == IMAGE_VIRT,
        "the probe is linked at {:#x} and entered at {:#x}, but should be both at {IMAGE_VIRT:#x}",
        load.p_vaddr(LittleEndian),
        header.e_entry(LittleEndian)
    );
    let file = load.data(LittleEndian, linked).ok().context("the probe's PT_LOAD exceeds its file")?.to_vec();
    ensure!(file.len() > TABLE_PAGE && file.len().is_multiple_of(4096), "the probe's file part is no whole pages");
    Ok(Image { file, memory_size: load.p_memsz(LittleEndian) })
}
