//! The host side of mstrap: opens kernels, writes packs, looks into them.
#![forbid(unsafe_code)]

pub mod advice;
pub mod build;
pub mod check;
pub mod compress;
pub mod cut;
pub mod decode;
pub mod diff;
pub mod domain;
pub mod explain;
pub mod extract;
pub mod foreign;
pub mod framed;
pub mod identity;
pub mod image;
pub mod info;
pub mod input;
pub mod key;
pub mod layout;
pub mod measurements;
pub mod need;
pub mod open;
pub mod output;
pub mod reading;
mod relocated;
pub mod stage0;
pub mod visible;
pub mod xl;
