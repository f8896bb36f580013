//! The Debian package in a clean system: what it installs works there, and the packages of a real kernel run its hooks.
//! Needs root (for debootstrap and chroot), and a package that `.ci/deb` built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::trial::{self, Trouble, check};
use harness::{Missing, apt, apt_sources, cache};

/// Debian's package of a small kernel; it depends on the package of the newest one.
const KERNEL: &str = "linux-image-cloud-amd64";
const PACKAGE: &str = "mstrap_";
/// The file that the hooks read, as a person would write it.
const CMDLINE: &str = "# for the test\nconsole=ttyS0\npanic=-1 quiet\n";

fn main() {
    trial::main(vec![trial::test("a_clean_debian_installs_it_and_keeps_packs_of_its_kernels", package)]);
}

fn package() -> Result<(), Trouble> {
    let system = System::clean()?;
    system.copy(&deb()?, "mstrap.deb")?;
    system.run("apt-get install -qq --no-install-recommends /mstrap.deb")?;
    installed(&system)?;
    let version = kernel(&system)?;
    renewed(&system, &version)?;
    started(&system, &version)?;
    kernel_install(&system, &version)?;
    removed(&system, &version)
}

/// The program, its pages, its completions and stage0 are there.
fn installed(system: &System) -> Result<(), Trouble> {
    check(system.run("pack --version")?.starts_with("pack "), "no version")?;
    let own = system
        .run("pack stage0 -o /tmp/stage0.elf >&2; cmp /tmp/stage0.elf /usr/lib/mstrap/stage0.elf && echo same")?;
    check(own.trim() == "same", own)?;
    system.run("test -s /usr/share/man/man1/pack-run.1.gz && pack-run --help >&2")?;
    let offered = system.run(
        "bash --norc -c 'source /usr/share/bash-completion/completions/pack; COMP_WORDS=(pack ch) COMP_CWORD=1 COMPREPLY=()
         _pack pack ch pack; echo ${COMPREPLY[@]}'",
    )?;
    check(offered.trim() == "check", offered)?;
    // Nothing that was installed is out of order.
    check(system.run("dpkg --verify mstrap")?.trim().is_empty(), "dpkg --verify finds changes")
}

/// Installs the kernel: before there is a command line, no pack is made.
fn kernel(system: &System) -> Result<String, Trouble> {
    system.run(&format!("apt-get install -qq --no-install-recommends {KERNEL} initramfs-tools"))?;
    let names = system.run("cd /boot && ls vmlinuz-*")?;
    let version = names.trim().strip_prefix("vmlinuz-").ok_or_else(|| format!("kernels: {names}"))?.to_owned();
    check(!system.has(&format!("boot/pack-{version}")), "a pack without a command line")?;
    fs::create_dir_all(system.folder.join("etc/mstrap"))?;
    fs::write(system.folder.join("etc/mstrap/cmdline"), CMDLINE)?;
    fs::write(system.folder.join("etc/mstrap/options"), "--level 3\n")?;
    system.run(&format!("apt-get install -qq --reinstall linux-image-{version}"))?;
    parts_are(system, &version)?;
    Ok(version)
}

/// The pack has the kernel, the initrd and the command line that are installed.
fn parts_are(system: &System, version: &str) -> Result<(), Trouble> {
    system.run(&format!("rm -rf /tmp/parts && pack extract /boot/pack-{version} -o /tmp/parts >&2"))?;
    system
        .run(&format!("find /tmp/parts -type f -exec cmp -s {{}} /boot/initrd.img-{version} \\; -print | grep -q ."))?;
    let cmdline = system.run("cat /tmp/parts/cmdline")?;
    check(cmdline.trim() == "console=ttyS0 panic=-1 quiet", cmdline)?;
    let release = system.run(&format!("pack info --json /boot/pack-{version}"))?;
    check(release.contains(&format!("\"linux_version\": \"{version}\"")), "another kernel's version")
}

/// A new initrd makes a new pack; where nothing changed, none is made.
fn renewed(system: &System, version: &str) -> Result<(), Trouble> {
    let digest = || system.run(&format!("sha256sum /boot/pack-{version}"));
    let before = digest()?;
    let nothing = system.run(&format!("/etc/kernel/postinst.d/zz-mstrap {version} /boot/vmlinuz-{version}"))?;
    check(nothing.is_empty() && digest()? == before, format!("packed for no reason: {nothing}"))?;
    system.run("echo test >/etc/initramfs-tools/scripts/init-top/mstrap-test; chmod +x /etc/initramfs-tools/scripts/init-top/*")?;
    system.run("update-initramfs -u")?;
    check(digest()? != before, "the pack has an old initrd")?;
    parts_are(system, version)
}

/// The pack boots, as far as its initrd: its own poweroff is the first program.
fn started(system: &System, version: &str) -> Result<(), Trouble> {
    let mut pack = Command::new(harness::tools::pack()?);
    pack.args(["run", "--tier", "qemu", "--timeout", "300", "--extra", "rdinit=/bin/poweroff"]);
    let output = pack.arg(system.folder.join(format!("boot/pack-{version}"))).stdin(Stdio::null()).output()?;
    let streams = [output.stdout, output.stderr].map(|stream| String::from_utf8_lossy(&stream).into_owned());
    check(output.status.success(), streams.concat())
}

