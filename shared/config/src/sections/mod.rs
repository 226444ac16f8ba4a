//! The sections, one file per noun.

mod api;
mod backend;
mod database;
mod health;
mod push;
mod queue;
mod s3;
mod staging;
mod telemetry;
mod validator;
mod worker;

pub use api::ApiConfig;
pub use backend::{BackendConfig, BackendKind, RetryConfig};
pub use database::{DatabaseConfig, DatabaseUrl};
pub use health::HealthConfig;
pub use push::PushConfig;
pub use queue::QueueConfig;
pub use s3::S3Config;
pub use staging::{StagingConfig, StagingKind};
pub use telemetry::TelemetryConfig;
pub use validator::ValidatorConfig;
pub use worker::WorkerConfig;
