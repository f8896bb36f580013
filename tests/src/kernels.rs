//! Distribution kernels, found by what they are: their compression and their configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use pack::open::Compression;

use crate::apt::{Apt, Architecture, Request};
use crate::{Missing, cache, tools};

/// Packages that depend on a current kernel, by distribution: Debian's, Ubuntu's.
const CURRENT: [[&str; 2]; 2] =
    [["linux-image-amd64", "linux-image-cloud-amd64"], ["linux-image-generic", "linux-image-virtual"]];

/// The kernel with its configuration, and the modules of KVM and Xen; the other modules would be hundreds of megabytes.
const FILES: [&str; 4] =
    ["./boot/*", "*/lib/modules/*/kernel/arch/x86/kvm/*", "*/lib/modules/*/irqbypass.ko*", "*xen*"];

/// Which option of a kernel's configuration says how it is compressed.
const COMPRESSIONS: [(&str, Compression); 7] = [
    ("CONFIG_KERNEL_GZIP", Compression::Gzip),
    ("CONFIG_KERNEL_BZIP2", Compression::Bzip2),
    ("CONFIG_KERNEL_LZMA", Compression::Lzma),
    ("CONFIG_KERNEL_XZ", Compression::Xz),
    ("CONFIG_KERNEL_LZO", Compression::Lzo),
    ("CONFIG_KERNEL_LZ4", Compression::Lz4Legacy),
    ("CONFIG_KERNEL_ZSTD", Compression::Zstd),
];

/// A distribution's kernel, unpacked.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The bzImage.
    pub vmlinuz: PathBuf,
    /// Its release, as `uname -r` says it.
    pub release: String,
    /// How its payload is compressed, as its configuration says.
    pub compression: Compression,
    /// The folder of its modules (those of KVM and Xen only).
    pub modules: PathBuf,
    config: String,
}

impl Kernel {
    /// Whether a configuration option, for example `CONFIG_KVM_XEN`, is built in (`y`) or a module (`m`).
    pub fn has(&self, option: &str) -> bool {
        has(&self.config, option)
    }

    /// For which machines it is.
    pub fn architecture(&self) -> Architecture {
        if self.has("CONFIG_X86_32") { Architecture::I386 } else { Architecture::Amd64 }
    }

    /// The module `name`, as `insmod` takes it: its bytes, which the distribution may have compressed.
    ///
    /// # Errors
    /// There is no such module, or it cannot be decompressed.
    pub fn module(&self, name: &str) -> Result<Vec<u8>> {
        let stem = format!("{name}.ko");
        let matches =
            |file: &str| file.strip_prefix(&stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let file = find(&self.modules, &matches).with_context(|| format!("{} has no module {name}", self.release))?;
        let bytes = || fs::read(&file).with_context(|| file.display().to_string());
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("ko") => bytes(),
            Some("zst") => Ok(zstd::decode_all(bytes()?.as_slice())?),
            Some("xz") => {
                let mut command = Command::new(tools::busybox()?);
                let output = command.args(["xz", "-dc"]).arg(&file).stdin(Stdio::null()).output()?;
                let errors = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "{}: {errors}", file.display());
                Ok(output.stdout)
            }
            _ => bail!("{}: a compression that is not known", file.display()),
        }
    }

    /// The kernels in a folder of unpacked packages.
    fn all_in(tree: &Path) -> Vec<Self> {
        let entries = fs::read_dir(tree.join("boot")).into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::open(tree, entry.file_name().to_str()?.strip_prefix("vmlinuz-")?)).collect()
    }

    fn open(tree: &Path, release: &str) -> Option<Self> {
        let vmlinuz = tree.join("boot").join(format!("vmlinuz-{release}"));
        let config = fs::read_to_string(tree.join("boot").join(format!("config-{release}"))).ok()?;
        let compression = COMPRESSIONS.iter().find(|(option, _)| has(&config, option))?.1;
        let modules = ["usr/lib/modules", "lib/modules"].iter().map(|folder| tree.join(folder).join(release));
        let modules = modules.into_iter().find(|folder| folder.is_dir()).unwrap_or_else(|| tree.to_path_buf());
        Some(Self { vmlinuz, release: release.to_string(), compression, modules, config })
    }
}

fn has(config: &str, option: &str) -> bool {
    config.lines().any(|line| line.strip_prefix(option).is_some_and(|value| value == "=y" || value == "=m"))
}

/// All current kernels of this machine's distribution, of its release and of its backports.
///
/// # Errors
/// None can be had.
pub fn all() -> Result<Vec<Kernel>, Missing> {
    let folder = cache::entry("kernels", fetch)?;
    let mut names: Vec<PathBuf> =
        fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    names.sort();
    Ok(names.iter().flat_map(|tree| Kernel::all_in(tree)).collect())
}

