//! Why an object cannot be sealed or opened.

use n2s_domain::{Epoch, VaultId};

/// A refusal to seal or open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Too short, or not begun by the magic.
    #[error("this is not an n2s object: {0}")]
    NotSealed(&'static str),
    /// Written by a newer n2s.
    #[error("format {format}, suite {suite} is not known to this n2s; a newer one wrote it")]
    Unsupported {
        /// The object's format number.
        format: u8,
        /// The object's suite number.
        suite: u8,
    },
    /// Sealed with another vault.
    #[error("the object is sealed with vault {found}, this is vault {own}")]
    WrongVault {
        /// The object's.
        found: VaultId,
        /// The opener's.
        own: VaultId,
    },
    /// The vault does not hold the epoch yet: its key object must be added first.
    #[error("the vault does not hold epoch {0}; add the object keys/{0} from any store")]
    UnknownEpoch(Epoch),
    /// A byte has changed, or the key is not the one that sealed it.
    #[error("the object is damaged: it does not authenticate under epoch {0}")]
    Forged(Epoch),
    /// It authenticates, but what is inside breaks the format.
    #[error("the object's inside is not of the format: {0}")]
    Malformed(&'static str),
    /// It is intact, but not what was asked for.
    #[error("the object is not the one asked for: {what} is {found}, not {wanted}")]
    NotAsked {
        /// Which property.
        what: &'static str,
        /// What it is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// More than the format allows.
    #[error("{what} is {bytes} bytes, more than the {max} the format allows")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// How large.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// The object read back right after sealing was not what went in.
    #[error(
        "sealing failed its self-check: this machine's memory or processor corrupts data; test it before trusting it"
    )]
    SelfCheck,
}
