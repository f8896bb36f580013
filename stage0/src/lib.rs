//! stage0: the loader that a Xen domain builder loads. Inside the guest it finds a pack, verifies it, decodes the kernel
//! into place, and enters it.
//!
//! The modules are in the order of a kernel's way: an entry is jumped to; [`platform`] finds out what it was handed;
//! [`boot`] has the order of things; [`load`] verifies, decodes and places; [`handover`] leaves. Unsafe code is in
//! `entry`, `platform` and `handover` only. What needs no bare machine is compiled and tested on the host.
#![cfg_attr(not(test), no_std)]

pub mod boot;
#[cfg(test)]
mod boot_tests;
#[cfg(test)]
mod collision_tests;
#[cfg(target_os = "none")]
mod entry;
pub mod error;
pub mod handover;
pub mod load;
pub mod platform;
#[cfg(target_os = "none")]
mod start;

#[cfg(target_os = "none")]
pub use start::fail;
