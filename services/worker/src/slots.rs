//! Places among what a store may have in flight.
//!
//! Where objects go one by one, a lane claims one round more than the limit: a claim is a transaction, perhaps at a server far away, and
//! places that wait for one each time a few of them get free are idle for half of the time where the store is quick. What is claimed ahead
//! waits here, counts for the limit only once it begins, and holds no bytes. Rejected: more claims side by side, each of one
//! or two jobs, which cost the catalog as many transactions as there are objects.
//!
//! Where objects go by the batch there is no such round: a claim is many objects, and begins at once.

use std::sync::Arc;

use crate::health::{StoreHealth, Turn};

/// Places of objects that were claimed; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slots {
    health: Arc<StoreHealth>,
    objects: u32,
    /// Whether the limit, not a lack of work, keeps more from being under way.
    bound: bool,
    begun: bool,
}

impl Slots {
    /// Places for so many, which do not count for the limit yet. `bound` says whether there may be more to do than the permits allow.
    ///
    /// Rejected: to call it bound when nothing more is free now, since what ended during the claim is free again by then.
    pub(crate) fn ahead(health: &Arc<StoreHealth>, objects: usize, bound: bool) -> Self {
        let objects = u32::try_from(objects).unwrap_or(u32::MAX);
        health.reserve(objects);
        Self { health: Arc::clone(health), objects, bound, begun: false }
    }

    /// Some of them, to be free by themselves. Before they begin.
    pub(crate) fn take(&mut self, objects: usize) -> Self {
        let objects = u32::try_from(objects).unwrap_or(u32::MAX).min(self.objects);
        self.objects -= objects;
        Self { health: Arc::clone(&self.health), objects, bound: self.bound, begun: self.begun }
    }

    /// Waits for their turn. False when the store is to get nothing now. Cancel-safe.
    pub(crate) async fn begin(&mut self) -> bool {
        loop {
            let changed = self.health.turns();
            match self.health.turn(self.objects, self.bound) {
                Turn::Now => {
                    self.begun = true;
                    return true;
                }
                Turn::Never => return false,
                Turn::Later => changed.await,
            }
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.objects > 0 {
            self.health.leave(self.objects, self.begun);
        }
    }
}
