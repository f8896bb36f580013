//! Looks into a pack: checks every hash in it and gives back what went in.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use shared::format::{Codec, FormatError, Frame, MAGIC, MAX_MANIFEST_LEN, Manifest, Member};
use shared::memory::FileRange;
use stage0::load::DecodeError;

use crate::decode::{self, NoContent};
use crate::input::{self, Input, InputCause};
use crate::open::MAX_KERNEL;

/// Most bytes that a pack may have: 4 GiB. stage0 takes one only from below there, where all of it has to lie.
pub const MAX_PACK: u64 = 4 << 30;

/// A pack in memory.
pub struct Image<'a> {
    bytes: &'a [u8],
    /// Its manifest.
    pub manifest: Manifest<'a>,
}

/// A pack that could not be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct ImageError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub cause: ImageCause,
}

/// What is wrong with a pack.
#[derive(Debug, thiserror::Error)]
pub enum ImageCause {
    /// There are no bytes to look at.
    #[error(transparent)]
    Input(#[from] InputCause),
    /// The manifest is none.
    #[error("{0}")]
    Format(FormatError),
    /// A frame's stored bytes are not those that the manifest names.
    #[error("frame {index}: its bytes are not those that the manifest names: make the pack again")]
    FrameHash {
        /// Its number.
        index: usize,
    },
    /// A frame is what the manifest names, but stage0 does not decode it.
    #[error("frame does not decode: frame {index} ({}), {cause}: the pack was made by a faulty program", codec.name())]
    FrameContent {
        /// Its number.
        index: usize,
        /// Its codec.
        codec: Codec,
        /// Why not.
        cause: DecodeError,
    },
    /// A frame's content is not what the frame's own checksum is of. stage0, which does not compare that, would start it.
    #[error(
        "is not what it says: frame {index} ({}), expected content with the frame's checksum, found other: do not start it, for no \
         packer makes such a frame by mistake",
        codec.name()
    )]
    FrameChecksum {
        /// Its number.
        index: usize,
        /// Its codec.
        codec: Codec,
    },
    /// Two decoders do not make the same of a frame. stage0 would start it.
    #[error(
        "is not what it says: frame {index} ({}), expected {expected} bytes on which two decoders agree, found none: do not start it, \
         for no packer makes such a frame by mistake",
        codec.name()
    )]
    Disputed {
        /// Its number.
        index: usize,
        /// Its codec.
        codec: Codec,
        /// Bytes that it should give.
        expected: u64,
    },
    /// Content that is stored as the manifest names it has another SHA-256. stage0, which does not compare that, would start it.
    #[error(
        "is not what it says: member {name:?}, expected content with the manifest's SHA-256, found other: do not start it, for its \
         measurements name other content"
    )]
    ContentHash {
        /// Its name.
        name: String,
    },
    /// A member's bytes are not those that the manifest names.
    #[error("member {name:?}: its bytes are not those that the manifest names: make the pack again")]
    MemberHash {
        /// Its name.
        name: String,
    },
    /// stage0 takes no other.
    #[error("its command line is no text: expected UTF-8 without NUL, found other: make the pack again, with another")]
    CmdlineText,
    /// More than any domain can start.
    #[error("is a pack of {len} bytes, more than the {MAX_PACK} that a domain could start: make it of less")]
    PackTooLarge {
        /// Bytes of the pack.
        len: u64,
    },
    /// More than this program keeps in memory.
    #[error("its kernel has {len} bytes, more than the {MAX_KERNEL} that are taken")]
    KernelTooLarge {
        /// Bytes of the ELF file.
        len: u64,
    },
}

/// Reads the pack in the file at `path`, for [`Image::parse`]. What follows the pack in the file is left out.
pub fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    try_read(path).map_err(|cause| ImageError { path: path.to_owned(), cause })
}

/// Reads the manifest first: how long the file is says nothing about a pack.
fn try_read(path: &Path) -> Result<Vec<u8>, ImageCause> {
    let input = Input::open(path)?;
    let manifest = input.start(MAX_MANIFEST_LEN)?;
    let len = Manifest::parse(&manifest, input.len()).map_err(ImageCause::Format)?.pack_len();
    if len > MAX_PACK {
        return Err(ImageCause::PackTooLarge { len });
    }
    Ok(input.start(len)?)
}

