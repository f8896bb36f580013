//! Verify, decode, place: how a packed kernel gets where it runs.
//!
//! Nothing here knows in what kind of domain it runs, or where stored bytes come from.

mod decode;
mod error;
mod frames;
mod hash;
mod head;
mod memory;
mod place;
mod relocate;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod timing;

pub use decode::{DecodeError, decode};
pub use error::LoadError;
pub use head::PackedFile;
pub use memory::Memory;
pub use place::{place, verify_member};
pub use relocate::relocate;
pub use source::{Ramdisk, Source};
pub use timing::{Clock, Cost, Meter, Phase};
