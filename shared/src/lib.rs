//! What mstrap's two sides must agree on: `pack` on the host and `stage0` in the guest run this same code, so that what
//! the one shows is what the other does.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod cmdline;
pub mod direct;
mod ed25519;
pub mod format;
mod hash;
pub mod kernel;
pub mod measure;
pub mod memory;
pub mod pv;
pub mod trust;
pub mod visible;
pub mod xen;
