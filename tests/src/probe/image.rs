//! The probe as it is compiled and linked: one image, that any place can be chosen for.

use std::process::Command;
use std::sync::Mutex;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD, R_X86_64_RELATIVE, Rela64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use probe::{IMAGE_VIRT, TABLE_PAGE};

use super::layout::Layout;

/// The image.
#[derive(Clone)]
pub(super) struct Image {
    /// The bytes that come from the file. Its first is the entry, its last page the table.
    pub(super) file: Vec<u8>,
    /// Bytes in memory, .bss included.
    pub(super) memory_size: u64,
}

/// The direct protocol's probe: text, constants, data.
#[derive(Clone)]
pub(super) struct DirectImage {
    pub(super) parts: Vec<Part>,
}

/// A segment of it.
#[derive(Clone)]
pub(super) struct Part {
    /// Bytes from where the image is linked.
    pub(super) offset: u64,
    pub(super) file: Vec<u8>,
    pub(super) memory_size: u64,
    pub(super) flags: u32,
}

/// The programs of the package `probe`.
struct Programs {
    direct: DirectImage,
    /// Of that, as below: where, and which.
    direct_relocations: Vec<(u64, u64)>,
    pvh: Image,
    pv: Image,
    /// Of the latter, where in it the addresses are that depend on where it runs: each has the address for a start at 0.
    relocations: Vec<u64>,
}

/// The image for a layout.
pub(super) fn build(layout: &Layout) -> Result<Image> {
    with_programs(|programs| match &layout.pv {
        None => Ok(programs.pvh.clone()),
        Some(pv) => relocate(programs, pv.virt(layout.base)),
    })
}

/// The image for the direct protocol, linked at `virt`.
pub(super) fn direct(virt: u64) -> Result<DirectImage> {
    with_programs(|programs| {
        let mut image = programs.direct.clone();
        for (place, addend) in &programs.direct_relocations {
            let part = image.parts.iter_mut().rfind(|part| part.offset <= *place);
            let part = part.context("a relocation of the probe lies before it")?;
            let rest = part.file.get_mut(usize::try_from(place - part.offset)?..);
            let word = rest.and_then(|rest| rest.first_chunk_mut());
            *word.context("a relocation of the probe lies outside its file")? = addend.wrapping_add(virt).to_le_bytes();
        }
        Ok(image)
    })
}

/// Lends the programs, which are compiled once in a process.
fn with_programs<T>(work: impl FnOnce(&Programs) -> Result<T>) -> Result<T> {
    static BUILT: Mutex<Option<Programs>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if built.is_none() {
        compile()?;
        *built = Some(read_all()?);
    }
    work(built.as_ref().context("the probe's images are there")?)
}

/// The image for PV, to run at `virt`.
fn relocate(programs: &Programs, virt: u64) -> Result<Image> {
    let mut image = programs.pv.clone();
    for place in &programs.relocations {
        let place = usize::try_from(*place)?;
        let word = image.file.get_mut(place..).and_then(|rest| rest.first_chunk_mut::<8>());
        let word = word.context("a relocation of the probe lies outside its file")?;
        *word = u64::from_le_bytes(*word).wrapping_add(virt).to_le_bytes();
    }
    Ok(image)
}

/// What the cargo that runs the tests was told is not meant for one that `command` runs.
pub fn alone(command: &mut Command) {
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
}

