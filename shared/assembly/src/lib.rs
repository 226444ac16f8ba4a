#![doc = include_str!("../README.md")]

mod api;
mod backend;
mod bucket;
mod catalog;
mod check;
mod engine;
mod error;
mod fleet;
mod health;
mod home;
mod node;
mod offices;
mod parts;
mod push_lock;
mod queue;
mod reception;
mod seat;
mod service;
mod station;
mod traces;
mod validation;
mod vitals;

pub use api::ApiServer;
pub use backend::{add_local_backend, add_s3_backend, default_store_path};
pub use catalog::migrate;
pub use check::check;
pub use engine::{Engine, EngineRole};
pub use error::AssemblyError;
pub use home::Home;
pub use n2s_intake::{CatchUp, CaughtUp, Outrun};
pub use node::Node;
pub use push_lock::PushLock;
pub use reception::Reception;
pub use service::{Role, Service};
pub use traces::collect_traces;
pub use validation::Validation;
