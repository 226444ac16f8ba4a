//! How thoroughly a copy is proven.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a look at a stored object proves; each level proves what the ones before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofLevel {
    /// The store says that the object is there, in its full length. One small request, none of its bytes.
    Exists,
    /// Its bytes were read and have the digest it is named by. Needs no key.
    Sealed,
    /// It was opened with the vault and is what the catalog says.
    Content,
}

impl ProofLevel {
    /// Every level, weakest first.
    pub const ALL: [Self; 3] = [Self::Exists, Self::Sealed, Self::Content];

    /// Whether all bytes are read.
    pub const fn reads_bytes(self) -> bool {
        !matches!(self, Self::Exists)
    }

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Sealed => "sealed",
            Self::Content => "content",
        }
    }
}

impl fmt::Display for ProofLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ProofLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|level| level.as_str() == text);
        known.ok_or_else(|| format!("'{text}' is not a level: exists, sealed or content"))
    }
}
