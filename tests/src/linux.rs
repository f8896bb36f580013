//! Packs of distribution kernels with the small ramdisk.

use std::fs;
use std::path::PathBuf;

use pack::build::{Module, Request};
use pack::compress::Settings;
use pack::open;

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
            modules: vec![Module { name: "initrd.cpio".to_string(), content: initrd::small()? }],
            settings,
            ..Request::new(kernel.release.clone(), opened.elf)
        };
        let bytes = request.build(&|_| {}).map_err(|error| error.to_string())?.pack;
        let file = folder()?.join(format!("{name}.pack"));
        fs::write(&file, &bytes)?;
        Ok(Self { kernel, file, bytes })
    }
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
