#![doc = include_str!("../README.md")]

mod closest;
mod config;
mod edit;
mod error;
mod keys;
mod origin;
pub mod reference;
mod rules;
mod schema;
mod secret;
mod sections;
mod tree;

pub use config::Config;
pub use edit::{NewBackend, add_backend};
pub use error::{ConfigError, Problem};
pub use secret::Secret;
pub use sections::{
    BackendConfig, BackendKind, PushConfig, RetryConfig, S3Config, StagingConfig, StagingKind,
};
