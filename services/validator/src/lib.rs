#![doc = include_str!("../README.md")]

mod budget;
mod check;
mod continuous;
mod dataset;
mod deps;
mod identity;
mod keys;
mod plan;
mod report;
mod step;

pub use continuous::{Validator, ValidatorSettings};
pub use dataset::{Progress, Request, validate};
pub use deps::{StoreDeps, ValidatorDeps};
pub use report::{FOUND_MAX, Found, Report, StoreReport, What};
