//! The programs that runs need: QEMU and a static busybox.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, fmt};

use crate::apt::{Apt, Architecture, Request};
use crate::tree::Tree;
use crate::{Missing, cache};

/// The oldest QEMU that plain runs accept: the one of Debian 12.
const PLAIN: Version = Version(7, 2);
/// The oldest QEMU whose Xen emulation is whole enough: the first with xen-console.
const XEN_EMULATION: Version = Version(8, 2);
/// The oldest QEMU known to run a current Xen with a Linux as dom0 and PVH domains. In 7.2 that dom0 crashes at its start.
const REAL_XEN: Version = Version(10, 0);

/// QEMU in an unpacked Debian tree.
pub(crate) const QEMU_PROGRAM: &str = "usr/bin/qemu-system-x86_64";
/// QEMU's loadable modules in an unpacked Debian tree.
const QEMU_MODULES: &str = "usr/lib/x86_64-linux-gnu/qemu";
/// The folders of an unpacked Debian tree in which QEMU's firmware lies.
pub(crate) const FIRMWARE_FOLDERS: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// Major and minor version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A qemu-system-x86_64 and how to start it.
#[derive(Debug, Clone)]
pub struct Qemu {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// The folder of its loadable modules, where it cannot find it by itself.
    modules: Option<PathBuf>,
    version: Version,
}

impl Qemu {
    /// For plain runs: the machine's own if it is at least 7.2, else a fetched one.
    ///
    /// # Errors
    /// Neither is to be had.
    pub fn plain() -> Result<&'static Self, Missing> {
        static FOUND: OnceLock<Result<Qemu, Missing>> = OnceLock::new();
        FOUND.get_or_init(|| Self::at_least(PLAIN)).as_ref().map_err(Clone::clone)
    }

    /// One that can emulate Xen where KVM can: the machine's own if it is at least 8.2, else a fetched one.
    ///
    /// # Errors
    /// Neither is to be had.
    pub fn with_xen() -> Result<&'static Self, Missing> {
        static FOUND: OnceLock<Result<Qemu, Missing>> = OnceLock::new();
        FOUND.get_or_init(|| Self::at_least(XEN_EMULATION)).as_ref().map_err(Clone::clone)
    }

    /// One that can run a real Xen with domains: the machine's own if it is at least 10.0, else a fetched one.
    ///
    /// # Errors
    /// Neither is to be had.
    pub fn for_real_xen() -> Result<&'static Self, Missing> {
        static FOUND: OnceLock<Result<Qemu, Missing>> = OnceLock::new();
        FOUND.get_or_init(|| Self::at_least(REAL_XEN)).as_ref().map_err(Clone::clone)
    }

    fn at_least(wanted: Version) -> Result<Self, Missing> {
        let reason = match Self::installed(wanted) {
            Ok(qemu) => return Ok(qemu),
            Err(reason) => reason,
        };
        let fetched = qemu_tree().map_err(|missing| missing.to_string()).and_then(|tree| Self::fetched(&tree, wanted));
        fetched.map_err(|why| {
            Missing::new(format!("QEMU {wanted} or newer"), format!("{reason}; {why}"))
                .remedy("apt-get install qemu-system-x86")
        })
    }

    fn installed(wanted: Version) -> Result<Self, String> {
        let program = env::var_os("MSTRAP_QEMU").unwrap_or_else(|| "qemu-system-x86_64".into());
        Self { program: program.into(), arguments: Vec::new(), modules: None, version: wanted }.checked()
    }

    /// QEMU out of an unpacked tree, by that tree's own loader and libraries: it owes nothing to this machine.
    fn fetched(tree: &Tree, wanted: Version) -> Result<Self, String> {
        let program = tree.loader().map_err(|error| error.to_string())?;
        let mut arguments = tree.arguments(QEMU_PROGRAM);
        for folder in FIRMWARE_FOLDERS {
            arguments.extend([OsString::from("-L"), tree.file(folder).into()]);
        }
        Self { program, arguments, modules: Some(tree.file(QEMU_MODULES)), version: wanted }.checked()
    }

    /// Itself with its true version, if that is not below the one wanted.
    fn checked(self) -> Result<Self, String> {
        let program = self.program.display();
        let output = Command::new(&self.program).args(&self.arguments).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let version = version(&text).ok_or_else(|| format!("{program} does not tell its version: {errors}"))?;
        if version < self.version {
            return Err(format!("{program} is version {version}"));
        }
        Ok(Self { version, ..self })
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// A command that starts it, to which the machine's arguments are to be added; it is killed after `seconds`, even if
    /// whoever started it is gone by then.
    pub fn command(&self, seconds: u64) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--signal=KILL", &seconds.to_string()]);
        command.arg(&self.program).args(&self.arguments);
        if let Some(folder) = &self.modules {
            command.env("QEMU_MODULE_DIR", folder);
        }
        command
    }
}

