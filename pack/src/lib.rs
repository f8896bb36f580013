//! The host side of mstrap: opens kernels, writes packs, looks into them.
#![forbid(unsafe_code)]

pub mod build;
pub mod compress;
mod cut;
pub mod explain;
pub mod image;
pub mod info;
pub mod input;
mod need;
pub mod open;
pub mod output;
pub mod reading;
pub mod stage0;
