//! Reads the files that a person names.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

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
    /// Somebody wrote to it meanwhile.
    #[error("has changed while it was read: wait until it is written, or name a copy")]
    Changed,
    /// More than is taken.
    #[error("holds more than {} KiB, which is the most that is taken", limit >> 10)]
    TooLarge {
        /// Most bytes taken.
        limit: u64,
    },
    /// The system gives no memory for it.
    #[error("holds {} KiB, for which there is no memory: do this where there is more", len >> 10)]
    NoMemory {
        /// Bytes that would have to be kept.
        len: u64,
    },
}

/// Reads the regular file at `path`, of 1 to `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, InputCause> {
    let input = Input::open(path)?;
    if input.len() > limit {
        return Err(InputCause::TooLarge { limit });
    }
    input.start(limit)
}

/// Room for `len` bytes.
pub(crate) fn room(len: u64) -> Result<Vec<u8>, InputCause> {
    let mut room = Vec::new();
    let reserved = usize::try_from(len).ok().and_then(|len| room.try_reserve_exact(len).ok());
    reserved.map(|()| room).ok_or(InputCause::NoMemory { len })
}

/// A regular file that is to be read.
pub(crate) struct Input {
    file: File,
    before: Metadata,
}

impl Input {
    /// Opens the file at `path`. Symbolic links are followed. A pipe or a device is refused: it has no length that could be
    /// bounded before it is read, and to open one may wait for ever.
    pub(crate) fn open(path: &Path) -> Result<Self, InputCause> {
        check_kind(fs::metadata(path).map_err(InputCause::Unreadable)?.file_type())?;
        // What is there now may be another thing: a pipe opened so waits for nobody.
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(InputCause::Unreadable)?;
        let before = file.metadata().map_err(InputCause::Unreadable)?;
        check_kind(before.file_type())?;
        Ok(Self { file, before })
    }

    /// Bytes in it.
    pub(crate) fn len(&self) -> u64 {
        self.before.len()
    }

    /// What it begins with: `len` bytes, or all if there are fewer. An empty file is refused.
    pub(crate) fn start(&self, len: u64) -> Result<Vec<u8>, InputCause> {
        let expected = self.len().min(len);
        let mut bytes = room(expected)?;
        let mut file = &self.file;
        file.rewind().map_err(InputCause::Unreadable)?;
        file.take(len).read_to_end(&mut bytes).map_err(InputCause::Unreadable)?;
        let after = file.metadata().map_err(InputCause::Unreadable)?;
        if state(&self.before) != state(&after) || bytes.len() as u64 != expected {
            return Err(InputCause::Changed);
        }
        if bytes.is_empty() { Err(InputCause::Empty) } else { Ok(bytes) }
    }
}

/// What is not the same after somebody has written to a file.
fn state(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// Refuses what is no regular file.
fn check_kind(kind: FileType) -> Result<(), InputCause> {
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(InputCause::Directory);
    }
    let what = if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(InputCause::NotRegular { what })
}
