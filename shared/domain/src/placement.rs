//! One blob on one store.
//!
//! ```text
//!  Pending ──Stored──▶ Completed ──Damaged──▶ Pending
//!     │ ▲
//! Failed │ Retried (operator, or a push that needs the blob again)
//!     ▼ │
//!   Failed
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether a blob is on a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlacementStatus {
    /// A job is working on it.
    Pending,
    /// The store acknowledged the exact bytes whose digest the catalog holds.
    Completed,
    /// Given up, with the reason recorded; a retry starts again.
    Failed,
}

/// What happens to a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A job ended stored.
    Stored,
    /// A job ended failed.
    Failed,
    /// Somebody wants it tried again.
    Retried,
    /// The stored bytes were found missing or wrong.
    Damaged,
}

impl PlacementStatus {
    /// The one transition function of placements; `None` where the change does not apply.
    pub const fn after(self, change: Change) -> Option<Self> {
        match (self, change) {
            (Self::Pending, Change::Stored) => Some(Self::Completed),
            (Self::Pending, Change::Failed) => Some(Self::Failed),
            (Self::Failed, Change::Retried) | (Self::Completed, Change::Damaged) => Some(Self::Pending),
            _ => None,
        }
    }

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for PlacementStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PlacementStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pending" => Ok(Self::Pending),
            "completed" => Ok(Self::Completed),
            "failed" => Ok(Self::Failed),
            _ => Err(format!("'{text}' is not a placement status: pending, completed or failed")),
        }
    }
}
