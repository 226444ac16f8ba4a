//! Places of a lane: claimed first, under way when the limit allows it, free when dropped.
//!
//! Whoever was claimed first begins first. What waits here is woken also when nothing may go to the store any more: it is handed back then,
//! instead of waiting behind what hangs.

use std::sync::Arc;
use std::time::Duration;

use super::StoreHealth;

/// Objects held: they wait for their turn, then are under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct Slots {
    health: Arc<StoreHealth>,
    objects: u32,
    bound: bool,
    /// Since when they are under way.
    began: Option<Duration>,
}

impl Slots {
    pub(super) fn new(health: &Arc<StoreHealth>, objects: u32, bound: bool) -> Self {
        Self { health: Arc::clone(health), objects, bound, began: None }
    }

    /// Some of them, to begin and to be free by themselves. Before they begin.
    pub(crate) fn take(&mut self, objects: usize) -> Self {
        let objects = u32::try_from(objects).unwrap_or(u32::MAX).min(self.objects);
        self.objects -= objects;
        Self { health: Arc::clone(&self.health), objects, bound: self.bound, began: self.began }
    }

    /// Waits until they may be under way, in the order of asking. False where nothing may go to the store, or nothing for a while. Cancel-safe.
    pub(crate) async fn begin(&mut self) -> bool {
        let _turn = self.health.turn.lock().await;
        while self.began.is_none() {
            let ended = self.health.ended.notified();
            {
                let mut inner = self.health.lock();
                if !inner.admits() || inner.rest().is_some() {
                    return false;
                }
                self.began = inner.begin(self.objects, self.bound);
            }
            if self.began.is_none() {
                ended.await;
            }
        }
        true
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.objects == 0 {
            return;
        }
        let mut inner = self.health.lock();
        if let Some(began) = self.began {
            let now = inner.epoch.elapsed();
            inner.limit.ended(self.objects, now);
            inner.ahead.worked(now.saturating_sub(began));
        } else {
            inner.waiting = inner.waiting.saturating_sub(self.objects);
        }
        drop(inner);
        self.health.changed.notify_one();
        self.health.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::{SeededEntropy, Timestamp};

    use super::*;

    async fn soon<T>(work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(5), work).await.ok()
    }

    #[tokio::test]
    async fn no_more_begin_than_the_limit_allows_and_in_the_order_of_asking() {
        let health = Arc::new(StoreHealth::new((2, 2), 1));
        let mut slots = health.occupy(5, true);
        let [mut a, mut b, mut c, mut d] = [1; 4].map(|n| slots.take(n));
        assert!(a.begin().await && b.begin().await);
        {
            let mut waiting = std::pin::pin!(c.begin());
            assert_eq!(soon(&mut waiting).await, None);
            assert_eq!(soon(d.begin()).await, None);
            assert_eq!(health.in_flight(), 2);
            drop(a);
            assert_eq!(soon(d.begin()).await, None, "it asked later");
            assert_eq!(soon(waiting).await, Some(true));
        }
        drop((b, slots));
        assert_eq!(soon(d.begin()).await, Some(true));
        drop((c, d));
        assert!(health.is_idle());
    }

    #[tokio::test]
    async fn what_waits_leaves_when_nothing_may_go_any_more() {
        let (health, entropy) = (Arc::new(StoreHealth::new((1, 1), 1)), SeededEntropy::new(1));
        let mut slots = health.occupy(3, true);
        let [mut hangs, mut a, mut b] = [1; 3].map(|n| slots.take(n));
        assert!(hangs.begin().await);
        let mut waiting = std::pin::pin!(async { (a.begin().await, b.begin().await) });
        assert_eq!(soon(&mut waiting).await, None);
        let now = Timestamp::from_micros(0);
        while !health.is_open() {
            health.faulted(now, &entropy);
        }
        assert_eq!(soon(waiting).await, Some((false, false)));
    }

    #[tokio::test]
    async fn what_is_larger_than_the_limit_goes_by_itself() {
        let health = Arc::new(StoreHealth::new((2, 2), 1));
        let mut slots = health.occupy(4, true);
        let (mut one, mut large) = (slots.take(1), slots.take(3));
        assert!(one.begin().await);
        assert_eq!(soon(large.begin()).await, None);
        drop(one);
        assert_eq!(soon(large.begin()).await, Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_refuses_everything_is_left_alone_and_asked_again() {
        let health = Arc::new(StoreHealth::new((1, 1), 1));
        let mut slots = health.occupy(2, true);
        let (mut one, mut ahead) = (slots.take(1), slots.take(1));
        assert!(one.begin().await);
        let began = tokio::time::Instant::now();
        while health.rest().is_none() {
            assert!(began.elapsed() < Duration::from_secs(30), "it is asked on and on");
            health.throttled(None);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(soon(ahead.begin()).await, Some(false), "what was claimed ahead is handed back");
        drop((one, ahead));
        assert_eq!(soon(health.free()).await, Some(None), "nothing more is claimed");
        assert!(health.allowance().why.contains("resting"), "{}", health.allowance().why);
        health.open_again().await;
        assert_eq!(health.free().await, Some(1), "asked again after a while, although nobody says so");
        health.throttled(None);
        health.succeeded(1);
        assert_eq!(soon(health.free()).await, Some(Some(1)), "it took something");
    }
}
