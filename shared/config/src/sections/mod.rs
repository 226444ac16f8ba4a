//! The sections, one file per noun.

mod backend;
mod push;
mod staging;
mod validator;

pub use backend::{BackendConfig, BackendKind, RetryConfig};
pub use push::PushConfig;
pub use staging::StagingConfig;
pub use validator::ValidatorConfig;
