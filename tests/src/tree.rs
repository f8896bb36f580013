//! Unpacked packages whose programs run by their own dynamic loader and libraries, and so owe nothing to this machine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Missing;

/// The library folders of a Debian tree.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
/// Where a Debian tree may have the dynamic loader.
const LOADERS: [&str; 3] =
    ["lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"];

/// A folder into which packages with all that they depend on were unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// A file of the tree, by its path without the leading slash.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// The dynamic loader.
    pub(crate) fn loader(&self) -> Result<PathBuf, Missing> {
        let found = LOADERS.iter().map(|name| self.file(name)).find(|path| path.exists());
        found.ok_or_else(|| Missing::new("a dynamic loader", format!("{} has none", self.0.display())))
    }

    /// The shared library of that name.
    pub(crate) fn library(&self, name: &str) -> Result<PathBuf, Missing> {
        let found = LIBRARIES.iter().map(|folder| self.file(folder).join(name)).find(|path| path.exists());
        found.ok_or_else(|| Missing::new(name, format!("{} has none", self.0.display())))
    }

    /// The arguments with which the loader starts `program`.
    pub(crate) fn arguments(&self, program: &str) -> Vec<OsString> {
        let mut folders = OsString::new();
        for folder in LIBRARIES {
            folders.push(self.file(folder));
            folders.push(":");
        }
        vec!["--library-path".into(), folders, self.file(program).into()]
    }

    /// A command that starts `program`.
    pub(crate) fn command(&self, program: &str) -> Result<Command, Missing> {
        let mut command = Command::new(self.loader()?);
        command.args(self.arguments(program));
        Ok(command)
    }

    /// The libraries that `program` is linked with, as the loader finds them.
    pub(crate) fn libraries(&self, program: &str) -> Result<Vec<PathBuf>, Missing> {
        let missing = |why: String| Missing::new(format!("the libraries of {program}"), why);
        let mut command = Command::new(self.loader()?);
        command.arg("--list").args(self.arguments(program)).stdin(Stdio::null());
        let output = command.output().map_err(|error| missing(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || text.contains("not found") {
            return Err(missing(format!("{text}{}", String::from_utf8_lossy(&output.stderr))));
        }
        // `libz.so.1 => /path/libz.so.1 (0x00007f...)`
        let paths = text.lines().filter_map(|line| line.split_once(" => ")?.1.split_once(" ("));
        let paths: Vec<PathBuf> = paths.map(|(path, _)| PathBuf::from(path)).collect();
        match paths.iter().find(|path| !path.starts_with(&self.0)) {
            Some(other) => Err(missing(format!("{} is this machine's own", other.display()))),
            None => Ok(paths),
        }
    }
}
