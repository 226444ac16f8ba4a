#![doc = include_str!("../README.md")]

mod bell;
#[cfg(feature = "conformance")]
pub mod conformance;
mod embedded;
mod error;
mod memory;
mod message;
mod poison;
mod queue;

pub use bell::{Bell, Listener};
pub use embedded::EmbeddedQueue;
pub use error::{QueueError, QueueErrorKind};
pub use memory::{Memory, Remembers};
pub use message::{InvalidMessage, Message};
pub use poison::{PoisonHandler, Poisoned};
pub use queue::{Consumer, Delivery, Queue, Receipt};
