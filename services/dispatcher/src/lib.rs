#![doc = include_str!("../README.md")]

mod census;
mod dispatcher;
mod folder;
mod poison;
mod report;
mod sending;
mod sweeper;
mod traces;
mod window;
mod wipes;

pub use dispatcher::{Dispatcher, DispatcherDeps, DispatcherSettings};
pub use folder::Folder;
pub use poison::PoisonDesk;
pub use sweeper::{Sweeper, SweeperDeps, SweeperSettings};
pub use wipes::WipeWatch;
