//! Whether a worker hears its queues: for readiness, and so that an outage is told of once and not at every attempt.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::Store;

/// One lane's ear.
#[derive(Debug)]
pub(crate) struct Hearing(Mutex<Ear>);

#[derive(Debug)]
struct Ear {
    trouble: Option<String>,
    /// Whether somebody has said so.
    told: bool,
}

impl Default for Hearing {
    fn default() -> Self {
        let trouble = Some("it has not begun to consume".to_owned());
        Self(Mutex::new(Ear { trouble, told: false }))
    }
}

impl Hearing {
    /// It has a consumer; says whether that is news.
    pub(crate) fn gained(&self) -> bool {
        let mut ear = self.lock();
        ear.told = false;
        ear.trouble.take().is_some()
    }

    /// It has none, and why; says whether that is to be told.
    pub(crate) fn lost(&self, why: String) -> bool {
        let mut ear = self.lock();
        ear.trouble = Some(why);
        !std::mem::replace(&mut ear.told, true)
    }

    /// Whether it has a consumer.
    pub(crate) fn hears(&self) -> bool {
        self.lock().trouble.is_none()
    }

    fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Ear> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}

/// A worker's lanes, to be asked from outside.
#[derive(Clone, Debug)]
pub struct Attendance(pub(crate) Vec<Arc<Store>>);

impl Attendance {
    /// Why some lanes do not hear their queue, a line for each. Those whose store is paused or away want to hear nothing.
    pub fn absences(&self) -> Vec<String> {
        let wanted = self.0.iter().filter(|store| store.health.admits());
        let absent = wanted.filter_map(|store| Some((&store.deps.name, store.hearing.trouble()?)));
        absent.map(|(name, why)| format!("the queue of {name}: {why}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_of_once() {
        let hearing = Hearing::default();
        assert!(hearing.trouble().is_some(), "it hears before it has begun");
        assert!(hearing.lost("down".to_owned()) && !hearing.lost("still".to_owned()));
        assert_eq!(hearing.trouble().as_deref(), Some("still"));
        assert!(hearing.gained() && !hearing.gained() && hearing.trouble().is_none());
        assert!(hearing.lost("down".to_owned()));
    }
}
