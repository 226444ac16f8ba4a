#![doc = include_str!("../README.md")]

mod dispatcher;
mod folder;
mod report;
mod sweeper;
mod window;

pub use dispatcher::{Dispatcher, DispatcherDeps, DispatcherSettings};
pub use folder::Folder;
pub use sweeper::{Sweeper, SweeperDeps, SweeperSettings};
