//! A PV domain: what its builder handed over, its frames, its machine.

#[cfg(target_os = "none")]
mod calls;
mod frames;
mod handed;
#[cfg(target_os = "none")]
mod machine;
mod room;
#[cfg(target_os = "none")]
mod tables;

#[cfg(target_os = "none")]
pub use calls::{ByXen, Refused};
pub use frames::{DIRTY, Frames, Mfn, PAGE, PAGE_READ_ONLY, TABLE, Updates, View};
pub use handed::{PvHanded, PvHandedError};
#[cfg(target_os = "none")]
pub use machine::{Pv, set_console};
pub use room::{Place, Room};
