//! Pulling a version: pages of the tree in path order, files fetched and written several at a time, directories' own metadata
//! last.
//!
//! Every write is relative to an open directory that was reached without following a link, so nothing is ever written outside
//! the target, whatever a manifest or somebody in the target has planted. A file appears under its name only when it is whole.

mod large;
mod options;
mod passed_over;
mod restore;
mod run;
mod select;
mod stretches;
mod target;
mod writing;

pub use options::{PullDeps, PullError, PullOptions, PullProgress, PullReport, SilentPull};
pub use passed_over::PassedOver;
pub use run::pull;
pub use select::Selection;
