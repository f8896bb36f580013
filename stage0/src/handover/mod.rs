//! Leaving stage0: one file for each protocol.

mod start_info;

#[cfg(target_os = "none")]
pub mod pvh;

pub use start_info::{HandOverError, Module, PvhHandover, write_start_info};
