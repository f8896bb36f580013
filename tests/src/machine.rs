//! The description of one virtual machine, whatever tier runs it.

use std::os::unix::fs::symlink;
use std::path::{self, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Input;

/// The I/O port of isa-debug-exit.
pub const DEBUG_EXIT_PORT: u16 = 0xf4;

/// QEMU's machine types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// i440FX, QEMU's default.
    Pc,
    /// Q35.
    Q35,
    /// microvm.
    Microvm,
}

impl Board {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Q35 => "q35",
            Self::Microvm => "microvm",
        }
    }

    /// The value of `-M`.
    ///
    /// microvm goes without its interrupt controllers (8259) and timer (8254) of old. Its firmware leaves them as reset does, so
    /// that the timer's first tick, 55 ms after the start, is interrupt vector 0. A Linux that is entered by PVH does not touch
    /// them, as this board's ACPI tables say that there are none; if the tick comes once the firmware is done, it takes it for a
    /// division error, and panics before it has a console. It does so without stage0 as well.
    fn value(self) -> &'static str {
        match self {
            Self::Pc | Self::Q35 => self.name(),
            Self::Microvm => "microvm,pic=off,pit=off",
        }
    }

    /// What a Linux must be told on this board when it is emulated in software. On a PC it takes timer interrupts that come late, as they
    /// do on a busy host, for a broken I/O APIC, and panics, unless it is told not to look (in the emulation of Xen as well). microvm has nothing by which Linux could measure
    /// the TSC, and without its rate Linux has no timer. TCG's TSC counts as the host's does, so a clock in the guest may run some
    /// times too fast; nothing depends on it.
    pub fn linux_words(self) -> &'static str {
        match self {
            Self::Pc | Self::Q35 => "no_timer_check",
            Self::Microvm => "tsc_early_khz=1000000",
        }
    }
}

/// A machine to run: what is loaded into it, how large it is, how long it may take.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) name: String,
    pub(crate) board: Board,
    pub(crate) cpu: Option<String>,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: Option<PathBuf>,
    pub(crate) modules: Vec<(PathBuf, String)>,
    pub(crate) append: String,
    pub(crate) debug_console: bool,
    pub(crate) xen_console: bool,
    pub(crate) extra: Vec<String>,
    pub(crate) limit: Duration,
    pub(crate) until: Option<String>,
    pub(crate) input: Option<Input>,
}

impl Machine {
    /// A pc with 256 MiB that starts `kernel` and may take a minute. `name` names its folder of logs.
    pub fn new(name: impl Into<String>, kernel: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            board: Board::Pc,
            cpu: None,
            memory_mib: 256,
            kernel: kernel.into(),
            initrd: None,
            modules: Vec::new(),
            append: String::new(),
            debug_console: false,
            xen_console: false,
            extra: Vec::new(),
            limit: Duration::from_secs(60),
            until: None,
            input: None,
        }
    }

    /// Another machine type.
    pub fn board(mut self, board: Board) -> Self {
        self.board = board;
        self
    }

    /// A CPU model other than the default, for example `max` or `EPYC,+svm,+npt`.
    pub fn cpu(mut self, model: impl Into<String>) -> Self {
        self.cpu = Some(model.into());
        self
    }

    /// Another memory size, in MiB.
    pub fn memory(mut self, mib: u64) -> Self {
        self.memory_mib = mib;
        self
    }

    /// A ramdisk, which PVH hands over as the first module.
    pub fn initrd(mut self, file: impl Into<PathBuf>) -> Self {
        self.initrd = Some(file.into());
        self
    }

    /// Modules of a Multiboot kernel, each with its words.
    pub fn modules(mut self, modules: &[(&Path, &str)]) -> Self {
        self.modules = modules.iter().map(|(file, words)| (file.to_path_buf(), (*words).to_owned())).collect();
        self
    }

    /// A command line.
    pub fn append(mut self, words: impl Into<String>) -> Self {
        self.append = words.into();
        self
    }

    /// Another time limit.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Ends the run as soon as this text is on the serial port; a domain's, on its console ring.
    pub fn until(mut self, text: impl Into<String>) -> Self {
        self.until = Some(text.into());
        self
    }

    /// What the guest's console reads.
    pub fn input(mut self, input: Input) -> Self {
        self.input = Some(input);
        self
    }

    /// Also records what is written to port 0xE9.
    pub fn debug_console(mut self) -> Self {
        self.debug_console = true;
        self
    }

    /// Adds the console that each Xen domain has, and records what is written to its ring; only where Xen is emulated.
    pub(crate) fn xen_console(mut self) -> Self {
        self.xen_console = true;
        self
    }

    /// Further arguments for QEMU.
    pub fn arguments<I: IntoIterator<Item: Into<String>>>(mut self, arguments: I) -> Self {
        self.extra.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// QEMU's arguments, but for its monitor. `accelerator` is the value of `-accel`.
    pub(crate) fn qemu_arguments(&self, accelerator: &str, files: &Files<'_>) -> Vec<String> {
        let mut list: Vec<String> =
            ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"].map(Into::into).into();
        let mut add = |words: &[&str]| list.extend(words.iter().map(ToString::to_string));
        add(&["-M", self.board.value(), "-accel", accelerator, "-m", &self.memory_mib.to_string()]);
        if let Some(cpu) = &self.cpu {
            add(&["-cpu", cpu]);
        }
        add(&["-device", &format!("isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=1")]);
        add(&["-chardev", &file("serial", files.serial, files.input), "-serial", "chardev:serial"]);
        let consoles = [
            (self.debug_console, DEBUG_CONSOLE, "isa-debugcon,iobase=0xe9"),
            (self.xen_console, XEN_CONSOLE, "xen-console"),
        ];
        for (_, name, device) in consoles.iter().filter(|(wanted, ..)| *wanted) {
            add(&["-chardev", &file(name, &files.logs.join(name), None)]);
            add(&["-device", &format!("{device},chardev={name}")]);
        }
        add(&["-kernel", &files.kernel.display().to_string()]);
        if let Some(initrd) = files.initrd {
            add(&["-initrd", &initrd.display().to_string()]);
        }
        if !self.modules.is_empty() {
            let modules = self.modules.iter().enumerate();
            let modules = modules.map(|(number, (_, words))| format!("{} {words}", linked(number)));
            let modules: Vec<String> = modules.map(|module| module.trim_end().replace(',', ",,")).collect();
            add(&["-initrd", &modules.join(",")]);
        }
        if !self.append.is_empty() {
            add(&["-append", &self.append]);
        }
        list.extend(self.extra.iter().cloned());
        list
    }

    /// Has QEMU find the modules by short names: in their list, a space ends a path, whatever it is written as.
    pub(crate) fn link_modules(&self, command: &mut Command, logs: &Path) -> Result<()> {
        for (number, (file, _)) in self.modules.iter().enumerate() {
            symlink(path::absolute(file)?, logs.join(linked(number))).context("cannot link a module")?;
            command.current_dir(logs);
        }
        Ok(())
    }
}

