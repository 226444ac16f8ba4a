//! The settings of a bucket, which a backend and staging share.

use std::path::PathBuf;

use crate::schema::section;
use crate::secret::Secret;

section! {
    /// A bucket, beside `kind = "s3"` in `[backends.NAME]` or `[staging]`. Without `access_key_id` and a secret, AWS's default chain decides:
    /// environment, profile, web identity, container, instance. What of this works where is on the page `S3.md`.
    S3Config at "backends.NAME" {
        /// The bucket. Required; it must be there.
        bucket: String = String::new(),
        /// The bucket's region, for which requests are signed. Servers of one's own have one, too.
        region: String = "us-east-1".to_owned(),
        /// `http://` or `https://` and the host of a server that is not AWS.
        endpoint: Option<String> = None,
        /// Whether the bucket's name goes into the path instead of the host's name. Unless set: where there is an `endpoint`.
        path_style: Option<bool> = None,
        /// What all names in the bucket begin with; a `/` follows. Slashes at its ends do not matter.
        prefix: String = String::new(),
        /// Whom to be. With it goes one of the two keys below.
        access_key_id: Option<String> = None,
        /// The secret of `access_key_id`: best from a variable, or in a file of its own (below).
        secret_access_key: Option<Secret> = None,
        /// A file that holds the secret of `access_key_id` and nothing else.
        secret_access_key_file: Option<PathBuf> = None,
        /// Where people fetch from: the address that stands for the bucket, without the prefix.
        public_url: Option<String> = None,
        /// Requests at a time at most, each on a connection of its own. Unless set: 128, or `concurrency_max` where that is more. Uploads go up to
        /// there only where it pays.
        pool_size: Option<u32> = None,
        /// How often a request whose connection failed is sent again. What a server answers is not: the job has a schedule of its own.
        max_retries: u32 = 3,
        /// The class of what stays, such as `STANDARD_IA`; the bucket's own unless set.
        storage_class: Option<String> = None,
    }
}

impl S3Config {
    /// How long one request may take with its retries, unless `timeout_secs` is set.
    pub const TIMEOUT_SECS: u64 = 30;

    /// Requests at a time at most, unless `pool_size` is set. Ten, as the SDKs have it, are 200 objects a second on a server that answers after
    /// 50 ms, whatever the line could carry, and somebody would have to find that out and set a number.
    pub const REQUESTS_MAX: u32 = 128;

    /// `pool_size`, or what suits where it is not set.
    pub fn requests(&self) -> u32 {
        self.pool_size.unwrap_or(Self::REQUESTS_MAX)
    }
}
