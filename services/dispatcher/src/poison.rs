//! Puts the rows of poisoned messages right: a job whose message was thrown away is due at once, not at its deadline.
//!
//! Why the broker gave up is logged and not kept with the row: it says something about workers, or about whoever else writes
//! to the broker, but nothing about the object or its store, whose errors the row is for.

use std::sync::Arc;

use async_trait::async_trait;
use n2s_catalog::{Catalog, Ticket};
use n2s_queue::{Bell, PoisonHandler, Poisoned};
use n2s_telemetry::metrics::families;

/// See the module.
#[derive(Debug)]
pub struct PoisonDesk {
    catalog: Arc<dyn Catalog>,
    bell: Bell,
}

impl PoisonDesk {
    /// Writes to `catalog`, and rings when a job became due.
    pub fn new(catalog: Arc<dyn Catalog>, bell: Bell) -> Self {
        Self { catalog, bell }
    }
}

#[async_trait]
impl PoisonHandler for PoisonDesk {
    async fn poisoned(&self, poisoned: Poisoned) -> anyhow::Result<()> {
        let Poisoned { backend, message, reason } = poisoned;
        // Whose queue it was is in the log: here anybody who writes to the broker could make up names.
        families::POISONED.with([]).increment();
        match message {
            Ok(message) => {
                let ticket = Ticket { job: message.job, dispatch_seq: message.dispatch_seq };
                self.catalog.unpublish(&[ticket]).await?;
                tracing::warn!(
                    job.id = %ticket.job, job.dispatch_seq = ticket.dispatch_seq, backend.name = backend, reason,
                    "the broker gave up on a message; its job is due again"
                );
                self.bell.ring();
            }
            // If a job was meant, its deadline brings it back.
            Err(error) => {
                tracing::warn!(backend.name = backend, reason, %error, "no message of ours; thrown away");
            }
        }
        Ok(())
    }
}