/// The current kernel of 32 bits of this machine's distribution, with PAE: Debian has one, Ubuntu none.
///
/// # Errors
/// It cannot be had.
pub fn of_32_bits() -> Result<Kernel, Missing> {
    let package = "linux-image-686-pae";
    let tree = cache::entry("kernels-i386", |folder| {
        let request = Request { package, backports: false, choose: is_kernel, files: &FILES };
        Apt::native_for(Architecture::I386)?.unpack(request, folder).map(drop)
    })?;
    let found = Kernel::all_in(&tree).into_iter().find(|kernel| kernel.has("CONFIG_PVH"));
    found.ok_or_else(|| Missing::new("a kernel of 32 bits", format!("{package} has none with CONFIG_PVH")))
}

/// Kernels for Xen other than Linux: Xen's own shim, and GRUB's images for PV and PVH domains, of Debian 12.
///
/// # Errors
/// One of them cannot be had.
pub fn of_xen() -> Result<Vec<PathBuf>, Missing> {
    let folder = cache::entry("kernels-of-xen", |folder| {
        let apt = Apt::other("bookworm")?;
        let shim = Request {
            package: "xen-utils-4.17",
            backports: false,
            choose: |name| name == "xen-utils-4.17",
            files: &["*/boot/xen-shim"],
        };
        let choose = |name: &str| name == "grub-xen-host";
        let grub = Request { package: "grub-xen-host", choose, files: &["*/grub-*.bin"], ..shim };
        apt.unpack(shim, folder)?;
        apt.unpack(grub, folder).map(drop)
    })?;
    let mut found = Vec::new();
    files(&folder, &mut found);
    found.sort();
    if found.len() < 3 {
        return Err(Missing::new("the images of Xen's shim and of GRUB", format!("only {} are there", found.len())));
    }
    Ok(found)
}

/// All files below `folder`; links are passed over.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

fn fetch(folder: &Path) -> Result<(), Missing> {
    let apt = Apt::native()?;
    let mut last = None;
    for packages in CURRENT {
        let (mut found, trees) = (false, packages.iter().flat_map(|package| [(package, false), (package, true)]));
        for (package, backports) in trees {
            let tree = folder.join(format!("{package}-{}", if backports { "backports" } else { "release" }));
            fs::create_dir_all(&tree).map_err(|error| Missing::new(tree.display().to_string(), error))?;
            match apt.unpack(Request { package, backports, choose: is_kernel, files: &FILES }, &tree) {
                Ok(_) => found = true,
                Err(error) => last = Some(error),
            }
        }
        if found {
            return Ok(());
        }
    }
    Err(last.unwrap_or_else(|| Missing::new("a distribution kernel", "no package of one is known")))
}

/// `linux-image-6.1...` and `linux-modules-6.1...`, but not the packages that only depend on them.
fn is_kernel(package: &str) -> bool {
    let version = ["linux-image-", "linux-modules-"].iter().find_map(|prefix| package.strip_prefix(prefix));
    version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// One kernel for each compression that the distribution uses, all with CONFIG_PVH, at least `count` of them.
///
/// # Errors
/// Fewer than `count` compressions can be had.
pub fn of_different_compressions(count: usize) -> Result<Vec<Kernel>, Missing> {
    let mut chosen: Vec<Kernel> = Vec::new();
    for kernel in all()? {
        if kernel.has("CONFIG_PVH") && chosen.iter().all(|other| other.compression != kernel.compression) {
            chosen.push(kernel);
        }
    }
    if chosen.len() < count {
        let why = format!("this distribution's kernels have {} different ones", chosen.len());
        return Err(Missing::new(format!("kernels of {count} compressions"), why));
    }
    Ok(chosen)
}

/// A kernel with all of `options` in its configuration; the smallest one.
///
/// # Errors
/// There is none.
pub fn with(options: &[&str]) -> Result<Kernel, Missing> {
    let fitting = all()?.into_iter().filter(|kernel| options.iter().all(|option| kernel.has(option)));
    let size = |kernel: &Kernel| fs::metadata(&kernel.vmlinuz).map_or(u64::MAX, |data| data.len());
    let why = "no current kernel of this distribution has it";
    fitting.min_by_key(size).ok_or_else(|| Missing::new(format!("a kernel with {}", options.join(", ")), why))
}

/// The first file below `folder` whose name `matches`.
fn find(folder: &Path, matches: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => find(&path, matches),
            false => entry.file_name().to_str().is_some_and(matches).then_some(path),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_that_hold_a_kernel_are_chosen() {
        assert!(is_kernel("linux-image-6.1.0-50-amd64"));
        assert!(is_kernel("linux-modules-6.8.0-31-generic"));
        assert!(!is_kernel("linux-image-amd64"));
        assert!(!is_kernel("linux-base"));
    }

    #[test]
    fn an_option_is_not_another_one_with_the_same_beginning() {
        let config = "# CONFIG_KERNEL_LZ4 is not set\nCONFIG_KERNEL_LZ4_MORE=y\nCONFIG_KVM=m\nCONFIG_PVH=y\n";
        assert!(has(config, "CONFIG_KVM") && has(config, "CONFIG_PVH"));
        assert!(!has(config, "CONFIG_KERNEL_LZ4"));
    }
}
