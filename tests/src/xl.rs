//! Files for xl, read as xl reads them: by libxlutil of the toolstack that creates the domains of tier T4, behind the small
//! program `tests/oracle/xlcfg.c`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::trial::Trouble;
use crate::{Missing, oracle, xen};

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The library and the program.
#[derive(Debug, Clone)]
pub struct Reader {
    program: PathBuf,
    loader: PathBuf,
    libraries: PathBuf,
    library: PathBuf,
}

impl Reader {
    /// The library, fetched, and the program, built.
    ///
    /// # Errors
    /// The library or a C compiler cannot be had here.
    pub fn get() -> Result<Self, Missing> {
        let toolstack = xen::toolstack(xen::Release::Trixie)?;
        let tree = toolstack.tree();
        let library = tree.library(&format!("libxlutil.so.{}", toolstack.version()))?;
        let (loader, libraries) = (tree.loader()?, tree.file(LIBRARIES));
        Ok(Self { program: oracle::program("xlcfg")?, loader, libraries, library })
    }

    /// What the file at `path` has for each of `settings`; a list's items are separated by commas, which are in none of them
    /// if the caller wants to tell them apart.
    ///
    /// # Errors
    /// xl would not take the file.
    pub fn read(&self, path: &Path, settings: &[&str]) -> Result<Vec<Option<String>>, Trouble> {
        let mut command = Command::new(&self.loader);
        command
            .arg("--library-path")
            .arg(&self.libraries)
            .arg(&self.program)
            .arg(&self.library)
            .arg(path)
            .args(settings);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(Trouble::Failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.lines().zip(settings).map(|(line, setting)| value(line, setting)).collect()
    }
}

fn value(line: &str, setting: &str) -> Result<Option<String>, Trouble> {
    match (line, setting) {
        ("none", _) => Ok(None),
        (_, "memory" | "vcpus") => Ok(Some(line.to_owned())),
        _ => {
            let items: Option<Vec<String>> = line.split(',').map(text).collect();
            items.map(|items| Some(items.join(","))).ok_or_else(|| format!("{setting}: no text: {line}").into())
        }
    }
}

fn text(digits: &str) -> Option<String> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}
