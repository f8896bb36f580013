//! The PV handover: everything around the kernel, its page tables, and the jump.

mod hinge;
mod write;

pub use hinge::{Hinge, enter};
pub use write::write;
