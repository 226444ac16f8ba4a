//! Batches on their way to the queue, while the next one is being marked.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio_util::sync::CancellationToken;

/// Batches of a store that are sent at once. With more of them, a broker that does not answer would have more jobs marked for nothing.
const SENDING_MAX: usize = 4;

/// See the module.
#[derive(Default)]
pub(crate) struct Sending<'a> {
    batches: FuturesUnordered<BoxFuture<'a, bool>>,
    refused: bool,
}

impl<'a> Sending<'a> {
    pub(crate) fn add(&mut self, batch: BoxFuture<'a, bool>) {
        self.batches.push(batch);
    }

    /// Does `work`; batches go on meanwhile.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(taken) = self.batches.next() => self.refused |= !taken,
            }
        }
    }

    /// Waits until another batch may be sent. False when the queue refused something since the last time: it is not to be asked again at once.
    pub(crate) async fn room(&mut self) -> bool {
        while self.batches.len() >= SENDING_MAX {
            if let Some(taken) = self.batches.next().await {
                self.refused |= !taken;
            }
        }
        !std::mem::take(&mut self.refused)
    }

    /// Waits for all of them.
    pub(crate) async fn all(mut self) {
        while self.batches.next().await.is_some() {}
    }
}

/// Tries until it succeeds, with a pause in between; not again after `shutdown`.
pub(crate) async fn insist<T: Future<Output = bool>>(
    mut attempt: impl FnMut() -> T,
    pause: Duration,
    shutdown: &CancellationToken,
) {
    while !attempt().await {
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn batches_go_on_beside_work_and_only_a_few_at_once() {
        let (sent, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let batch = |taken: bool| {
            let (sent, gate) = (Arc::clone(&sent), Arc::clone(&gate));
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                sent.fetch_add(1, Ordering::SeqCst);
                taken
            })
        };
        let mut sending = Sending::default();
        for n in 0..SENDING_MAX {
            sending.add(batch(n > 0));
        }
        gate.add_permits(1);
        let work = async {
            while sent.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        };
        sending.beside(work).await;
        assert!(!sending.room().await, "the first was refused");
        assert!(sending.room().await, "and is forgotten");
        sending.add(batch(true));
        gate.add_permits(1);
        assert!(sending.room().await);
        assert_eq!(sent.load(Ordering::SeqCst), 2, "room is made by one that has ended");
        gate.add_permits(SENDING_MAX);
        sending.all().await;
        assert_eq!(sent.load(Ordering::SeqCst), 1 + SENDING_MAX);
    }

    #[tokio::test]
    async fn what_fails_is_tried_until_it_succeeds_or_the_end() {
        let (tried, shutdown) = (AtomicUsize::new(0), CancellationToken::new());
        let try_once = |enough: usize| {
            let done = tried.fetch_add(1, Ordering::SeqCst) + 1 == enough;
            async move { done }
        };
        insist(|| try_once(3), Duration::from_millis(1), &shutdown).await;
        assert_eq!(tried.swap(0, Ordering::SeqCst), 3);
        shutdown.cancel();
        insist(|| try_once(3), Duration::from_hours(1), &shutdown).await;
        assert_eq!(tried.load(Ordering::SeqCst), 1, "once, in any case");
    }
}
