#![doc = include_str!("../README.md")]

mod bell;
#[cfg(feature = "conformance")]
pub mod conformance;
mod embedded;
mod error;
mod message;
mod queue;

pub use bell::{Bell, Listener};
pub use embedded::EmbeddedQueue;
pub use error::{QueueError, QueueErrorKind};
pub use message::{InvalidMessage, Message, Traceparent};
pub use queue::{Consumer, Delivery, Queue, Receipt};
