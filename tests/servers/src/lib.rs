#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod collector;
mod daemon;
pub mod garage;
mod postgres;
#[cfg(feature = "proxy")]
mod proxy;
mod rabbitmq;
mod rabbitmq_cluster;
pub mod rgw;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "s3")]
pub mod s3_faulty;
#[cfg(feature = "s3")]
pub mod s3_scripted;

pub use collector::{Collected, Collector};
pub use daemon::{Daemon, find, free_port};
pub use postgres::Postgres;
#[cfg(feature = "proxy")]
pub use proxy::Proxy;
pub use rabbitmq::{RabbitMq, Vhost};
pub use rabbitmq_cluster::RabbitCluster;
