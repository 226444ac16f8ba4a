//! The sections, one file per noun.

mod backend;
mod push;
mod queue;
mod staging;
mod validator;

pub use backend::{BackendConfig, BackendKind, RetryConfig};
pub use push::PushConfig;
pub use queue::QueueConfig;
pub use staging::StagingConfig;
pub use validator::ValidatorConfig;
