#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon;
mod postgres;
mod rabbitmq;

pub use daemon::{Daemon, find, free_port};
pub use postgres::Postgres;
pub use rabbitmq::{RabbitMq, Vhost};
