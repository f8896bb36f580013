//! Takes a pack apart.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::image::{Image, ImageCause};
use crate::output;

/// A file of a pack that has been taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Extracted {
    /// Its name in the folder.
    pub file: String,
    /// Its name in the pack.
    pub name: String,
    /// Bytes.
    pub len: u64,
}

/// Why nothing was extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The pack is not whole.
    #[error(transparent)]
    Pack(#[from] ImageCause),
    /// Something is there already.
    #[error("{}: exists: name a folder that does not", .0.display())]
    Exists(PathBuf),
    /// The system refuses.
    #[error("{}: cannot be written: {error}", path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Writes kernel, command line and modules to a new folder: `kernel.elf`, `cmdline`, `module-0`, `module-1` and so on, for the
/// names in a pack may be anything. Every hash is checked first; if anything fails, there is no folder.
pub fn extract(image: &Image<'_>, folder: &Path) -> Result<Vec<Extracted>, ExtractError> {
    let kernel = image.check()?;
    if fs::symlink_metadata(folder).is_ok() {
        return Err(ExtractError::Exists(folder.to_owned()));
    }
    let mut files = vec![("kernel.elf".to_owned(), image.manifest.kernel().name, kernel.as_slice())];
    if let Some(member) = image.manifest.cmdline() {
        files.push(("cmdline".to_owned(), member.name, image.content(&member)?));
    }
    for (number, member) in image.manifest.modules().enumerate() {
        files.push((format!("module-{number}"), member.name, image.content(&member)?));
    }
    write(folder, &files).map_err(|error| ExtractError::Unwritable { path: folder.to_owned(), error })?;
    let extracted = |(file, name, content): (String, &str, &[u8])| Extracted {
        file,
        name: name.to_owned(),
        len: content.len() as u64,
    };
    Ok(files.into_iter().map(extracted).collect())
}

/// Writes all files, down to the disk, then gives the folder its name.
fn write(folder: &Path, files: &[(String, &str, &[u8])]) -> io::Result<()> {
    let parent = output::folder(folder);
    // Only its owner may enter a temporary folder; one within it is as the umask says.
    let temporary = tempfile::Builder::new().prefix(".pack-").tempdir_in(parent)?;
    let whole = temporary.path().join("whole");
    fs::create_dir(&whole)?;
    for (file, _, content) in files {
        output::write_whole(&File::create_new(whole.join(file))?, content)?;
    }
    output::sync_folder(&whole);
    fs::rename(&whole, folder)?;
    output::sync_folder(parent);
    Ok(())
}
