//! `[backends.NAME]`.

use std::path::PathBuf;

use n2s_domain::backoff::RetryPolicy;
use serde::{Deserialize, Serialize};

use crate::schema::section;

/// The kinds of store this build has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// A directory on a disk.
    #[default]
    Local,
}

impl BackendKind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::Local];

    /// The value of `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
        }
    }
}

section! {
    /// A store. NAME is 1 to 40 of `a-z`, `0-9`, `-` and `_`; in a variable's name `_` also stands for `-`.
    BackendConfig at "backends.NAME" {
        /// What the store is. Required.
        kind: BackendKind = BackendKind::Local,
        /// The store's directory. Required. It is not made here: a directory that is missing is a disk that is not mounted.
        path: PathBuf = PathBuf::new(),
        /// How long one call to the store may take before the store counts as unavailable.
        timeout_secs: u64 = 60,
        /// Fewest objects under way at once; between the two bounds n2s adapts by itself. For a directory 256 unless set.
        concurrency_min: Option<u32> = None,
        /// Most objects under way at once. For a directory 2048 unless set.
        concurrency_max: Option<u32> = None,
        /// The section below.
        retry: RetryConfig = RetryConfig::default(),
    }
}

impl BackendConfig {
    /// The bounds of concurrency, with what suits the kind where nothing is set.
    pub fn concurrency(&self) -> (u32, u32) {
        let (min, max) = match self.kind {
            // Objects go to a directory by the batch.
            BackendKind::Local => (256, 2048),
        };
        let min =
            self.concurrency_min.unwrap_or_else(|| self.concurrency_max.map_or(min, |max| max.min(min)));
        (min, self.concurrency_max.unwrap_or_else(|| max.max(min)))
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
