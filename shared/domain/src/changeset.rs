//! The life of a changeset, and when it is complete.
//!
//! ```text
//!  Pending ──commit──▶ Pushing ──settle──▶ Completed | Degraded | Failed
//!     │                   ▲                                 │
//!  abandon (Failed)       └───retry, damage: new generation─┘
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a changeset stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangesetStatus {
    /// Open: its push has not committed yet.
    Pending,
    /// Committed; some store does not have all of it yet.
    Pushing,
    /// On every store asked for, its manifest header included.
    Completed,
    /// On at least `min_copies` stores, but not on all.
    Degraded,
    /// On fewer than `min_copies` stores, or abandoned before commit.
    Failed,
}

impl ChangesetStatus {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Pushing => "pushing",
            Self::Completed => "completed",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ChangesetStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChangesetStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Pending, Self::Pushing, Self::Completed, Self::Degraded, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a changeset status"))
    }
}

/// How far a committed changeset is on one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreProgress {
    /// Something is still under way there.
    Waiting,
    /// The header is placed: this whole version can be restored from this store.
    Whole,
    /// A blob or the manifest has failed there, or an earlier version it builds on is not whole.
    Broken,
}

/// The status of a committed changeset, from its progress on every store it was asked onto.
pub fn settle(stores: &[StoreProgress], min_copies: usize) -> ChangesetStatus {
    let whole = stores.iter().filter(|store| **store == StoreProgress::Whole).count();
    if stores.contains(&StoreProgress::Waiting) {
        ChangesetStatus::Pushing
    } else if whole == stores.len() {
        ChangesetStatus::Completed
    } else if whole >= min_copies {
        ChangesetStatus::Degraded
    } else {
        ChangesetStatus::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::StoreProgress::{Broken, Waiting, Whole};
    use super::*;

    #[test]
    fn settles_only_when_no_store_is_waiting() {
        assert_eq!(settle(&[Whole, Waiting], 1), ChangesetStatus::Pushing);
        assert_eq!(settle(&[Whole, Whole], 2), ChangesetStatus::Completed);
        assert_eq!(settle(&[Whole, Broken], 1), ChangesetStatus::Degraded);
        assert_eq!(settle(&[Whole, Broken], 2), ChangesetStatus::Failed);
    }
}
