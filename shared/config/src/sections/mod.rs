//! The sections, one file per noun.

mod backend;
mod push;

pub use backend::{BackendConfig, BackendKind, RetryConfig};
pub use push::PushConfig;
