//! Messages that a broker gave up on: handed to whoever can put their rows right.

use std::fmt;

use async_trait::async_trait;

use crate::message::{InvalidMessage, Message};

/// A message the broker gave up on.
#[derive(Clone, Debug)]
pub struct Poisoned {
    /// The store it was for, as the message's address says; anybody who reaches the broker can have written it.
    pub backend: String,
    /// What it says.
    pub message: Result<Message, InvalidMessage>,
    /// Why, in the broker's words: `delivery_limit`, `rejected`.
    pub reason: String,
}

/// Puts the rows of poisoned messages right.
#[async_trait]
pub trait PoisonHandler: fmt::Debug + Send + Sync + 'static {
    /// Deals with one. An error keeps the message, and it is tried again; so it may come more than once.
    async fn poisoned(&self, poisoned: Poisoned) -> anyhow::Result<()>;
}
