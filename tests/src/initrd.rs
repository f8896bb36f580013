//! Initial ramdisks: newc archives, and the small busybox one whose guest reports on itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use cpio::newc;

use crate::apt::Architecture;
use crate::{Missing, tools};

const FOLDER: u32 = 0o040_755;
const SYMLINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive in the making.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with its permissions (`0o755`), and the folders on the way to it. Paths are relative: `bin/busybox`.
    ///
    /// # Errors
    /// The file is 4 GiB or larger, more than the format can say.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) -> io::Result<()> {
        self.parents(path)?;
        self.put(path, 0o100_000 | permissions, content, (0, 0))
    }

    /// Adds a file of this machine.
    ///
    /// # Errors
    /// It cannot be read, or is too large.
    pub fn copy(&mut self, path: &str, permissions: u32, from: &Path) -> io::Result<()> {
        let content = fs::read(from).map_err(|error| io::Error::other(format!("{}: {error}", from.display())))?;
        self.file(path, permissions, &content)
    }

    /// Adds a folder, and those on the way to it.
    ///
    /// # Errors
    /// None that can occur in memory.
    pub fn folder(&mut self, path: &str) -> io::Result<()> {
        self.parents(path)?;
        if self.folders.insert(path.to_string()) { self.put(path, FOLDER, &[], (0, 0)) } else { Ok(()) }
    }

    /// Adds a symbolic link to `target`.
    ///
    /// # Errors
    /// None that can occur in memory.
    pub fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parents(path)?;
        self.put(path, SYMLINK, target.as_bytes(), (0, 0))
    }

    /// Adds a character device.
    ///
    /// # Errors
    /// None that can occur in memory.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.parents(path)?;
        self.put(path, CHARACTER_DEVICE, &[], (major, minor))
    }

    /// The finished archive, whose length is a multiple of four, so that another one may follow.
    ///
    /// # Errors
    /// None that can occur in memory.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        let mut bytes = newc::trailer(self.bytes)?;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Ok(bytes)
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) => self.folder(parent),
            None => Ok(()),
        }
    }

    fn put(&mut self, path: &str, mode: u32, content: &[u8], device: (u32, u32)) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        self.inode += 1;
        let entry = newc::Builder::new(path).ino(self.inode).mode(mode).nlink(1);
        let mut writer = entry.rdev_major(device.0).rdev_minor(device.1).write(&mut self.bytes, size);
        io::Write::write_all(&mut writer, content)?;
        writer.finish().map(drop)
    }
}

/// A folder of an archive with files of this machine, those that are asked for more than once stored once.
#[derive(Debug)]
pub(crate) struct Pool<'a> {
    folder: &'static str,
    stored: Vec<&'a Path>,
}

impl<'a> Pool<'a> {
    pub(crate) fn new(folder: &'static str) -> Self {
        Self { folder, stored: Vec::new() }
    }

    /// Where in the guest the file is.
    pub(crate) fn store(&mut self, archive: &mut Archive, file: &'a Path) -> io::Result<PathBuf> {
        let place = self.stored.iter().position(|other| *other == file).unwrap_or(self.stored.len());
        let path = format!("{}/{place}", self.folder);
        if place == self.stored.len() {
            archive.copy(&path, 0o644, file)?;
            self.stored.push(file);
        }
        Ok(Path::new("/").join(path))
    }
}

/// What begins the line with which the guest of [`small`] reports on itself.
const MARKER: &str = "mstrap-guest: ";

/// What begins that line, as a pattern of grep.
pub(crate) const UP: &str = "^mstrap-guest: kernel=";

/// The word of a command line with which that guest does not end the machine, but says once a second that it is there.
pub const STAY: &str = "guest.stay";

/// What begins such a line.
pub(crate) const TICK: &str = "^mstrap-guest: tick ";

/// What each guest's first program begins with: a quiet kernel.
const BEGIN: &str = "\
#!/bin/sh
busybox=/bin/busybox
$busybox mount -t proc proc /proc
echo 1 > /proc/sys/kernel/printk
";

/// What it ends with: the machine's end.
const END: &str = "\
$busybox stty -F /dev/console -echo
$busybox poweroff -f
$busybox sleep 5
$busybox reboot -f
";

/// The guest's first program: says what it runs on, in one line, and ends the machine.
const INIT: &str = "\
$busybox mount -t sysfs sys /sys
kernel=$($busybox uname -r)
guest_type=$($busybox cat /sys/hypervisor/guest_type 2>/dev/null || echo none)
memory=$($busybox awk '/^MemTotal/ { print $2 }' /proc/meminfo)
echo
echo \"mstrap-guest: kernel=$kernel guest_type=$guest_type cpus=$($busybox nproc) mem_kib=$memory cmdline=$($busybox cat /proc/cmdline)\"
case $($busybox cat /proc/cmdline) in
*GUEST_STAY*)
    tick=0
    while $busybox sleep 1; do
        tick=$((tick + 1))
        echo \"mstrap-guest: tick $tick\"
    done
    ;;
esac
";

/// What Linux runs when the toolstack wants the domain to shut down.
const POWEROFF: &str = "#!/bin/sh\nexec /bin/busybox poweroff -f\n";