/// systemd's kernel-install makes and removes the pack too.
fn kernel_install(system: &System, version: &str) -> Result<(), Trouble> {
    system.run("apt-get install -qq --no-install-recommends systemd")?;
    system.run(&format!("rm /boot/pack-{version}"))?;
    system.run(&format!("kernel-install add {version} /boot/vmlinuz-{version} /boot/initrd.img-{version}"))?;
    let made = system.run("find / -xdev -name 'pack-*' -path '*boot*'")?;
    check(!made.trim().is_empty(), "kernel-install made no pack")?;
    system.run(&format!("kernel-install remove {version}"))?;
    let left = system.run("find / -xdev -name 'pack-*' -path '*boot*'")?;
    check(left.trim().is_empty(), format!("kernel-install left {left}"))?;
    system.run(&format!("/etc/kernel/postinst.d/zz-mstrap {version} /boot/vmlinuz-{version}"))?;
    parts_are(system, version)
}

/// The kernel's removal takes the pack away; the package's own removal leaves nothing that would stop the next kernel's.
fn removed(system: &System, version: &str) -> Result<(), Trouble> {
    system.run(&format!("apt-get remove -qq linux-image-{version} {KERNEL}"))?;
    check(!system.has(&format!("boot/pack-{version}")), "the pack of a removed kernel")?;
    system.run("apt-get remove -qq mstrap && test ! -e /usr/bin/pack")?;
    system.run(&format!("apt-get install -qq --no-install-recommends {KERNEL}"))?;
    check(!system.has(&format!("boot/pack-{version}")), "a pack, made by no program")?;
    system.run("apt-get purge -qq mstrap && test ! -e /etc/kernel/postinst.d/zz-mstrap").map(drop)
}

/// The package that was built last.
fn deb() -> Result<PathBuf, Missing> {
    let folder = cache::target().join("debian");
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PACKAGE) && name.ends_with(".deb")
    };
    files.filter(ours).max().ok_or_else(|| Missing::new("the Debian package", "it is not built").remedy(".ci/deb"))
}

/// A Debian in a folder.
struct System {
    folder: PathBuf,
}

impl System {
    /// The smallest there is of this machine's release, with this machine's archive.
    fn clean() -> Result<Self, Trouble> {
        let sources = apt_sources::read(Path::new(apt::ETC));
        let release = apt::codename()?;
        let no_archive = || Missing::new("a clean Debian", format!("no source offers {release}"));
        let archive = apt_sources::archive(&sources, &release).ok_or_else(no_archive)?;
        let uri = archive.uris.first().ok_or_else(no_archive)?;
        let base = cache::entry(&format!("clean-{release}"), |folder| {
            let why = |why: String| Missing::new("a clean Debian", why).remedy("apt-get install debootstrap (as root)");
            let mut debootstrap = Command::new("debootstrap");
            debootstrap.args(["--variant=minbase", &release]).arg(folder.join("system")).arg(uri);
            let output =
                debootstrap.stdin(Stdio::null()).output().map_err(|error| why(format!("debootstrap: {error}")))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() { Ok(()) } else { Err(why(text)) }
        })?;
        let folder = cache::target().join("soak").join("system");
        let copied = Command::new("sh")
            .args(["-euc", "rm -rf \"$2\"; mkdir -p \"${2%/*}\"; cp -a \"$1\" \"$2\"", "sh"])
            .args([&base.join("system"), &folder])
            .status()?;
        check(copied.success(), "cannot copy the clean Debian")?;
        let system = Self { folder };
        // Names of hosts are found as here.
        system.copy(Path::new("/etc/resolv.conf"), "etc/resolv.conf")?;
        system.copy(Path::new("/etc/hosts"), "etc/hosts")?;
        system.run("apt-get update -qq")?;
        Ok(system)
    }

    fn copy(&self, from: &Path, to: &str) -> Result<(), Trouble> {
        fs::copy(from, self.folder.join(to)).map_err(|error| format!("{}: {error}", from.display()))?;
        Ok(())
    }

    fn has(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }

    /// Runs a command of the shell there; what it writes to standard output. Mounts end with it.
    fn run(&self, words: &str) -> Result<String, Trouble> {
        let inside = "mount -t proc proc \"$1/proc\"; mount --rbind /dev \"$1/dev\"; exec chroot \"$1\" sh -euc \"$2\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", inside, "sh"]).arg(&self.folder).arg(words).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        let output = command.env("LC_ALL", "C.UTF-8").output()?;
        let [out, errors] = [output.stdout, output.stderr].map(|stream| String::from_utf8_lossy(&stream).into_owned());
        check(output.status.success(), format!("{words}\n{}\n{out}\n{errors}", output.status))?;
        Ok(out)
    }
}
