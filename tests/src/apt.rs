//! A private apt: the machine's own archive and keys, but its own lists, cache and an empty package database. It fetches and
//! unpacks packages with all they depend on, needs no root, and changes nothing outside its folder.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::apt_sources::{self, Source};
use crate::{Missing, cache};

/// The folder of apt's configuration.
pub const ETC: &str = "/etc/apt";

/// Clears the hooks that other programs put into apt's configuration: they are meant for the system's own package lists.
const NO_HOOKS: &str = "\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
";

/// A package of an archive, with the version that apt would choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name, for example `busybox-static`.
    pub name: String,
    /// Its version, as `apt-get download NAME=VERSION` takes it.
    pub version: String,
}

/// What to unpack.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The package that is asked for; all that it depends on is considered with it.
    pub package: &'a str,
    /// Take it from the release's backports where these have it.
    pub backports: bool,
    /// Which packages of the closure to unpack, by name.
    pub choose: fn(&str) -> bool,
    /// Which files to unpack, as patterns of `tar --wildcards` (`./boot/*`); none means all.
    pub files: &'a [&'a str],
}

/// A private apt for one release.
#[derive(Debug, Clone)]
pub struct Apt {
    codename: String,
    home: PathBuf,
    architecture: Architecture,
}

/// For which machines an archive's packages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Of 64 bits.
    Amd64,
    /// Of 32 bits.
    I386,
}

impl Architecture {
    /// Its name, as archives have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::I386 => "i386",
        }
    }
}

/// The name of the release that this machine runs, for example `bookworm`.
///
/// # Errors
/// It does not tell.
pub fn codename() -> Result<String, Missing> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.map(|name| name.trim_matches('"')).filter(|name| !name.is_empty());
    codename.map(str::to_owned).ok_or_else(|| unusable("/etc/os-release names no VERSION_CODENAME"))
}

impl Apt {
    /// For the release that this machine runs, with its updates and backports.
    ///
    /// # Errors
    /// No apt here, or its archive is not to be found or not to be reached.
    pub fn native() -> Result<Self, Missing> {
        Self::native_for(Architecture::Amd64)
    }

    /// The same, for the packages of another architecture.
    ///
    /// # Errors
    /// As [`Self::native`], and when the machine's archive has none of them.
    pub fn native_for(architecture: Architecture) -> Result<Self, Missing> {
        let codename = codename()?;
        Self::release(&codename, &codename, architecture)
    }

    /// For the Debian release `codename`, from the archive of the machine's own release.
    ///
    /// # Errors
    /// As [`Self::native`], and when the machine's archive has no such release.
    pub fn other(codename: &str) -> Result<Self, Missing> {
        Self::release(&Self::native()?.codename, codename, Architecture::Amd64)
    }

    fn release(native: &str, codename: &str, architecture: Architecture) -> Result<Self, Missing> {
        if tool_missing("apt-get") || tool_missing("dpkg-deb") {
            return Err(unusable("apt-get or dpkg-deb is not here"));
        }
        let sources = apt_sources::read(Path::new(ETC));
        let Some(archive) = apt_sources::archive(&sources, native) else {
            return Err(unusable(format!("no source in {ETC} offers {native} main")));
        };
        let name = match architecture {
            Architecture::Amd64 => format!("apt-{codename}"),
            Architecture::I386 => format!("apt-{codename}-{}", architecture.name()),
        };
        let home = cache::entry(&name, |home| {
            lay_out(home).map_err(|error| unusable(format!("{}: {error}", home.display())))?;
            let security = apt_sources::security(&sources, native);
            // A release without backports makes the first update fail; an archive of security updates that is being renewed, or
            // has none for the architecture, the second.
            let with = |security, backports| suites(archive, security, codename, backports);
            let attempts = [with(security, true), with(security, false), with(None, true), with(None, false)];
            let mut result = Ok(());
            for sources in attempts {
                write_sources(home, &sources)?;
                result = update(home, architecture);
                if result.is_ok() {
                    break;
                }
            }
            result
        })?;
        Ok(Self { codename: codename.to_string(), home, architecture })
    }

    /// Fetches and unpacks what `request` asks for into `into`, and says which packages these were.
    ///
    /// Lists grow old: when a version that they name is gone from the archive, they are renewed and it is tried once more.
    ///
    /// # Errors
    /// No such package, or the archive cannot be reached.
    pub fn unpack(&self, request: Request<'_>, into: &Path) -> Result<Vec<Package>, Missing> {
        let lock = File::create(self.home.join("lock")).map_err(|error| unusable(error.to_string()))?;
        lock.lock().map_err(|error| unusable(error.to_string()))?;
        self.try_unpack(request, into).or_else(|_| {
            update(&self.home, self.architecture)?;
            self.try_unpack(request, into)
        })
    }

    fn try_unpack(&self, request: Request<'_>, into: &Path) -> Result<Vec<Package>, Missing> {
        let missing = |why: String| Missing::new(format!("the package {}", request.package), why);
        let mut packages = self.closure(request).map_err(missing)?;
        packages.retain(|package| (request.choose)(&package.name));
        if packages.is_empty() {
            return Err(missing("apt found nothing to unpack for it".to_string()));
        }
        let debs = self.home.join("debs");
        let failed = |error: io::Error| missing(format!("{}: {error}", debs.display()));
        if debs.exists() {
            fs::remove_dir_all(&debs).map_err(failed)?;
        }
        fs::create_dir(&debs).map_err(failed)?;
        let names = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        run(apt_get(&self.home, self.architecture).arg("download").args(names).current_dir(&debs)).map_err(missing)?;
        for deb in fs::read_dir(&debs).map_err(failed)?.flatten() {
            unpack_deb(&deb.path(), request.files, into).map_err(missing)?;
        }
        fs::remove_dir_all(&debs).map_err(failed)?;
        Ok(packages)
    }

