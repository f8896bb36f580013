//! Writes a file whole or not at all, and never over what it was made from.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use tempfile::{NamedTempFile, TempPath};

/// A place that a file may be written to.
#[derive(Debug)]
pub struct Output {
    /// What the person named.
    named: PathBuf,
    /// Where the file goes: behind symbolic links.
    path: PathBuf,
    /// Those of the file that it replaces.
    permissions: Option<Permissions>,
}

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The place is that of an input.
    #[error("{}: is the same file as the input {}: name another output", path.display(), input.display())]
    IsInput {
        /// The output.
        path: PathBuf,
        /// The input that it would replace.
        input: PathBuf,
    },
    /// A directory is there.
    #[error("{}: is a directory: name a file in it", path.display())]
    Directory {
        /// The output.
        path: PathBuf,
    },
    /// A pipe, a socket, a device is there.
    #[error("{}: is not a regular file, so it could not be written whole or not at all: name a file", path.display())]
    NotRegular {
        /// The output.
        path: PathBuf,
    },
    /// A write-protected file is there.
    #[error("{}: is write-protected: remove it or name another file", path.display())]
    Protected {
        /// The output.
        path: PathBuf,
    },
    /// There is no room for it.
    #[error(
        "{}: cannot be written: {error}: make room on its file system, or name an output on another",
        path.display()
    )]
    NoRoom {
        /// The output.
        path: PathBuf,
        /// Of what there is none.
        error: io::Error,
    },
    /// The system refuses.
    #[error("{}: cannot be written: {error}", path.display())]
    Unwritable {
        /// The output.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Output {
    /// Checks that a file can be written at `path` and that it would replace none of `inputs`. Nothing is left there.
    pub fn new(path: &Path, inputs: &[&Path]) -> Result<Self, OutputError> {
        let named = path.to_owned();
        let unwritable = |error| unwritable(path, error);
        let (path, permissions) = match fs::metadata(path) {
            Ok(there) => {
                check_replaceable(path, &there, inputs)?;
                (fs::canonicalize(path).map_err(unwritable)?, Some(there.permissions()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (behind_links(path), None),
            Err(error) => return Err(unwritable(error)),
        };
        let output = Self { named, path, permissions };
        // A file with a name would be left there if this program ended now.
        if output.nameless().is_none() {
            output.temporary().map_err(unwritable)?;
        }
        Ok(output)
    }

    /// Writes `bytes`. Until they are all on disk, what was there before stays.
    pub fn write(&self, bytes: &[u8]) -> Result<(), OutputError> {
        self.try_write(bytes).map_err(|error| unwritable(&self.named, error))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<()> {
        let path = match self.nameless() {
            Some(file) => {
                self.fill(&file, bytes)?;
                self.name(&file)?
            }
            None => {
                let file = self.temporary()?;
                self.fill(file.as_file(), bytes)?;
                file.into_temp_path()
            }
        };
        path.persist(&self.path)?;
        sync_folder(folder(&self.path));
        Ok(())
    }

    /// A new file without a name in the output's folder, where the file system has such, and /proc is there to name it by: whatever
    /// ends this program, nothing is left of it.
    fn nameless(&self) -> Option<File> {
        let flags = OFlags::TMPFILE.bits() as i32;
        let file = OpenOptions::new().write(true).custom_flags(flags).mode(self.mode()).open(folder(&self.path));
        file.ok().filter(|file| open_file(file).exists())
    }

    /// Gives a nameless file a name beside the output, gone when dropped.
    fn name(&self, file: &File) -> io::Result<TempPath> {
        let open = open_file(file);
        let link = |path: &Path| Ok(linkat(CWD, &open, CWD, path, AtFlags::SYMLINK_FOLLOW)?);
        Ok(tempfile::Builder::new().prefix(".pack-").make_in(folder(&self.path), link)?.into_temp_path())
    }

    /// Writes `bytes` to a new file, which may then be used as the one that it replaces might be: the umask has no say in that.
    fn fill(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        if self.permissions.is_some() {
            // Some file systems have no such modes.
            let _ = file.set_permissions(Permissions::from_mode(self.mode()));
        }
        write_whole(file, bytes)
    }

    /// The mode of the file: that of the one that it replaces, or else that of which the umask takes its part.
    fn mode(&self) -> u32 {
        self.permissions.as_ref().map_or(0o666, |permissions| permissions.mode() & 0o777)
    }

    /// A new file beside the output, gone when dropped.
    fn temporary(&self) -> io::Result<NamedTempFile<File>> {
        beside(&self.path, self.mode())
    }
}

/// Where a file goes that is named `path`, where none is: symbolic links may lead there that lead to nothing yet.
fn behind_links(path: &Path) -> PathBuf {
    /// As many as Linux follows (path_resolution(7)).
    const MAX_LINKS: usize = 40;

    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = folder(&path).join(target);
    }
    path
}

/// The path of an open file, whatever its name.
fn open_file(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// A new file beside what is to be at `path`, gone when dropped.
pub(crate) fn beside(path: &Path, mode: u32) -> io::Result<NamedTempFile<File>> {
    let create = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    tempfile::Builder::new().prefix(".pack-").make_in(folder(path), create)
}

/// The folder that what is at `path` is in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Has the names in `folder` survive a loss of power too, where the file system can promise that.
pub(crate) fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Why there can be no file at `path`.
fn unwritable(path: &Path, error: io::Error) -> OutputError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OutputError::NoRoom { path, error },
        _ => OutputError::Unwritable { path, error },
    }
}

/// Writes `bytes`, down to the disk.
pub(crate) fn write_whole(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// Refuses to replace what is at `path`, if it is none of our business.
fn check_replaceable(path: &Path, there: &Metadata, inputs: &[&Path]) -> Result<(), OutputError> {
    let path = path.to_owned();
    if there.is_dir() {
        return Err(OutputError::Directory { path });
    }
    if !there.is_file() {
        return Err(OutputError::NotRegular { path });
    }
    let same = |input: &&&Path| {
        fs::metadata(input).is_ok_and(|input| (input.dev(), input.ino()) == (there.dev(), there.ino()))
    };
    if let Some(input) = inputs.iter().find(same) {
        return Err(OutputError::IsInput { path, input: input.to_path_buf() });
    }
    if there.permissions().readonly() {
        return Err(OutputError::Protected { path });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_there_before_all_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let output = Output::new(&path, &[]).unwrap();
        assert!(names(dir.path()).is_empty());
        output.write(b"all").unwrap();
        assert_eq!(names(dir.path()), ["out"]);
        assert_eq!(fs::read(&path).unwrap(), b"all");
        // Like any file that a program makes: readable as the umask says, not the temporary file's own way.
        assert_ne!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_is_replaced_and_not_written_into() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, b"old").unwrap();
        let old = File::open(&path).unwrap();
        for mode in [0o640, 0o600, 0o664, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Output::new(&path, &[]).unwrap().write(b"new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(io::read_to_string(old).unwrap(), "old");
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn an_input_is_never_replaced_by_any_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("input");
        fs::write(&input, b"input").unwrap();
        let hard = dir.path().join("hard");
        fs::hard_link(&input, &hard).unwrap();
        let soft = dir.path().join("soft");
        symlink(&input, &soft).unwrap();
        let roundabout = dir.path().join(".").join("input");
        for path in [&input, &hard, &soft, &roundabout] {
            let refused = Output::new(path, &[Path::new("/nonexistent"), &input]);
            assert!(matches!(refused, Err(OutputError::IsInput { .. })), "{}", path.display());
        }
    }

    #[test]
    fn a_link_elsewhere_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("images")).unwrap();
        let target = dir.path().join("images").join("out");
        fs::write(&target, b"old").unwrap();
        let link = dir.path().join("link");
        symlink(&target, &link).unwrap();
        Output::new(&link, &[]).unwrap().write(b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn a_link_to_nothing_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("images").join("second"));
        fs::create_dir(dir.path().join("images")).unwrap();
        symlink("images/second", &first).unwrap();
        symlink("out", &second).unwrap();
        Output::new(&first, &[]).unwrap().write(b"new").unwrap();
        assert_eq!(names(dir.path()), ["first", "images"]);
        assert_eq!(names(&dir.path().join("images")), ["out", "second"]);
        assert!([first, second].iter().all(|link| fs::symlink_metadata(link).unwrap().is_symlink()));
        assert_eq!(fs::read(dir.path().join("images").join("out")).unwrap(), b"new");
    }

    #[test]
    fn what_cannot_be_written_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| Output::new(path, &[]).unwrap_err();
        assert!(matches!(refused(dir.path()), OutputError::Directory { .. }));
        assert!(matches!(refused(Path::new("/dev/null")), OutputError::NotRegular { .. }));
        assert!(matches!(refused(&dir.path().join("absent").join("out")), OutputError::Unwritable { .. }));
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(matches!(refused(&file.join("out")), OutputError::Unwritable { .. }));
        fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
        assert!(matches!(refused(&file), OutputError::Protected { .. }));
        assert_eq!(names(dir.path()), ["file"]);
    }
}
