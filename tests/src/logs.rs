//! The files that a run leaves behind, and reading them while they grow.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache;
use crate::machine::{DEBUG_CONSOLE, XEN_CONSOLE};
use crate::outcome::{Exit, Outcome};

/// What came over the serial port.
pub(crate) const SERIAL: &str = "serial.log";
/// What QEMU's monitor said.
pub(crate) const QMP: &str = "qmp.log";
/// QEMU's standard error.
pub(crate) const STDERR: &str = "stderr.log";
/// What Xen's toolstack said.
pub(crate) const TOOLSTACK: &str = "toolstack.log";
/// All files that a run may leave.
pub(crate) const ALL: [&str; 6] = [SERIAL, QMP, STDERR, DEBUG_CONSOLE, XEN_CONSOLE, TOOLSTACK];

/// The folder of one run's logs.
#[derive(Debug)]
pub(crate) struct Logs {
    name: String,
    folder: PathBuf,
}

impl Logs {
    /// An empty one, under the name of a run.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let folder = cache::logs().join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { name: name.to_string(), folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn create(&self, name: &str) -> Result<File> {
        File::create(self.file(name)).with_context(|| self.file(name).display().to_string())
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        fs::write(self.file(name), content).with_context(|| self.file(name).display().to_string())
    }

    /// The text of a log; empty if nothing was written.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read(self.file(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The outcome that the logs of a run, with QEMU's exit status (None: killed), amount to.
    pub(crate) fn outcome(&self, status: Option<i32>, elapsed: Duration) -> Outcome {
        Outcome {
            name: self.name.clone(),
            serial: self.text(SERIAL),
            debug_console: self.text(DEBUG_CONSOLE),
            xen_console: self.text(XEN_CONSOLE),
            toolstack: self.text(TOOLSTACK),
            exit: Exit::of(status, &self.text(QMP), &self.text(STDERR)),
            elapsed,
            log: self.folder.clone(),
        }
    }
}

/// A growing file, read as it grows.
#[derive(Debug)]
pub(crate) struct Tail {
    file: PathBuf,
    position: u64,
    /// All that was read.
    pub(crate) seen: String,
}

impl Tail {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, position: 0, seen: String::new() }
    }

    /// Copies what is new. A file that is not there yet is empty.
    pub(crate) fn copy_new(&mut self, to: &mut dyn Write) -> Result<()> {
        let Ok(mut file) = File::open(&self.file) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.position))?;
        let mut new = Vec::new();
        self.position += file.read_to_end(&mut new)? as u64;
        if !new.is_empty() {
            self.seen.push_str(&String::from_utf8_lossy(&new));
            to.write_all(&new)?;
            to.flush()?;
        }
        Ok(())
    }
}
