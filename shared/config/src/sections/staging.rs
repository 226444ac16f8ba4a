//! `[staging]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::S3Config;
use crate::schema::section;

/// What staging can be. Not [`super::BackendKind`]: not every store will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StagingKind {
    /// A directory.
    #[default]
    Local,
    /// A bucket, so that workers on other machines need no shared disk.
    S3,
}

section! {
    /// Where sealed blobs wait for the stores.
    StagingConfig at "staging" with s3: S3Config {
        /// What staging is. A bucket serves workers on several machines that share no disk; its settings are those of `kind = "s3"` below, with a
        /// `prefix` for this catalog alone: what no row of it names is deleted after a day.
        kind: StagingKind = StagingKind::Local,
        /// The directory that holds `staging/`. The home unless set. On the same file system as a local store, blobs are linked
        /// into it instead of written twice.
        path: Option<PathBuf> = None,
        /// For a bucket: how long one request may take with its retries, to the last byte. 30 unless set.
        timeout_secs: Option<u64> = None,
        /// Above so many MiB a blob leaves staging as soon as one store has it, and goes to the others from there.
        high_water_mib: u64 = 32 * 1024,
    }
}

impl StagingConfig {
    /// `timeout_secs`, with what suits a bucket where it is not set.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs.unwrap_or(S3Config::TIMEOUT_SECS))
    }
}
