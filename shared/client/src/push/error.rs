//! Why a push ended without a version.

use std::path::PathBuf;

use n2s_envelope::EnvelopeError;
use n2s_envelope::manifest::SegmentError;

use crate::seam::SeamError;
use crate::tree::InvalidPattern;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The other side refused or failed.
    #[error(transparent)]
    Seam(#[from] SeamError),
    /// The source cannot be opened.
    #[error("the source {path} cannot be read")]
    Source {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A pattern cannot be used.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// The dataset would lose most of its paths.
    #[error(
        "this push would remove {removed} of the dataset's {before} paths; if that is meant, run it again with \
         --allow-mass-removal (nothing has been changed)"
    )]
    MassRemoval {
        /// Paths before.
        before: u64,
        /// Paths that would be gone, renamed ones included.
        removed: u64,
    },
    /// Sealing failed.
    #[error("sealing failed")]
    Seal(#[from] EnvelopeError),
    /// The manifest cannot be written.
    #[error("the manifest cannot be written")]
    Manifest(#[from] SegmentError),
    /// The vault cannot seal.
    #[error("the vault holds no epoch to seal with; start one with `n2s keys rotate`")]
    NoEpoch,
    /// The stat cache cannot be read.
    #[error("the cache of what the last push saw cannot be read")]
    Cache(#[source] std::io::Error),
    /// A disk of this machine failed.
    #[error("{doing} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
