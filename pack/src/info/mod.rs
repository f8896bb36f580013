//! What there is to say about a pack, for people and, as JSON, for programs.

mod contents;

mod kernel;

use serde::Serialize;

pub use contents::{Cmdline, Contents, Decided, FrameInfo, MemberInfo, Signature};
pub use kernel::{
    KernelInfo, MemoryInfo, NoteInfo, NotesInfo, PlanInfo, ProtocolInfo, RangeInfo, RelocationInfo, SegmentInfo,
};

use crate::image::{Image, ImageCause};
use crate::open::linux_banner;
use crate::reading::{Reading, Refusal};

/// All that is known of a pack.
#[derive(Serialize, Debug)]
pub struct Info {
    /// What is in it.
    #[serde(flatten)]
    pub contents: Contents,
    /// What stage0 makes of the kernel.
    pub kernel: Option<KernelInfo>,
    /// Why stage0 will not start it.
    pub refused: Option<String>,
}

impl Info {
    /// Looks at every byte of `image`, and at what `stage0`, an image, makes of it.
    pub fn of(image: &Image<'_>, stage0: &[u8]) -> Result<Self, ImageCause> {
        let contents = Contents::of(image)?;
        let elf = image.kernel()?;
        let read: Result<Reading, Refusal> = Reading::of(&elf, image.manifest.decisions());
        let (kernel, refused) = match read {
            Ok(reading) => (Some(KernelInfo::of(&reading, linux_banner(&elf), stage0, &image.manifest)), None),
            Err(refusal) => (None, Some(refusal.to_string())),
        };
        Ok(Self { contents, kernel, refused })
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
