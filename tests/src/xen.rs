//! A real Xen, for machines that run one.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use flate2::read::GzDecoder;

use crate::apt::{Apt, Request};
use crate::tree::Tree;
use crate::{Missing, cache};

/// The hypervisor of this machine's Debian release, as a file that QEMU's `-kernel` takes.
///
/// # Errors
/// There is no apt, or its archive has no Xen.
pub fn hypervisor() -> Result<PathBuf, Missing> {
    let request = Request {
        package: "xen-system-amd64",
        backports: false,
        choose: |name| name.starts_with("xen-hypervisor-") && name.ends_with("-amd64"),
        files: &["./boot/xen-*"],
    };
    let folder = cache::entry("xen", |folder| {
        Apt::native()?.unpack(request, folder)?;
        unpack(folder).map_err(|error| Missing::new("Xen", error))
    })?;
    Ok(folder.join(HYPERVISOR))
}

/// A Debian release whose Xen and toolstack create domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian 12's: Xen 4.17.
    Bookworm,
    /// Debian 13's: Xen 4.20.
    Trixie,
}

impl Release {
    fn codename(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

/// A hypervisor and its toolstack, unpacked with the libraries that this needs.
#[derive(Debug)]
pub(crate) struct Toolstack {
    folder: PathBuf,
    version: String,
}

/// The hypervisor and the toolstack of a release.
///
/// # Errors
/// There is no apt, or its archive has no such release.
pub(crate) fn toolstack(release: Release) -> Result<Toolstack, Missing> {
    let request = Request {
        package: "xen-system-amd64",
        backports: false,
        choose: |name| {
            let is_library = name.starts_with("lib") && !name.starts_with("libpython");
            is_library || name == "zlib1g" || name.starts_with("xen-hypervisor-") || name.starts_with("xen-utils-")
        },
        files: &[
            "./boot/xen-*",
            "*/lib/xen-*/bin/*",
            "*/lib/xen-*/boot/xen-shim",
            "*/lib/x86_64-linux-gnu/*.so*",
            "*/lib64/*",
        ],
    };
    let folder = cache::entry(&format!("xen-of-{}", release.codename()), |folder| {
        Apt::other(release.codename())?.unpack(request, folder)?;
        unpack(folder).map_err(|error| Missing::new("Xen", error))
    })?;
    let names = fs::read_dir(folder.join("usr/lib")).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut versions = names.filter_map(|name| Some(name.to_str()?.strip_prefix("xen-")?.to_string()));
    let version = versions.find(|name| name.starts_with(|c: char| c.is_ascii_digit()));
    let version = version.ok_or_else(|| Missing::new("Xen's toolstack", "its package has no usr/lib/xen-VERSION"))?;
    Ok(Toolstack { folder, version })
}

/// The hypervisor that goes with that toolstack, as a file that QEMU's `-kernel` takes.
///
/// # Errors
/// As where domains are to be created.
pub fn hypervisor_of_toolstack() -> Result<PathBuf, Missing> {
    Ok(toolstack(Release::Trixie)?.hypervisor())
}

impl Toolstack {
    /// Its version, for example `4.20`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The hypervisor, as a file that QEMU's `-kernel` takes.
    pub(crate) fn hypervisor(&self) -> PathBuf {
        self.folder.join(HYPERVISOR)
    }

    /// The folder of its programs, in its tree as in dom0.
    pub(crate) fn programs(&self) -> String {
        format!("usr/lib/xen-{}/bin", self.version)
    }

    /// All its files.
    pub(crate) fn tree(&self) -> Tree {
        Tree::new(self.folder.clone())
    }
}

/// The unpacked hypervisor, in its folder.
const HYPERVISOR: &str = "xen";

/// Writes the hypervisor in `boot`, which is compressed, to [`HYPERVISOR`]: QEMU's loader for multiboot takes it so only.
fn unpack(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder.join("boot"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("xen-") && name.ends_with("-amd64.gz") {
            let mut hypervisor = Vec::new();
            GzDecoder::new(fs::File::open(&path)?).read_to_end(&mut hypervisor)?;
            return fs::write(folder.join(HYPERVISOR), hypervisor);
        }
    }
    Err(io::Error::other("the package has no boot/xen-VERSION-amd64.gz"))
}
