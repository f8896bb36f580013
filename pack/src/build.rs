//! Makes a pack of a kernel and what goes with it.

use std::path::Path;
use std::thread;

use sha2::{Digest, Sha256};
use shared::cmdline::{self, CmdlineError};
use shared::format::{EncodedKernel, EncodedModule, FormatError, MAX_NAME_LEN, Manifest, PackContent};
use shared::kernel::{Decisions, Kernel, SliceFile};
use stage0::load::LoadError;

use crate::compress::{self, CompressError, Progress, Settings};
use crate::cut;
use crate::framed;
use crate::input::{self, InputError};
use crate::reading::{ENTERED, Reading, Refusal};

/// Most bytes of a module: 3 GiB. An initrd has to lie below 4 GiB, where there is no more RAM than that.
pub const MAX_MODULE: u64 = 3 << 30;

/// A module: bytes that are handed over as they are.
pub struct Module {
    /// Its name, for people.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl Module {
    /// The file at `path`, by its name.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let content = input::read(path, MAX_MODULE).map_err(|cause| InputError { path: path.to_owned(), cause })?;
        Ok(Self { name: member_name(path), content })
    }
}

/// A file's name as a member has it: without its folder, at most [`MAX_NAME_LEN`] bytes. A control character becomes `?`.
pub fn member_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().replace(char::is_control, "?");
    let end = name.floor_char_boundary(MAX_NAME_LEN as usize);
    name[..end].to_owned()
}

/// All that a pack is made of.
pub struct Request {
    /// The kernel's name, for people: 1 to [`MAX_NAME_LEN`] bytes.
    pub kernel_name: String,
    /// The kernel's ELF file.
    pub elf: Vec<u8>,
    /// The pack's own command line.
    pub cmdline: Option<String>,
    /// The modules, in the order in which they are handed over; a Linux takes the first as its initrd.
    pub modules: Vec<Module>,
    /// Whether a kernel gets measurements.
    pub measured: bool,
    /// How the kernel is compressed.
    pub settings: Settings,
    /// What a person decided.
    pub decisions: Decisions,
    /// Whether only allowed words of the builder's command line reach the kernel.
    pub locked: bool,
    /// The patterns of the words that a locked pack lets through.
    pub allowed: Vec<String>,
}

/// A pack, and what stage0 makes of the kernel in it.
pub struct Built {
    /// The pack.
    pub pack: Vec<u8>,
    /// The kernel, read.
    pub reading: Reading,
}

/// Why no pack is made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The command line may not be one.
    #[error("{0}")]
    Cmdline(CmdlineError),
    /// stage0 would not start the kernel.
    #[error(transparent)]
    Kernel(#[from] Refusal),
    /// There are no frames.
    #[error(transparent)]
    Compression(#[from] CompressError),
    /// stage0 could not read the kernel from its frames.
    #[error("{0}: strip the kernel of its sections")]
    Cut(LoadError),
    /// Something exceeds the format's bounds.
    #[error("{0}")]
    Format(FormatError),
}

/// Refuses a text that is too long for every protocol that stage0 may enter the kernel by.
fn check_fits(reading: &Reading, text: &str) -> Result<(), BuildError> {
    let plans = ENTERED.into_iter().filter(|protocol| reading.enters(*protocol));
    let plans = plans.filter_map(|protocol| reading.plan(protocol).ok());
    match plans.map(|plan| cmdline::limit(plan.protocol, plan.linux)).max() {
        Some(limit) if text.len() > limit => {
            Err(BuildError::Cmdline(CmdlineError::TooLong { limit, found: text.len() }))
        }
        _ => Ok(()),
    }
}

impl Request {
    /// A request for the kernel alone, everything else as it is by default.
    pub fn new(kernel_name: impl Into<String>, elf: Vec<u8>) -> Self {
        Self {
            kernel_name: kernel_name.into(),
            elf,
            cmdline: None,
            modules: Vec::new(),
            measured: false,
            settings: Settings::default(),
            decisions: Decisions::default(),
            locked: false,
            allowed: Vec::new(),
        }
    }

    /// Makes the pack; the same request gives the same bytes on every machine. Refused is what stage0 would refuse.
    pub fn build(self, progress: Progress<'_>) -> Result<Built, BuildError> {
        if let Some(text) = &self.cmdline {
            cmdline::check_pack(text).map_err(BuildError::Cmdline)?;
        }
        let reading = Reading::of(&self.elf, &self.decisions)?;
        check_fits(&reading, self.cmdline.as_deref().unwrap_or_default())?;
        let cuts = Kernel::cuts(&mut SliceFile(&self.elf)).map_err(Refusal::Read)?;
        let cuts = cuts.iter().flat_map(|range| [range.offset(), range.end()]);
        let pieces = cut::pieces(self.elf.len() as u64, cuts);
        let (sha256, frames) = thread::scope(|scope| {
            let sha256 = scope.spawn(|| Sha256::digest(&self.elf));
            let frames = compress::frames(&self.elf, &pieces, self.settings, progress);
            (sha256.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), frames)
        });
        let modules = self.modules.into_iter();
        let content = PackContent {
            kernel: EncodedKernel { name: self.kernel_name, sha256: sha256.into(), frames: frames? },
            cmdline: self.cmdline,
            modules: modules.map(|module| EncodedModule { name: module.name, content: module.content }).collect(),
            measured: self.measured,
            decisions: reading.decisions,
            locked: self.locked,
            allowed: self.allowed,
        };
        let pack = content.encode().map_err(BuildError::Format)?;
        let manifest = Manifest::parse(&pack, pack.len() as u64).map_err(BuildError::Format)?;
        framed::read(&manifest, &pack).map_err(BuildError::Cut)?;
        Ok(Built { pack, reading })
    }
}
