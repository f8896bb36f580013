//! Leaving stage0: one file for each protocol.

mod direct;
mod start_info;

#[cfg(all(target_os = "none", feature = "pv"))]
pub mod pv;
#[cfg(target_os = "none")]
pub mod pvh;

pub use direct::write_block;
#[cfg(all(target_os = "none", feature = "pv"))]
pub(crate) use start_info::zero_page_end;
pub use start_info::{HandOverError, Module, PvhHandover, write_start_info};