/// The value of `-chardev` for a file that is written to, and another that is read.
pub(crate) fn file(name: &str, output: &Path, input: Option<&Path>) -> String {
    let input = input.map_or(String::new(), |path| format!(",input-path={}", option(path)));
    format!("file,id={name},path={}{input}", option(output))
}

/// A path among the words of one of QEMU's options, which commas part.
pub(crate) fn option(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// What a module is called in the folder of logs.
fn linked(number: usize) -> String {
    format!("module-{number}")
}

/// The files of a run, by their paths as the QEMU that runs it sees them.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: Option<&'a Path>,
    /// What the serial port writes to.
    pub(crate) serial: &'a Path,
    /// What the serial port reads from.
    pub(crate) input: Option<&'a Path>,
    /// The folder for all else that is recorded.
    pub(crate) logs: &'a Path,
}

/// What is written to port 0xE9, in the folder of logs.
pub(crate) const DEBUG_CONSOLE: &str = "debugcon.log";
/// What is written to the Xen console ring, in the folder of logs.
pub(crate) const XEN_CONSOLE: &str = "xen-console.log";

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders as people have them.
    const FOLDERS: [&str; 10] =
        ["/plain", "/a b", "/a  b", "/\u{fc}", "/a,b", "/a,,b", "/,", "/a=b", "/tests/src", "/it's \"c\""];

    /// The parts of an option's value, as QEMU's `get_opt_value` parts them: a comma ends one, unless another follows.
    fn parts(value: &str) -> Vec<String> {
        let marked = value.replace(",,", "\0");
        marked.split(',').map(|part| part.replace('\0', ",")).collect()
    }

    #[test]
    fn whatever_a_folder_is_called_qemu_finds_what_is_in_it() {
        for folder in FOLDERS.map(Path::new) {
            let [first, second] = ["kernel", "module"].map(|name| folder.join(name));
            let machine = Machine::new("paths", "xen").modules(&[(&first, "a=b,c d"), (&second, "")]).debug_console();
            let (serial, input) = (folder.join("serial"), folder.join("input"));
            let files = Files { kernel: folder, initrd: None, serial: &serial, input: Some(&input), logs: folder };
            let words = machine.qemu_arguments("tcg", &files);
            let of = |option: &str| {
                let values = words.iter().zip(words.iter().skip(1)).filter(|(word, _)| *word == option);
                values.map(|(_, value)| parts(value)).collect::<Vec<_>>()
            };
            assert_eq!(of("-initrd"), [["module-0 a=b,c d", "module-1"]]);
            let path = |name: &str, file: PathBuf| format!("{name}={}", file.display());
            let serial = ["file".to_owned(), "id=serial".to_owned(), path("path", serial), path("input-path", input)];
            let debug = ["file".to_owned(), format!("id={DEBUG_CONSOLE}"), path("path", folder.join(DEBUG_CONSOLE))];
            assert_eq!(of("-chardev"), [&serial[..], &debug[..]]);
        }
    }
}
