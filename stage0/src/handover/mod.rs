//! Leaving stage0: one file for each protocol.

mod direct;
mod start_info;

#[cfg(target_os = "none")]
pub mod pv;
#[cfg(target_os = "none")]
pub mod pvh;

pub use direct::write_block;
#[cfg(target_os = "none")]
pub(crate) use start_info::zero_page_end;
pub use start_info::{HandOverError, Module, PvhHandover, write_start_info};
