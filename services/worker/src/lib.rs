#![doc = include_str!("../README.md")]

mod attendance;
mod deps;
mod doubts;
mod failure;
mod finisher;
mod health;
mod lane;
mod ledger;
mod manifests;
mod meters;
mod presence;
mod prober;
mod ready;
mod slots;
mod sources;
mod store;
mod traces;
mod uploads;
mod verdicts;
mod worker;

pub use attendance::Attendance;
pub use deps::{StoreDeps, WorkerDeps, WorkerSettings};
pub use worker::Worker;
