//! What the client needs from the other side, whether that is `intake` in the same process or, later, over HTTP.
//!
//! Two traits: a [`Producer`] pushes, a [`Reader`] looks and pulls. Their records mirror the catalog's, but are the client's own:
//! a laptop client must build without a database.

mod error;
mod producer;
mod reader;

pub use error::SeamError;
pub use producer::{
    Commit, Committed, GroupKind, Lease, ManifestGroup, NewGroup, Offered, OpenRequest, Opened, Parent,
    Producer, SealedObject, SegmentRef, SendBlob, StoredBlob, TakeOver, VersionCounts,
};
pub use reader::{Fetched, FileBlob, FileRow, Page, Reader, Selector, VersionRef};
