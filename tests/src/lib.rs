//! What the tests and the demonstration run kernels with.
//!
//! [`apt`] obtains real parts (kernels, QEMU, busybox) from the machine's own package archive without installing anything,
//! [`cache`] keeps them, [`kernels`], [`tools`] and [`initrd`] say what they are, [`probe`] makes kernels of our own, and
//! [`qemu`] runs a [`Machine`] made of them. A part that this machine cannot have is a [`Missing`]: [`trial`] turns it into an
//! ignored test with its reason.

pub mod agreement;
pub mod apt;
pub mod apt_sources;
pub mod cache;
pub mod corpus;
pub mod count;
pub mod debug;
pub mod errors;
mod frames;
pub mod initrd;
pub mod input;
pub mod kernels;
pub mod linux;
pub mod loading;
mod logs;
pub mod machine;
pub mod missing;
pub mod mutated;
pub mod oracle;
pub mod outcome;
pub mod pie;
pub mod probe;
pub mod qemu;
pub mod results;
pub mod stage0;
pub mod stated;
pub mod talk;
pub mod tier2;
pub mod tier4;
pub mod tools;
mod tree;
pub mod trial;
pub mod verified;
pub mod xen;
pub mod xl;

pub use input::Input;
pub use machine::{Board, Machine};
pub use missing::Missing;
pub use outcome::{Exit, Outcome};
