//! Manifests: what makes a version restorable from a store alone.
//!
//! A version has a header and a body, each a sealed object. The body names groups of segments; a segment is an ordinary
//! sealed blob of JSON lines. Groups of the list hold paths, groups of the map hold sealings. A group covers versions
//! `(since, through]`: one with `since` 0 is a base, the others are deltas, and a version is its base with the deltas laid over it.

mod document;
mod line;
mod merge;
mod plan;
mod segment;

pub use document::{
    Body, Counts, Group, GroupKind, ManifestHeader, ObjectRef, ParentRef, Replaced, SegmentRef,
};
pub use line::{ListLine, MapLine};
pub use merge::{MergeError, merge_list};
pub use plan::{GroupInfo, plan_since};
pub use segment::{SegmentError, SegmentWriter, read_lines};
