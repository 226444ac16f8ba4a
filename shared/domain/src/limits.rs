//! Every bound in one place. Memory of a process follows from these and its configuration, never from its data.

use std::time::Duration;

/// A blob's plaintext; larger files are cut.
pub const BLOB_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Content-defined chunks: smallest and average length (the largest is [`BLOB_BYTES_MAX`]).
pub const CHUNK_BYTES_MIN: usize = 1024 * 1024;
/// See [`CHUNK_BYTES_MIN`].
pub const CHUNK_BYTES_AVG: usize = 4 * 1024 * 1024;
/// The metadata inside a sealed object.
pub const METADATA_BYTES_MAX: usize = 256 * 1024;
/// A sealed object: a blob that does not compress, its metadata, padding and framing.
pub const SEALED_BYTES_MAX: usize = BLOB_BYTES_MAX + METADATA_BYTES_MAX + 1024 * 1024;
/// A path below a root.
pub const PATH_BYTES_MAX: usize = 64 * 1024;
/// A project's or dataset's name.
pub const NAME_BYTES_MAX: usize = 200;
/// Paths, hashes or blobs in one call of a push.
pub const BATCH_ITEMS_MAX: usize = 4_096;
/// Rows of one page of a query.
pub const PAGE_ROWS_MAX: u32 = 10_000;
/// Jobs claimed, and outcomes flushed, at once.
pub const CLAIM_BATCH_MAX: usize = 512;
/// How long a claim batch may gather while the store is idle, while it is not, and how long a finish batch may.
pub const CLAIM_GATHER: Duration = Duration::from_millis(2);
/// See [`CLAIM_GATHER`]: nobody waits for a store that has work, and each claim costs the catalog a transaction.
pub const CLAIM_GATHER_BUSY: Duration = Duration::from_millis(8);
/// See [`CLAIM_GATHER`].
pub const FINISH_GATHER: Duration = Duration::from_millis(20);
/// A job's lease between two heartbeats.
pub const JOB_LEASE: Duration = Duration::from_mins(1);
/// However lively its heartbeats, a job held this long is taken away.
pub const JOB_HELD_MAX: Duration = Duration::from_hours(6);
/// No job waits longer to be tried again, whatever its settings say or its store asks for: one that is due later than that was
/// put off before the clock was set back.
pub const RETRY_DELAY_MAX: Duration = Duration::from_hours(1);
/// A dispatched job nobody claimed becomes pending again.
pub const QUEUED_MAX: Duration = Duration::from_mins(5);
/// Lost leases after which a job runs alone, and lost leases while alone that fail it.
pub const LOSSES_BEFORE_ALONE: u32 = 2;
/// See [`LOSSES_BEFORE_ALONE`].
pub const LOSSES_ALONE_MAX: u32 = 5;
/// A push's write lease on its dataset.
pub const PUSH_LEASE: Duration = Duration::from_mins(2);
/// An open push that nobody has continued is undone.
pub const PUSH_IDLE_MAX: Duration = Duration::from_hours(336);
/// A staged blob that nothing needs is freed after this long.
pub const STAGING_GRACE: Duration = Duration::from_hours(24);
