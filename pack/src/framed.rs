//! Whether a pack's frames are cut so that stage0 can look at the kernel in them, and put its parts where they go.

use shared::format::Manifest;
use shared::kernel::{Kernel, KernelFile, Plan, SliceFile};
use shared::memory::{FileRange, VIEW_LEN};

/// Why stage0 could not load a kernel from frames that are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// A frame holds bytes both of what goes to one place and of something else.
    #[error(
        "frame is cut wrongly: frame {index}, expected it within or outside of file range {range}, found both: pack the kernel again"
    )]
    Straddles {
        /// Its number.
        index: usize,
        /// The bytes in the file that go to one place.
        range: FileRange,
    },
    /// A part of the file that a plan needs cannot be looked at without decoding much else.
    #[error(
        "frames are cut wrongly: file range {wanted}, expected it in frames of {VIEW_LEN} bytes at most, found larger: pack the kernel again"
    )]
    View {
        /// The part.
        wanted: FileRange,
    },
}

/// Looks at the frames of `manifest`, of the kernel in `elf`, as stage0 does for `plan`.
pub(crate) fn check(manifest: &Manifest<'_>, elf: &[u8], plan: &Plan) -> Result<(), CutError> {
    let mut file = Framed { manifest, file: SliceFile(elf), refused: None };
    // What else keeps the kernel from being read has been found before.
    let read = Kernel::read(&mut file);
    if let (Err(_), Some(wanted)) = (read, file.refused) {
        return Err(CutError::View { wanted });
    }
    let symbols = plan.symbols.iter().flat_map(|symbols| [symbols.symbols, symbols.strings]);
    for range in plan.placements.iter().map(|placement| placement.file).chain(symbols) {
        let outside = |content: FileRange| content.offset() < range.offset() || content.end() > range.end();
        if let Some(frame) = manifest.frames_of(range).find(|frame| outside(frame.content)) {
            return Err(CutError::Straddles { index: frame.index, range });
        }
    }
    Ok(())
}

/// A kernel's file of which no more can be seen at a time than stage0 decodes.
struct Framed<'a> {
    manifest: &'a Manifest<'a>,
    file: SliceFile<'a>,
    /// What was asked for and would take more.
    refused: Option<FileRange>,
}

impl KernelFile for Framed<'_> {
    type Error = ();

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn view(&mut self, range: FileRange) -> Result<&[u8], ()> {
        let decoded: u64 = self.manifest.frames_of(range).map(|frame| frame.content.len()).sum();
        if decoded > VIEW_LEN {
            self.refused = Some(range);
            return Err(());
        }
        self.file.view(range).map_err(drop)
    }
}
