//! `[staging]`.

use std::path::PathBuf;

use crate::schema::section;

section! {
    /// Where sealed blobs wait for the stores.
    StagingConfig at "staging" {
        /// The directory that holds `staging/`. The home unless set. On the same file system as a local store, blobs are linked
        /// into it instead of written twice.
        path: Option<PathBuf> = None,
        /// Above so many MiB a blob leaves staging as soon as one store has it, and goes to the others from there.
        high_water_mib: u64 = 32 * 1024,
    }
}
