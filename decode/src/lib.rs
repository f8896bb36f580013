//! The decoders of a pack's frames: the same on the host and in the guest, so that a frame has one content.
//!
//! They write straight into the content's place, read what they repeat from there, and allocate nothing. What they are given is
//! hostile: whatever it is, they end, write nothing beyond the content, and return an [`zstd::FrameError`] or [`lz4::BlockError`] unless it is
//! exactly one frame of exactly that much content. After an error the content is undefined.
//!
//! All of it is safe Rust but for the file `fast.rs`, which does what most of the time goes into. It takes only steps whose reads
//! and writes are far from every limit; the others are left to the safe code around it.
#![no_std]
#![deny(unsafe_code)]

mod bits;
#[allow(unsafe_code, reason = "the loops that nearly all of the time goes into")]
mod fast;
pub mod lz4;
mod path;
mod repeat;
#[cfg(test)]
mod tests;
pub mod zstd;

#[cfg(test)]
extern crate std;

pub use path::Path;
