#![doc = include_str!("../README.md")]

mod api;
mod backend;
mod engine;
mod error;
mod home;
mod node;
mod push_lock;

pub use api::ApiServer;
pub use backend::{add_local_backend, default_store_path};
pub use engine::{Engine, EngineRole};
pub use error::AssemblyError;
pub use home::Home;
pub use node::Node;
pub use push_lock::PushLock;
