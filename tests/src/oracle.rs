//! Xen's own libelf, asked how it reads kernels: the library libxenguest, unpacked beside everything else, behind the small
//! program `tests/oracle/libelf.c`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use crate::apt::{Apt, Request};
use crate::trial::Trouble;
use crate::{Missing, cache};

/// The release whose Xen the program knows the structures of, and the package and library there.
const RELEASE: &str = "bookworm";
const PACKAGE: &str = "libxenmisc4.17";
const LIBRARY: &str = "usr/lib/x86_64-linux-gnu/libxenguest.so.4.17";
const FOLDERS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// A kernel to ask about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The file.
    pub elf: &'a [u8],
    /// Whether for a PVH domain; else for a PV one.
    pub pvh: bool,
    /// Whether to load it, too.
    pub load: bool,
}

/// What libelf says.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    values: HashMap<String, String>,
    /// The memory that it loads to, from its lowest byte on, in whole pages; empty if that was not asked for, or more than
    /// 96 MiB.
    pub memory: Vec<u8>,
}

impl Answer {
    /// Whether it takes the file, for the kind of domain asked about. A PVH domain needs PHYS32_ENTRY on top of what
    /// libelf itself checks (libxenguest's `xc_dom_guest_type`).
    pub fn accepted(&self, pvh: bool) -> bool {
        self.is("init", "0") && self.is("parse", "0") && !(pvh && self.number("phys_entry") == u64::from(u32::MAX))
    }

    /// Whether it loads the file. What it complained of when it read the file (a text that ends behind the file, symbols
    /// that are wanted and not there) is no obstacle.
    pub fn loaded(&self) -> bool {
        self.is("load", "0") && self.values.get("load_broken") == self.values.get("broken")
    }

    /// A number; 0 if it says none.
    pub fn number(&self, name: &str) -> u64 {
        self.values.get(name).and_then(|value| u64::from_str_radix(value, 16).ok()).unwrap_or(0)
    }

    /// An address; all ones is its mark for none.
    pub fn address(&self, name: &str) -> Option<u64> {
        Some(self.number(name)).filter(|value| *value != u64::MAX)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Vec<u8> {
        let digits = self.values.get(name).map_or(&[][..], |value| value.as_bytes());
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        digits.chunks(2).filter_map(byte).collect()
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.values.get(name).is_some_and(|found| found == value)
    }
}

/// The library and the program.
#[derive(Debug, Clone)]
pub struct Oracle {
    program: PathBuf,
    tree: PathBuf,
}

impl Oracle {
    /// The library, fetched, and the program, built, once for all tests of a process.
    ///
    /// # Errors
    /// The library or a C compiler cannot be had here.
    pub fn get() -> Result<&'static Self, Missing> {
        static FOUND: OnceLock<Result<Oracle, Missing>> = OnceLock::new();
        FOUND.get_or_init(Self::new).as_ref().map_err(Clone::clone)
    }

    fn new() -> Result<Self, Missing> {
        let tree = cache::entry("libxenguest", |folder| {
            let request = Request { package: PACKAGE, backports: false, choose: |name| name != "libc6", files: &[] };
            Apt::other(RELEASE)?.unpack(request, folder).map(drop)
        })?;
        Ok(Self { program: program("libelf")?, tree })
    }

    /// Asks about `questions`, all in one run of the program.
    ///
    /// # Errors
    /// The program ends before its last answer.
    pub fn ask(&self, questions: &[Question<'_>]) -> Result<Vec<Answer>, Trouble> {
        let folders: Vec<String> = FOLDERS.iter().map(|name| self.tree.join(name).display().to_string()).collect();
        let mut child = Command::new(&self.program)
            .arg(self.tree.join(LIBRARY))
            .env("LD_LIBRARY_PATH", folders.join(":"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the oracle has no standard input or output".into());
        };
        let answers = thread::scope(|scope| {
            scope.spawn(move || {
                // That the program went away shows in its missing answers.
                let _ = questions.iter().try_for_each(|question| write_question(&mut stdin, question));
            });
            let mut out = BufReader::new(stdout);
            questions.iter().map(|_| read_answer(&mut out)).collect::<Result<Vec<_>, _>>()
        });
        let status = child.wait()?;
        match answers {
            Ok(answers) if status.success() => Ok(answers),
            Ok(_) => Err(Trouble::Failed(format!("the oracle ended with {status}"))),
            Err(trouble) => Err(Trouble::Failed(format!("the oracle ended with {status}: {trouble:?}"))),
        }
    }
}

/// Builds the program of `tests/oracle` that has this name.
pub(crate) fn program(name: &str) -> Result<PathBuf, Missing> {
    let source = cache::workspace().join("tests/oracle").join(format!("{name}.c"));
    let folder = cache::target().join("oracle");
    let failed = |why: String| Missing::new("a C compiler", why).remedy("apt-get install gcc libc6-dev");
    std::fs::create_dir_all(&folder).map_err(|error| failed(error.to_string()))?;
    // Renamed when it is whole: another process may be at the same.
    let (partial, program) = (folder.join(format!("{name}-{}", std::process::id())), folder.join(name));
    compile(&source, &partial).map_err(failed)?;
    std::fs::rename(&partial, &program).map_err(|error| failed(error.to_string()))?;
    Ok(program)
}

fn compile(source: &Path, program: &Path) -> Result<(), String> {
    let mut command = Command::new("cc");
    command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"]).args([program, source]).arg("-ldl");
    let output = command.output().map_err(|error| format!("cc: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn write_question(stdin: &mut impl Write, question: &Question<'_>) -> std::io::Result<()> {
    stdin.write_all(&[u8::from(question.pvh) | u8::from(question.load) << 1])?;
    stdin.write_all(&(question.elf.len() as u64).to_le_bytes())?;
    stdin.write_all(question.elf)
}

fn read_answer(out: &mut impl BufRead) -> Result<Answer, Trouble> {
    let mut line = String::new();
    if out.read_line(&mut line)? == 0 {
        return Err("no answer".into());
    }
    let pairs = line.split_whitespace().filter_map(|pair| pair.split_once('='));
    let values: HashMap<String, String> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if values.contains_key("layout") {
        let why = "its structures are not those of Xen 4.17";
        return Err(Trouble::Missing(Missing::new("a libxenguest whose structures are known", why)));
    }
    let len = values.get("loaded").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut memory = vec![0; len];
    out.read_exact(&mut memory)?;
    Ok(Answer { values, memory })
}
