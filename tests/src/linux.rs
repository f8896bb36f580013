//! Packs of distribution kernels with the small ramdisk.

use std::fs;
use std::path::PathBuf;

use pack::build::{Module, Request};
use pack::compress::Settings;
use pack::image::Image;
use pack::info::Info;
use pack::{open, stage0};

use crate::kernels::Kernel;
use crate::trial::Trouble;
use crate::{cache, initrd};

/// A packed kernel.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The kernel.
    pub kernel: Kernel,
    /// The pack's file.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Packed {
    /// Packs a kernel with the small ramdisk and a command line; `name` names the file.
    ///
    /// # Errors
    /// The kernel cannot be opened, or the pack cannot be written.
    pub fn new(name: &str, kernel: Kernel, cmdline: String, settings: Settings) -> Result<Self, Trouble> {
        let opened = open::open(&kernel.vmlinuz).map_err(|error| error.to_string())?;
        let request = Request {
            cmdline: Some(cmdline),
            modules: vec![Module {
                name: "initrd.cpio".to_string(),
                content: initrd::small_for(kernel.architecture())?,
            }],
            settings,
            ..Request::new(kernel.release.clone(), opened.elf)
        };
        let bytes = request.build(&|_| {}).map_err(|error| error.to_string())?.pack;
        let file = folder()?.join(format!("{name}.pack"));
        fs::write(&file, &bytes)?;
        Ok(Self { kernel, file, bytes })
    }
}

/// What `pack info` states for a domain of `builder`'s in which `pack` is started by `protocol`, bytes.
///
/// # Errors
/// It states none.
pub fn need(pack: &[u8], protocol: &str, builder: &str) -> Result<u64, Trouble> {
    let image = Image::parse(pack).map_err(|error| error.to_string())?;
    let info = Info::of(&image, stage0::EMBEDDED, None).map_err(|error| error.to_string())?;
    let protocols = info.kernel.iter().flat_map(|kernel| &kernel.protocols);
    let mut memory = protocols.filter(|other| other.protocol == protocol).flat_map(|protocol| &protocol.memory);
    let need = memory.find(|memory| memory.builder == builder).and_then(|memory| memory.need);
    need.ok_or_else(|| "pack info states no need".into())
}

/// Where the packs are.
///
/// # Errors
/// It cannot be made.
pub fn folder() -> Result<PathBuf, Trouble> {
    let folder = cache::target().join("linux");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
