//! What crosses the network, in one place for both sides.
//!
//! Control is JSON: the seam's own records, plus the few envelopes of [`calls`]. Entries and listings are NDJSON, one line a path, in
//! the same lines as manifests ([`lines`]). Blobs are bodies: one per request, or many behind each other ([`frames`]). Refusals
//! are `application/problem+json` ([`problem`]) and become the same [`crate::seam::SeamError`] on the other side. Hashes are hex, names
//! that are not UTF-8 are in the escape of manifests, times are RFC 3339 in UTC; nothing is ever base64.
//!
//! Rejected: a second family of records mirrored from the seam's, with conversions both ways. They would say the same thing twice and
//! drift; a snapshot of each form in the tests keeps an accidental change of a record from changing the API.

pub mod calls;
pub mod frames;
pub mod lines;
pub mod problem;

/// The header that carries the write lease's token.
pub const LEASE_HEADER: &str = "n2s-lease";
/// The media type of framed blobs.
pub const FRAMES: &str = "application/vnd.n2s.frames";
/// The media type of lines.
pub const NDJSON: &str = "application/x-ndjson";
/// The media type of one sealed blob.
pub const SEALED: &str = "application/octet-stream";
/// The largest body of blobs a server takes, and the largest that a client sends: several small blobs, or one of any size.
pub const BLOBS_BODY_MAX: usize = 48 * 1024 * 1024;
/// Bytes of blobs after which a client begins another request.
pub const BLOBS_BODY_WANTED: usize = 8 * 1024 * 1024;
/// The largest body of entries.
pub const ENTRIES_BODY_MAX: usize = 64 * 1024 * 1024;
/// The largest body of everything else.
pub const CONTROL_BODY_MAX: usize = 2 * 1024 * 1024;
