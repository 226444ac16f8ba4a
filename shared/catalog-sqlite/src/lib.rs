#![doc = include_str!("../README.md")]

mod audit;
mod backends;
mod completion;
mod connect;
mod decode;
mod error;
mod jobs;
mod library;
mod manifests;
mod operate;
mod placing;
mod pushes;
mod staging;
mod syncing;
mod tokens;
mod validation;
mod vaults;

pub use connect::SqliteCatalog;

impl n2s_catalog::Catalog for SqliteCatalog {}
