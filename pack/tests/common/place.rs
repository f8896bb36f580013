//! The program as a person runs it, in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::Kernel;

/// A folder, and the program run in it.
pub(crate) struct Place(TempDir);

impl Place {
    /// A folder with a kernel for PVH in it, `kernel`.
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.file("kernel", &Kernel::pvh().elf());
        place
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn pack(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pack"))
            .current_dir(self.0.path())
            .env_remove("PACK_STAGE0")
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What it prints where it succeeds.
    pub(crate) fn succeeds(&self, words: &[&str]) -> String {
        let output = self.pack(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one line that it refuses with; nothing may be left behind.
    pub(crate) fn refuses(&self, words: &[&str]) -> String {
        let before = self.names();
        let output = self.pack(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert_eq!(self.names(), before, "{words:?}: files");
        assert!(output.stdout.is_empty(), "{words:?}: standard output");
        let text = String::from_utf8(output.stderr).unwrap();
        let line = text.strip_prefix("pack: error: ").unwrap_or_else(|| panic!("{text}"));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        line.trim_end().to_owned()
    }
}
