//! Reads the files that a person names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// A file that could not be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct InputError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub cause: InputCause,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum InputCause {
    /// The system refuses to read it.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// A directory.
    #[error("is a directory: name a file in it")]
    Directory,
    /// A pipe, a socket, a device.
    #[error("is {what}, not a regular file: save its content to a file and name that")]
    NotRegular {
        /// What it is, with its article.
        what: &'static str,
    },
    /// Nothing in it.
    #[error("is empty: name a file that is not")]
    Empty,
    /// More than is taken.
    #[error("holds more than {} KiB, which is the most that is taken", limit >> 10)]
    TooLarge {
        /// Most bytes taken.
        limit: u64,
    },
}

/// Reads the regular file at `path`, of 1 to `limit` bytes. Symbolic links are followed. A pipe or a device is refused: it
/// has no length that could be bounded before it is read, and to open one may wait for ever.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, InputCause> {
    let metadata = fs::metadata(path).map_err(InputCause::Unreadable)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(InputCause::Directory);
    }
    if !kind.is_file() {
        let what = if kind.is_fifo() {
            "a pipe"
        } else if kind.is_socket() {
            "a socket"
        } else {
            "a device"
        };
        return Err(InputCause::NotRegular { what });
    }
    if metadata.len() > limit {
        return Err(InputCause::TooLarge { limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    let file = File::open(path).map_err(InputCause::Unreadable)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(InputCause::Unreadable)?;
    match bytes.len() as u64 {
        0 => Err(InputCause::Empty),
        len if len > limit => Err(InputCause::TooLarge { limit }),
        _ => Ok(bytes),
    }
}
