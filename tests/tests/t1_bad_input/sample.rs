//! The pack that the cases change.

#![expect(clippy::expect_used, reason = "what the sample is made of is known here")]

use std::fs;
use std::sync::OnceLock;

use harness::probe::{self, Content, Extra, Layout};
use harness::trial::Trouble;
use pack::build::{Module, Request};
use shared::format::{EncodedFrame, EncodedKernel, EncodedModule, Frame, Manifest, PackContent};
use shared::memory::{FileRange, MIB};

/// A pack that stage0 does start: a probe with a segment that cannot be compressed, a command line, a module.
pub(crate) struct Sample {
    /// The kernel's ELF file.
    pub(crate) kernel: Vec<u8>,
    /// The pack.
    pub(crate) pack: Vec<u8>,
}

/// The byte in the middle of a range.
pub(crate) fn middle(range: FileRange) -> u64 {
    range.offset() + range.len() / 2
}

impl Sample {
    /// The one that all cases change.
    pub(crate) fn get() -> Result<&'static Self, Trouble> {
        static SAMPLE: OnceLock<Result<Sample, String>> = OnceLock::new();
        let made = SAMPLE.get_or_init(|| Self::make().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|error| Trouble::Failed(error.clone()))
    }

    fn make() -> anyhow::Result<Self> {
        let filler = Extra::whole(20 * MIB, 3 << 20, Content::Noise(1));
        let kernel = fs::read(probe::build(&Layout::at("sample", 16 * MIB).with(filler))?)?;
        let mut request = Request::new("sample", kernel.clone());
        request.cmdline = Some("of the pack".to_owned());
        request.settings.level = 1;
        request.modules =
            vec![Module { name: "module".to_owned(), content: probe::module(100_000, Content::Noise(2)) }];
        let pack = request.build(&|_| ())?.pack;
        Ok(Self { kernel, pack })
    }

    /// Its manifest.
    pub(crate) fn manifest(&self) -> Manifest<'_> {
        Manifest::parse(&self.pack, self.pack.len() as u64).expect("the sample is a pack")
    }

    /// Where the kernel's stored bytes are.
    pub(crate) fn kernel_member(&self) -> FileRange {
        self.manifest().kernel().stored
    }

    /// Where member `n`'s stored bytes are.
    pub(crate) fn member(&self, n: usize) -> FileRange {
        self.manifest().members().nth(n).expect("the sample has a kernel, a command line and a module").stored
    }

    /// Where frame `n`'s stored bytes are.
    pub(crate) fn frame(&self, n: usize) -> FileRange {
        self.manifest().frames().nth(n).expect("the sample has such a frame").stored
    }

    /// The pack's first `len` bytes.
    pub(crate) fn cut(&self, len: u64) -> Vec<u8> {
        self.pack[..len as usize].to_vec()
    }

    /// The pack with another byte at `offset`.
    pub(crate) fn with(&self, offset: u64, byte: u8) -> Vec<u8> {
        let mut pack = self.pack.clone();
        pack[offset as usize] = byte;
        pack
    }

    /// The pack with one bit of the byte at `offset` flipped.
    pub(crate) fn flip(&self, offset: u64) -> Vec<u8> {
        self.with(offset, self.pack[offset as usize] ^ 1)
    }

    /// The pack made anew, with right hashes, of content that `change` was applied to.
    pub(crate) fn encode(&self, change: impl FnOnce(&mut PackContent)) -> Vec<u8> {
        let manifest = self.manifest();
        let bytes = |range: FileRange| self.pack[range.offset() as usize..range.end() as usize].to_vec();
        let frame = |frame: Frame<'_>| EncodedFrame {
            content_len: frame.content.len() as u32,
            codec: frame.codec,
            stored: bytes(frame.stored),
        };
        let kernel = manifest.kernel();
        let mut content = PackContent {
            kernel: EncodedKernel {
                name: kernel.name.to_owned(),
                sha256: *kernel.sha256,
                frames: manifest.frames().map(frame).collect(),
            },
            cmdline: None,
            modules: manifest
                .modules()
                .map(|module| EncodedModule { name: module.name.to_owned(), content: bytes(module.stored) })
                .collect(),
            decisions: *manifest.decisions(),
            locked: manifest.is_locked(),
            measured: false,
            allowed: Vec::new(),
        };
        change(&mut content);
        content.encode().expect("the changed content keeps the format's rules")
    }

    /// The number of the largest frame, which is one of the filler's.
    pub(crate) fn largest_frame(&self) -> usize {
        let frames = self.manifest().frames();
        frames.max_by_key(|frame| frame.stored.len()).map_or(0, |frame| frame.index)
    }
}
