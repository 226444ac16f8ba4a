//! `[backends.NAME]`.

use std::path::PathBuf;
use std::time::Duration;

use n2s_domain::backoff::RetryPolicy;
use serde::{Deserialize, Serialize};

use super::S3Config;
use crate::schema::section;

/// The kinds of store this build has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// A directory on a disk.
    #[default]
    Local,
    /// A bucket.
    S3,
}

impl BackendKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Local, Self::S3];

    /// The value of `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::S3 => "s3",
        }
    }
}

section! {
    /// A store. NAME is 1 to 40 of `a-z`, `0-9`, `-` and `_`; in a variable's name `_` also stands for `-`.
    BackendConfig at "backends.NAME" with s3: S3Config {
        /// What the store is. Required.
        kind: BackendKind = BackendKind::Local,
        /// The directory of a `local` store. Required. It is not made here: a directory that is missing is a disk that is not mounted.
        path: PathBuf = PathBuf::new(),
        /// How long the store may take before it counts as unavailable. Unless set: 60 for a call to a directory, 30 for a request to a bucket,
        /// with its retries and to the last byte.
        timeout_secs: Option<u64> = None,
        /// Fewest objects under way at once; between the two bounds n2s adapts by itself. Unless set: 256 for a directory, 1 for a bucket.
        concurrency_min: Option<u32> = None,
        /// Most objects under way at once; as many as the fewest fix it. Unless set: 2048 for a directory; for a bucket its `pool_size`, or
        /// 128 where that is not set either. Never more than a bucket's `pool_size`, where that is set.
        concurrency_max: Option<u32> = None,
        /// Bytes that each process moves at most in a second, to and from the store together. Unless set: as fast as it goes.
        bytes_per_sec_max: Option<u64> = None,
        /// The section below.
        retry: RetryConfig = RetryConfig::default(),
    }
}

impl BackendConfig {
    /// `timeout_secs`, with what suits the kind where it is not set.
    pub fn timeout(&self) -> Duration {
        let unset = match self.kind {
            BackendKind::Local => 60,
            BackendKind::S3 => S3Config::TIMEOUT_SECS,
        };
        Duration::from_secs(self.timeout_secs.unwrap_or(unset))
    }

    /// The bounds of concurrency, with what suits the kind where nothing is set.
    pub fn concurrency(&self) -> (u32, u32) {
        let (min, max) = match self.kind {
            // Objects go to a directory by the batch.
            BackendKind::Local => (256, 2048),
            // Fewer is what a bucket asks for that throttles.
            BackendKind::S3 => (1, self.s3.requests()),
        };
        let min =
            self.concurrency_min.unwrap_or_else(|| self.concurrency_max.map_or(min, |max| max.min(min)));
        let max = self.concurrency_max.unwrap_or_else(|| max.max(min));
        match self.s3.pool_size {
            // More would only wait for each other.
            Some(pool) if self.kind == BackendKind::S3 => (min.min(pool.max(1)), max.min(pool.max(1))),
            _ => (min, max),
        }
    }

    /// Requests to a bucket at a time.
    pub fn requests(&self) -> u32 {
        self.s3.pool_size.unwrap_or_else(|| S3Config::REQUESTS_MAX.max(self.concurrency().1))
    }
}

section! {
    /// How patiently one object is tried again when the fault is its own. Faults of the store cost nothing of it.
    RetryConfig at "backends.NAME.retry" {
        /// Failures after which a copy counts as failed.
        attempts_max: u32 = RetryPolicy::default().attempts_max,
        /// The longest first delay; it doubles with each failure.
        base_ms: u64 = u64::try_from(RetryPolicy::default().base.as_millis()).unwrap_or(u64::MAX),
        /// The longest delay, an hour at most. A store that asks for longer is asked again after an hour, too.
        cap_secs: u64 = RetryPolicy::default().cap.as_secs(),
    }
}