/// A busybox ramdisk whose guest prints one line, which [`GuestReport::find`] reads, and powers off.
///
/// # Errors
/// busybox cannot be had.
pub fn small() -> Result<Vec<u8>, Missing> {
    small_for(Architecture::Amd64)
}

/// The same for a kernel of an architecture.
///
/// # Errors
/// busybox cannot be had.
pub fn small_for(architecture: Architecture) -> Result<Vec<u8>, Missing> {
    busybox_ramdisk(architecture, &INIT.replace("GUEST_STAY", STAY))
}

/// The first program of a guest that repeats what it is told.
const TALKING: &str = "\
echo
echo \"mstrap-guest: listening\"
read -r words
echo \"mstrap-guest: heard $words on $($busybox nproc) in $($busybox awk '/^MemTotal/ { print $2 }' /proc/meminfo) KiB\"
";

/// A busybox ramdisk whose guest prints `mstrap-guest: listening`, reads a line from its console, prints it with the number of its
/// processors and its memory, and powers off.
///
/// # Errors
/// busybox cannot be had.
pub fn talking() -> Result<Vec<u8>, Missing> {
    busybox_ramdisk(Architecture::Amd64, TALKING)
}

/// The first program of a guest that shows what was measured.
const MEASURED: &str = "\
echo
cat() { $busybox cat \"$@\"; }
{
GUEST_COMMANDS
} | $busybox sed 's/^/mstrap-log: /'
";

/// A busybox ramdisk whose guest runs `commands`, which print the log of measurements, for [`measurements`] to read, and
/// powers off.
///
/// # Errors
/// busybox cannot be had.
pub fn measured(commands: &str) -> Result<Vec<u8>, Missing> {
    busybox_ramdisk(Architecture::Amd64, &MEASURED.replace("GUEST_COMMANDS", commands))
}

/// The log that a guest of [`measured`] printed.
pub fn measurements(console: &str) -> String {
    let lines = console.lines().filter_map(|line| line.trim_end().strip_prefix("mstrap-log: "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// A busybox ramdisk whose first program does `work` between [`BEGIN`] and [`END`].
fn busybox_ramdisk(architecture: Architecture, work: &str) -> Result<Vec<u8>, Missing> {
    let busybox = tools::busybox_for(architecture)?;
    let build = || {
        let mut archive = Archive::new();
        for folder in ["proc", "sys", "dev"] {
            archive.folder(folder)?;
        }
        archive.device("dev/console", 5, 1)?;
        archive.device("dev/null", 1, 3)?;
        archive.copy("bin/busybox", 0o755, &busybox)?;
        archive.symlink("bin/sh", "busybox")?;
        archive.file("sbin/poweroff", 0o755, POWEROFF.as_bytes())?;
        archive.file("init", 0o755, [BEGIN, work, END].concat().as_bytes())?;
        archive.finish()
    };
    build().map_err(|error: io::Error| Missing::new("a small initial ramdisk", error))
}

/// What the guest of [`small`] says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestReport {
    /// The whole line.
    pub line: String,
    /// `uname -r`.
    pub kernel: String,
    /// /sys/hypervisor/guest_type, or `none`.
    pub guest_type: String,
    /// Its processors.
    pub cpus: u32,
    /// MemTotal in KiB.
    pub memory_kib: u64,
    /// /proc/cmdline.
    pub cmdline: String,
}

impl GuestReport {
    /// The report in what a guest wrote to its console, if it came whole.
    pub fn find(console: &str) -> Option<Self> {
        console.lines().find_map(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let rest = line.strip_prefix(MARKER)?;
        let (rest, cmdline) = rest.split_once(" cmdline=")?;
        let field = |name: &str| rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            line: line.to_string(),
            kernel: field("kernel")?.to_string(),
            guest_type: field("guest_type")?.to_string(),
            cpus: field("cpus")?.parse().ok()?,
            memory_kib: field("mem_kib")?.parse().ok()?,
            cmdline: cmdline.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_found_among_other_lines() {
        let console =
            "[ 1.0] x\r\n\r\nmstrap-guest: kernel=6.1 guest_type=PVH cpus=2 mem_kib=42 cmdline=a b=c cmdline=d\r\n";
        let report = GuestReport::find(console).expect("a report");
        assert_eq!((report.kernel.as_str(), report.guest_type.as_str()), ("6.1", "PVH"));
        assert_eq!((report.memory_kib, report.cmdline.as_str()), (42, "a b=c cmdline=d"));
        assert_eq!(GuestReport::find("mstrap-guest: kernel=6.1 guest_ty"), None);
    }

    #[test]
    fn folders_come_once_and_before_what_is_in_them() {
        let mut archive = Archive::new();
        archive.file("a/b/c", 0o644, b"content").expect("in memory");
        archive.file("a/b/d", 0o644, b"").expect("in memory");
        let bytes = archive.finish().expect("in memory");
        assert_eq!(bytes.len() % 4, 0);
        let mut names = Vec::new();
        let mut rest = bytes.as_slice();
        loop {
            let reader = newc::Reader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                break;
            }
            names.push(reader.entry().name().to_string());
            rest = reader.finish().expect("its content");
        }
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d"]);
    }
}