/// Reads `QEMU emulator version 10.0.2 (...)`.
fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split_once("version ")?.1.split(|c: char| !c.is_ascii_digit());
    Some(Version(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// QEMU with all that it depends on, the C library included, unpacked from packages.
///
/// # Errors
/// The packages cannot be had.
pub(crate) fn qemu_tree() -> Result<Tree, Missing> {
    let request = Request { package: "qemu-system-x86", backports: true, choose: |_| true, files: &[] };
    cache::entry("qemu", |folder| Apt::native()?.unpack(request, folder).map(drop)).map(Tree::new)
}

/// A command that starts the zstd of Zstandard's authors: the machine's own, else a fetched one.
///
/// # Errors
/// Neither is to be had.
pub fn zstd() -> Result<Command, Missing> {
    program("zstd", "zstd")
}

/// A command that starts a program of the Debian package named: the machine's own, else a fetched one.
///
/// # Errors
/// Neither is to be had.
pub fn program(name: &str, package: &str) -> Result<Command, Missing> {
    let mut own = Command::new(name);
    own.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if own.status().is_ok_and(|status| status.success()) {
        return Ok(Command::new(name));
    }
    let request = Request { package, backports: false, choose: |_| true, files: &[] };
    let folder = cache::entry(package, |folder| Apt::native()?.unpack(request, folder).map(drop));
    let fetched = folder.map(Tree::new).and_then(|tree| {
        let places = [format!("usr/bin/{name}"), format!("bin/{name}")];
        let program = places.iter().find(|place| tree.file(place).exists());
        tree.command(program.map_or("", String::as_str))
    });
    fetched.map_err(|why| Missing::new(format!("the program {name}"), why).remedy("apt-get install, of that name"))
}

/// A busybox that needs no libraries.
///
/// # Errors
/// Its package cannot be had.
pub fn busybox() -> Result<PathBuf, Missing> {
    busybox_for(Architecture::Amd64)
}

/// The same for an architecture.
///
/// # Errors
/// As [`busybox`].
pub fn busybox_for(architecture: Architecture) -> Result<PathBuf, Missing> {
    let request =
        Request { package: "busybox-static", backports: false, choose: |name| name == "busybox-static", files: &[] };
    let name = match architecture {
        Architecture::Amd64 => "busybox",
        Architecture::I386 => "busybox-i386",
    };
    let folder = cache::entry(name, |folder| Apt::native_for(architecture)?.unpack(request, folder).map(drop))?;
    let found = ["bin/busybox", "usr/bin/busybox"].iter().map(|name| folder.join(name)).find(|path| path.exists());
    found.ok_or_else(|| Missing::new("a static busybox", "the package busybox-static has none"))
}

/// The program `pack`, which lies in the folder above that of the tests.
///
/// # Errors
/// It has not been built.
pub fn pack() -> Result<PathBuf, Missing> {
    let program = env::current_exe().ok();
    let pack = program.as_deref().and_then(|test| Some(test.parent()?.with_file_name("pack"))).unwrap_or_default();
    let why = format!("there is no {}", pack.display());
    if pack.exists() {
        Ok(pack)
    } else {
        Err(Missing::new("the program pack", why).remedy("cargo build --package pack"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10.0.2)"), Some(Version(10, 0)));
        assert_eq!(version("QEMU emulator version 8.2.2"), Some(Version(8, 2)));
        assert_eq!(version("nothing"), None);
        assert!(Version(10, 0) > Version(8, 2) && Version(7, 2) < Version(8, 2));
    }
}
