#![doc = include_str!("../README.md")]

mod audit;
mod backends;
mod cancel;
mod completion;
mod connect;
mod decode;
mod error;
mod gauges;
mod jobs;
mod leader;
mod library;
mod link;
mod manifests;
mod migrate;
mod operate;
mod options;
mod placing;
mod pushes;
mod staging;
mod syncing;
mod tokens;
mod validation;
mod vaults;

pub use connect::PostgresCatalog;
pub use leader::{Leadership, Office};
pub use migrate::migrate;
pub use options::PostgresOptions;

impl n2s_catalog::Catalog for PostgresCatalog {}
