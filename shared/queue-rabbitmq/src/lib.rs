#![doc = include_str!("../README.md")]

mod address;
mod consumer;
mod error;
mod options;
mod poison;
mod publisher;
mod queue;
mod sentinel;
mod session;
mod settler;
mod supervisor;
mod topology;

pub use error::BrokerError;
pub use options::Options;
pub use queue::RabbitQueue;
pub use topology::{POISON, WORK};
