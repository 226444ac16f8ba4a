//! Why something failed, as far as deciding what to do next needs to know. The cause in words travels beside it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kinds of failure. The first six are what a store can answer; the rest are found by n2s itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The object is not there.
    NotFound,
    /// The store refuses the credential or the operation.
    Denied,
    /// The store asks for less.
    Throttled,
    /// No usable answer: timeouts, refused or cut connections, 5xx, a full disk.
    Unavailable,
    /// The bytes are not the bytes asked for.
    Corrupt,
    /// The store is not what the configuration says: another vault's, not initialised, not mounted.
    Misconfigured,
    /// Neither staging nor any store has an intact copy to read from.
    SourceMissing,
    /// Workers that held the job alone kept disappearing.
    Lost,
    /// An operator cancelled it.
    Cancelled,
}

impl FailureKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::NotFound,
        Self::Denied,
        Self::Throttled,
        Self::Unavailable,
        Self::Corrupt,
        Self::Misconfigured,
        Self::SourceMissing,
        Self::Lost,
        Self::Cancelled,
    ];

    /// Whether the store itself cannot be used. One that throttles can: it is only slow.
    pub const fn is_an_outage(self) -> bool {
        matches!(self, Self::Denied | Self::Unavailable | Self::Misconfigured)
    }

    /// The stable name, as the catalog and all output show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Misconfigured => "misconfigured",
            Self::SourceMissing => "source-missing",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FailureKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("'{text}' is not a kind of failure"))
    }
}