    /// All packages that an empty system needs for the one asked for, with that one, as a simulated installation lists them.
    fn closure(&self, request: Request<'_>) -> Result<Vec<Package>, String> {
        let mut command = apt_get(&self.home, self.architecture);
        command.args(["install", "--simulate", "--no-install-recommends"]);
        if request.backports {
            command.arg(format!("--option=APT::Default-Release={}-backports", self.codename));
        }
        let mut output = run(command.arg(request.package));
        if request.backports && output.is_err() {
            // No such suite in the lists: this release has no backports.
            let mut plain = apt_get(&self.home, self.architecture);
            output = run(plain.args(["install", "--simulate", "--no-install-recommends", request.package]));
        }
        let text = output?;
        Ok(text.lines().filter_map(simulated).collect())
    }
}

/// A line `Inst NAME (VERSION ORIGIN [ARCH])` of a simulated installation.
fn simulated(line: &str) -> Option<Package> {
    let rest = line.strip_prefix("Inst ")?;
    let name = rest.split_whitespace().next()?;
    let version = rest.split_once('(')?.1.split_whitespace().next()?;
    Some(Package { name: name.to_string(), version: version.to_string() })
}

fn unusable(why: impl Into<String>) -> Missing {
    Missing::new("a package archive", why.into())
}

fn tool_missing(name: &str) -> bool {
    Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
}

/// The suites of `codename` in the archive, and its security updates.
fn suites(archive: &Source, security: Option<&Source>, codename: &str, backports: bool) -> String {
    let mut own = vec![codename.to_string(), format!("{codename}-updates")];
    if backports {
        own.push(format!("{codename}-backports"));
    }
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut text = archive.with_suites(&own).to_string();
    if let Some(source) = security {
        text.push_str(&source.with_suites(&[&format!("{codename}-security")]).to_string());
    }
    text
}

fn write_sources(home: &Path, text: &str) -> Result<(), Missing> {
    let file = home.join("sources.list.d").join("mstrap.sources");
    fs::write(&file, text).map_err(|error| unusable(format!("{}: {error}", file.display())))
}

/// The folders that apt wants, and an empty package database.
fn lay_out(home: &Path) -> io::Result<()> {
    for folder in ["sources.list.d", "lists/partial", "cache/archives/partial", "none"] {
        fs::create_dir_all(home.join(folder))?;
    }
    fs::write(home.join("apt.conf"), NO_HOOKS)?;
    fs::write(home.join("status"), "")
}

fn update(home: &Path, architecture: Architecture) -> Result<(), Missing> {
    run(apt_get(home, architecture).args(["update", "--error-on=any"])).map(drop).map_err(unusable)
}

/// apt-get with its private folders, and without what the machine's own configuration hooks into it. How the archive is
/// reached (Acquire::*) stays the machine's.
fn apt_get(home: &Path, architecture: Architecture) -> Command {
    let at = |name: &str| home.join(name).display().to_string();
    let options = [
        ("Dir::Etc::sourcelist", "/dev/null".to_string()),
        ("Dir::Etc::sourceparts", at("sources.list.d")),
        ("Dir::Etc::preferences", "/dev/null".to_string()),
        ("Dir::Etc::preferencesparts", at("none")),
        ("Dir::State::lists", at("lists")),
        ("Dir::State::status", at("status")),
        ("Dir::State::extended_states", at("none/extended_states")),
        ("Dir::Cache", at("cache")),
        ("APT::Architecture", architecture.name().to_string()),
        ("APT::Default-Release", String::new()),
        ("APT::Sandbox::User", "root".to_string()),
        ("Acquire::Languages", "none".to_string()),
        ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".to_string()),
        ("Acquire::Retries", "3".to_string()),
        ("Debug::NoLocking", "true".to_string()),
    ];
    let mut command = Command::new("apt-get");
    command.arg("--quiet=2").args(["-c", &at("apt.conf")]);
    command.args(options.map(|(name, value)| format!("--option={name}={value}")));
    command
}

/// Unpacks `files` of a package, or all of it.
fn unpack_deb(deb: &Path, files: &[&str], into: &Path) -> Result<(), String> {
    if files.is_empty() {
        return run(Command::new("dpkg-deb").arg("--extract").args([deb, into])).map(drop);
    }
    let mut source = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("dpkg-deb: {error}"))?;
    let Some(stream) = source.stdout.take() else { return Err("dpkg-deb: no output".to_string()) };
    let mut listed = Command::new("tar");
    listed.args(["--extract", "--no-same-owner", "--wildcards", "--directory"]).arg(into).args(files).stdin(stream);
    // A pattern without a match is reported by tar, but is no fault: not each package has each kind of file.
    let output = listed.output().map_err(|error| format!("tar: {error}"))?;
    let fine = source.wait().map_err(|error| format!("dpkg-deb: {error}"))?.success();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let harmless = |line: &str| line.contains("Not found in archive") || line.contains("Exiting with failure");
    if fine && errors.lines().all(harmless) { Ok(()) } else { Err(format!("tar: {}", errors.trim())) }
}

/// Runs a command to its end; its standard output, or what it said was wrong.
fn run(command: &mut Command) -> Result<String, String> {
    let program = Path::new(command.get_program()).file_name().unwrap_or(OsStr::new("?")).display().to_string();
    let output: Output =
        command.env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}: {}", output.status, errors.trim().replace('\n', "; ")))
}
