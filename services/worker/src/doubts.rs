//! Staged objects that read back wrong: how often, before this worker believes it.
//!
//! Bytes that changed on their way are whole where they lie, and a staged object is often the only copy of what was acknowledged: giving it up
//! fails the changeset for good. So it is read again in attempts of their own, a pause apart. Rejected: reading it again at once and believing
//! that; whatever garbles one answer garbles the next.

use std::collections::HashMap;
use std::sync::Mutex;

use n2s_catalog::StagedKey;

/// Attempts that must find an object wrong, none in between finding it right.
const ATTEMPTS: u32 = 5;
/// Objects remembered at a time; above it all are forgotten, which costs their jobs some more attempts.
const OBJECTS_MAX: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Mutex<HashMap<StagedKey, u32>>);

impl Doubts {
    /// Notes that an attempt found it wrong, and says whether it is to be believed now.
    pub(crate) fn confirmed(&self, key: StagedKey) -> bool {
        let mut doubts = self.0.lock().expect("no holder of this lock can panic");
        if doubts.len() >= OBJECTS_MAX {
            doubts.clear();
        }
        let attempts = doubts.entry(key).or_default();
        *attempts += 1;
        let confirmed = *attempts >= ATTEMPTS;
        if confirmed {
            doubts.remove(&key);
        }
        confirmed
    }

    /// It was found right after all.
    pub(crate) fn dispelled(&self, key: StagedKey) {
        self.0.lock().expect("no holder of this lock can panic").remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::SealedHash;

    use super::*;

    #[test]
    fn only_what_is_wrong_again_and_again_is_believed() {
        let (doubts, key) = (Doubts::default(), |id| StagedKey {
            sealed_hash: SealedHash::from_slice(&[7; 32]).unwrap(),
            id,
        });
        for _ in 1..ATTEMPTS {
            assert!(!doubts.confirmed(key(1)));
        }
        assert!(!doubts.confirmed(key(2)), "another object");
        doubts.dispelled(key(1));
        assert!(!doubts.confirmed(key(1)), "it was right meanwhile");
        for _ in 2..ATTEMPTS {
            assert!(!doubts.confirmed(key(1)));
        }
        assert!(doubts.confirmed(key(1)));
        assert!(!doubts.confirmed(key(1)), "forgotten once it is believed");
    }
}
