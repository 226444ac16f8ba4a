//! The file system as n2s sees it: a root directory, and paths of bytes below it.
//!
//! Everything is relative to an open root, never to a path string: a path may be longer than the kernel takes at once, and
//! nothing may be followed out of the root by way of a link somebody put there.

mod ignore;
mod listing;
mod named;
mod root;
mod stat;
mod walk;

pub use ignore::{Excludes, InvalidPattern};
pub use named::walk_named;
pub use root::Root;
pub use stat::{Identity, Kind, Stat};
pub use walk::{WalkOptions, Walked, walk};