/// Whether the file at `path` begins as a pack does.
pub fn is_pack(path: &Path) -> Result<bool, ImageError> {
    let start = Input::open(path).and_then(|input| input.start(MAGIC.len() as u64));
    let start = start.map_err(|cause| ImageError { path: path.to_owned(), cause: cause.into() })?;
    Ok(start == MAGIC)
}

impl<'a> Image<'a> {
    /// Reads the manifest. Nothing else is looked at yet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageCause> {
        let manifest = Manifest::parse(bytes, bytes.len() as u64).map_err(ImageCause::Format)?;
        Ok(Self { bytes, manifest })
    }

    /// All of its bytes.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The stored bytes in `range`, which the manifest has found to lie in the pack.
    pub fn stored(&self, range: FileRange) -> &'a [u8] {
        let end = usize::try_from(range.end()).unwrap_or(usize::MAX);
        usize::try_from(range.offset()).ok().and_then(|start| self.bytes.get(start..end)).unwrap_or(&[])
    }

    /// The content of a command line or module, its hashes checked.
    pub fn content(&self, member: &Member<'a>) -> Result<&'a [u8], ImageCause> {
        let stored = self.stored(member.stored);
        if !member.verify(stored) {
            return Err(ImageCause::MemberHash { name: member.name.to_owned() });
        }
        compare(member, stored)?;
        Ok(stored)
    }

    /// The pack's own command line, its hashes checked, as stage0 takes it.
    pub fn cmdline(&self) -> Result<Option<&'a str>, ImageCause> {
        let Some(member) = self.manifest.cmdline() else { return Ok(None) };
        let text = str::from_utf8(self.content(&member)?).ok().filter(|text| !text.contains('\0'));
        text.map(Some).ok_or(ImageCause::CmdlineText)
    }

    /// Checks every hash in the pack, and that its command line is text. Gives the kernel's ELF file.
    pub fn check(&self) -> Result<Vec<u8>, ImageCause> {
        for member in self.manifest.members().skip(1) {
            self.content(&member)?;
        }
        self.cmdline()?;
        self.kernel()
    }

    /// The kernel's ELF file, decoded, every hash checked.
    pub fn kernel(&self) -> Result<Vec<u8>, ImageCause> {
        let kernel = self.manifest.kernel();
        if kernel.content_len > MAX_KERNEL {
            return Err(ImageCause::KernelTooLarge { len: kernel.content_len });
        }
        let mut elf = input::room(kernel.content_len)?;
        for frame in self.manifest.frames() {
            self.decode(&frame, &mut elf)?;
        }
        compare(&kernel, &elf)?;
        Ok(elf)
    }

    /// Appends a frame's content to `elf`.
    fn decode(&self, frame: &Frame<'_>, elf: &mut Vec<u8>) -> Result<(), ImageCause> {
        let stored = self.stored(frame.stored);
        if !frame.verify(stored) {
            return Err(ImageCause::FrameHash { index: frame.index });
        }
        let (index, codec, expected) = (frame.index, frame.codec, frame.content.len());
        let start = elf.len();
        // At most 2 MiB, as the manifest has found.
        elf.resize(start + usize::try_from(expected).unwrap_or(0), 0);
        decode::frame(codec, stored, &mut elf[start..]).map_err(|why| match why {
            NoContent::Refused(cause) => ImageCause::FrameContent { index, codec, cause },
            NoContent::Checksum => ImageCause::FrameChecksum { index, codec },
            NoContent::Disputed => ImageCause::Disputed { index, codec, expected },
        })
    }
}

/// Compares a member's content with the SHA-256 in the manifest.
fn compare(member: &Member<'_>, content: &[u8]) -> Result<(), ImageCause> {
    if Sha256::digest(content)[..] == member.sha256[..] {
        Ok(())
    } else {
        Err(ImageCause::ContentHash { name: member.name.to_owned() })
    }
}