/// Runs cargo for the probe.
fn compile() -> Result<()> {
    let target = super::folder("probe-build")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--locked", "--package=probe", "--bins", "--profile=probe"])
        .arg("--target=x86_64-unknown-none")
        .arg("--target-dir")
        .arg(&target)
        .current_dir(crate::cache::workspace());
    alone(&mut command);
    let output = command.output().context("cargo cannot be run for the probe")?;
    ensure!(
        output.status.success(),
        "the probe was not compiled (is its target there? rustup target add x86_64-unknown-none):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn read_all() -> Result<Programs> {
    let folder = super::folder("probe-build")?.join("x86_64-unknown-none/probe");
    let open = |name: &str| fs::read(folder.join(name)).with_context(|| format!("cannot read the program {name}"));
    let linked = open("probe-pv")?;
    let relocations = relocations(&linked)?;
    let mut pv = read(&linked, 0)?;
    for (place, addend) in &relocations {
        // What is there until then is of no meaning.
        let word = pv.file.get_mut(usize::try_from(*place)?..).and_then(|rest| rest.first_chunk_mut::<8>());
        *word.context("a relocation of the probe lies outside its file")? = addend.to_le_bytes();
    }
    let relocations = relocations.into_iter().map(|(place, _)| place).collect();
    let linked = open("probe-direct")?;
    let (direct, direct_relocations) = (read_parts(&linked)?, self::relocations(&linked)?);
    Ok(Programs { direct, direct_relocations, pvh: read(&open("probe")?, IMAGE_VIRT)?, pv, relocations })
}

/// Where a program linked at 0 has addresses, and which.
fn relocations(linked: &[u8]) -> Result<Vec<(u64, u64)>> {
    let header = FileHeader64::<LittleEndian>::parse(linked)?;
    let sections = header.sections(LittleEndian, linked)?;
    let Some((_, section)) = sections.section_by_name(LittleEndian, b".rela.dyn") else { return Ok(Vec::new()) };
    let (entries, _) = section.rela(LittleEndian, linked)?.context(".rela.dyn has no relocations")?;
    let relative = |entry: &Rela64<LittleEndian>| {
        let kind = entry.r_type(LittleEndian, false);
        ensure!(kind == R_X86_64_RELATIVE, "a relocation of type {kind} in the probe");
        Ok((entry.r_offset.get(LittleEndian), entry.r_addend.get(LittleEndian) as u64))
    };
    entries.iter().map(relative).collect()
}

/// Takes the three PT_LOADs of the direct protocol's probe out of the linked file, each with all of its pages.
fn read_parts(linked: &[u8]) -> Result<DirectImage> {
    let header = FileHeader64::<LittleEndian>::parse(linked)?;
    let headers = header.program_headers(LittleEndian, linked)?;
    let parts = headers.iter().filter(|load| load.p_type(LittleEndian) == PT_LOAD).map(|load| {
        let file = load.data(LittleEndian, linked).ok().context("the probe's PT_LOAD exceeds its file")?.to_vec();
        let (offset, memory_size) = (load.p_vaddr(LittleEndian), load.p_memsz(LittleEndian));
        Ok(Part { offset, file, memory_size, flags: load.p_flags(LittleEndian).0 })
    });
    let parts: Vec<Part> = parts.collect::<Result<_>>()?;
    ensure!(parts.len() == 3, "the direct protocol's probe links to {} PT_LOADs, not to three", parts.len());
    Ok(DirectImage { parts })
}

/// Takes the one PT_LOAD, which is linked at `virt`, out of the linked file.
fn read(linked: &[u8], virt: u64) -> Result<Image> {
    let header = FileHeader64::<LittleEndian>::parse(linked)?;
    let loads: Vec<_> = header
        .program_headers(LittleEndian, linked)?
        .iter()
        .filter(|load| load.p_type(LittleEndian) == PT_LOAD)
        .collect();
    ensure!(loads.len() == 1, "the probe links to {} PT_LOADs, not to one", loads.len());
    let load = loads[0];
    ensure!(
        load.p_vaddr(LittleEndian) == virt && header.e_entry(LittleEndian) == virt,
        "the probe is linked at {:#x} and entered at {:#x}, but should be both at {virt:#x}",
        load.p_vaddr(LittleEndian),
        header.e_entry(LittleEndian)
    );
    let file = load.data(LittleEndian, linked).ok().context("the probe's PT_LOAD exceeds its file")?.to_vec();
    ensure!(file.len() > TABLE_PAGE && file.len().is_multiple_of(4096), "the probe's file part is no whole pages");
    Ok(Image { file, memory_size: load.p_memsz(LittleEndian) })
}
