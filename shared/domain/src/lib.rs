#![doc = include_str!("../README.md")]

pub mod access;
pub mod backoff;
pub mod breaker;
pub mod changeset;
pub mod concurrency;
pub mod entry;
pub mod failure;
pub mod fairness;
pub mod hash;
pub mod ids;
pub mod job;
pub mod judge;
pub mod limits;
pub mod name;
pub mod path;
pub mod placement;
pub mod proof;
pub mod random;
pub mod span;
pub mod time;
pub mod trace;

pub use access::{Grants, Scope};
pub use changeset::ChangesetStatus;
pub use entry::{ChunkRef, Content, EntryChange, FileEntry, FileMeta};
pub use failure::FailureKind;
pub use hash::{ContentHash, SealedHash, StoreKey};
pub use ids::{BackendId, BlobId, ChangesetId, Epoch, JobId, LeaseToken, TokenId, VaultId, Version};
pub use name::{BackendName, DatasetName, ProjectName};
pub use path::RelPath;
pub use placement::PlacementStatus;
pub use proof::ProofLevel;
pub use random::{Entropy, SeededEntropy, SystemEntropy};
pub use span::PathSpan;
pub use time::{Clock, FileTime, SystemClock, TestClock, Timestamp};
pub use trace::Traceparent;
