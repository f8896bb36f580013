//! What there is to say about a pack, for people and, as JSON, for programs.

mod contents;

mod kernel;

use serde::Serialize;
use shared::memory::Builder;

pub use contents::{Cmdline, Contents, Decided, FrameInfo, MemberInfo, Signature};
pub use kernel::{
    KernelInfo, MemoryInfo, NoteInfo, NotesInfo, PlanInfo, ProtocolInfo, RangeInfo, RelocationInfo, SegmentInfo,
};

use crate::identity::Identity;
use crate::image::{Image, ImageCause};
use crate::layout::Layout;
use crate::reading::{ENTERED, Reading};

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
    /// The memory of domains in which it is started, for each protocol that stage0 enters kernels by, and each builder.
    pub layouts: Vec<Layout>,
}

impl Info {
    /// Looks at every byte of `image`, and at what `stage0`, an image, makes of it in domains of `memory` bytes, or of a
    /// usual size.
    pub fn of(image: &Image<'_>, stage0: &[u8], memory: Option<u64>) -> Result<Self, ImageCause> {
        let elf = image.check()?;
        let (contents, manifest) = (Contents::of(image)?, &image.manifest);
        let reading = match Reading::of(&elf, manifest.decisions()) {
            Ok(reading) => reading,
            Err(refusal) => {
                return Ok(Self { contents, kernel: None, refused: Some(refusal.to_string()), layouts: Vec::new() });
            }
        };
        let kernel = KernelInfo::of(&reading, Identity::of(&elf), stage0, manifest);
        let entered = ENTERED.iter().filter(|protocol| reading.enters(**protocol));
        let plans = entered.filter_map(|protocol| reading.plan(*protocol).ok());
        let layouts = plans.flat_map(|plan| {
            [Builder::Xen, Builder::Qemu].map(|builder| Layout::of(&reading, &plan, stage0, manifest, builder, memory))
        });
        Ok(Self { contents, layouts: layouts.collect(), kernel: Some(kernel), refused: None })
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
