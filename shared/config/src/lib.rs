#![doc = include_str!("../README.md")]

mod broker_url;
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

pub use broker_url::BrokerUrl;
pub use config::Config;
pub use edit::{NewBackend, add_backend};
pub use error::{ConfigError, Problem};
pub use secret::Secret;
pub use sections::{
    ApiConfig, BackendConfig, BackendKind, DatabaseConfig, HealthConfig, PushConfig, QueueConfig,
    RetryConfig, S3Config, StagingConfig, StagingKind, TelemetryConfig, ValidatorConfig, WorkerConfig,
};
