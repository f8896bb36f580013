//! Kernels made of the probe (`tests/probe`), each with its own layout in memory, and modules that it can check.
//!
//! The probe is compiled and linked once, by a cargo of its own. A [`Layout`] says where its image is to lie and which
//! segments accompany it; [`build`] writes such a kernel to the target folder.

mod case;
pub mod differ;
pub mod direct;
mod elf;
mod image;
mod layout;
mod lines;
mod solaris;
mod symbols;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
pub use probe::{EXIT_NOT_OK, EXIT_OK};
use probe::{MODULE_MAGIC, ModuleHeader};
use zerocopy::IntoBytes;

use crate::cache;

pub use case::Case;
pub use image::alone;
pub use layout::{Class, Content, Extra, Layout, Pv, Relocation, for_pv};
pub use lines::{Difference, Lines};
pub use solaris::solaris_pv;

/// Writes the kernel that `layout` describes to the target folder, compiling the probe first if it has changed.
///
/// # Errors
/// Where the probe cannot be compiled, the layout makes no ELF, or the file cannot be written.
pub fn build(layout: &Layout) -> Result<PathBuf> {
    let kernel = elf::write(layout, &image::build(layout)?).with_context(|| format!("probe layout {}", layout.name))?;
    file(&format!("{}.elf", layout.name), &kernel)
}

/// Where [`file()`] writes a file of that name.
///
/// # Errors
/// The folder cannot be made.
pub fn file_path(name: &str) -> Result<PathBuf> {
    Ok(folder("probe")?.join(name))
}

/// Writes a file beside the kernels, for a machine to be given.
///
/// # Errors
/// Where it cannot be written.
pub fn file(name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = file_path(name)?;
    write_whole(&path, bytes)?;
    Ok(path)
}

/// A module of `size` bytes (at least a header's 24) that says itself what is in it, so that the probe can check it.
pub fn module(size: usize, content: Content) -> Vec<u8> {
    let rest = content.bytes(size.saturating_sub(size_of::<ModuleHeader>()));
    let whole = (size_of::<ModuleHeader>() + rest.len()) as u64;
    let header = ModuleHeader { magic: MODULE_MAGIC, size: whole, hash: probe::hash(&rest) };
    [header.as_bytes(), &rest].concat()
}

/// A folder of that name in the target folder, made if it is not there.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = cache::target().join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(folder)
}

/// Writes a file such that whoever reads it, in this process or another, sees the old one or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = || format!("cannot write {}", path.display());
    let file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    fs::write(file.path(), bytes).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}
