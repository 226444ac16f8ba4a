//! Wakes whoever waits for work to appear: intake rings it after a commit, the worker after outcomes.
//!
//! Rings coalesce, and a ring between two waits is not lost. A missed ring (another process's, say) only costs the poll
//! interval, because listeners never wait longer than they say. Rejected: `tokio::sync::Notify`, which wakes one waiter
//! for good or all that happen to be waiting; here every listener must hear every ring once.

use std::time::Duration;

use tokio::sync::watch;

/// The ringing side; clones ring the same bell.
#[derive(Clone, Debug)]
pub struct Bell(watch::Sender<u64>);

/// One who listens.
#[derive(Clone, Debug)]
pub struct Listener(watch::Receiver<u64>);

impl Bell {
    /// A bell nobody has rung.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Rings; never waits.
    pub fn ring(&self) {
        self.0.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// A listener that hears rings from now on.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl Listener {
    /// Waits for a ring since the last call, at most `at_most`. True when it rang. Cancel-safe.
    pub async fn heard(&mut self, at_most: Duration) -> bool {
        match tokio::time::timeout(at_most, self.0.changed()).await {
            Ok(Ok(())) => true,
            Ok(Err(_gone)) => {
                // Nobody is left who could ring; polling goes on at its pace.
                tokio::time::sleep(at_most).await;
                false
            }
            Err(_elapsed) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_listener_hears_rings_once_and_early_ones_too() {
        let bell = Bell::new();
        let (mut a, mut b) = (bell.listen(), bell.listen());
        bell.ring();
        bell.ring();
        for listener in [&mut a, &mut b] {
            assert!(listener.heard(Duration::from_secs(1)).await);
            assert!(!listener.heard(Duration::from_secs(1)).await);
        }
    }
}
