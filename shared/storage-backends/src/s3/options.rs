//! What can be set, and what is refused before the first request.

use std::fmt;
use std::time::Duration;

/// How to reach a bucket. `S3Options::new("bucket")` gives the defaults.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The bucket; it must be there.
    pub bucket: String,
    /// Its region, which requests are signed for. Servers of one's own have one too (Garage: `garage`).
    pub region: String,
    /// `http://` or `https://` and a host, for servers that are not AWS.
    pub endpoint: Option<String>,
    /// Whether the bucket goes into the path instead of the host's name. Unless set: where there is an `endpoint`.
    pub path_style: Option<bool>,
    /// What all names on the bucket begin with; a `/` follows it.
    pub prefix: String,
    /// With `secret_access_key`: whom to be. Without both, the default chain of AWS's tools decides.
    pub access_key_id: Option<String>,
    /// See `access_key_id`.
    pub secret_access_key: Option<SecretKey>,
    /// Where people fetch from: the address that stands for the bucket, without the prefix.
    pub public_url: Option<String>,
    /// Requests at a time at most, each on a connection of its own.
    pub pool_size: usize,
    /// How long one request may take with its retries, from the first byte sent to the last one read.
    pub timeout_secs: u64,
    /// How often a request whose connection failed is sent again.
    pub max_retries: u32,
    /// The class of blobs and manifests, such as `STANDARD_IA`; the bucket's default without. What n2s overwrites stays in the default.
    pub storage_class: Option<String>,
}

/// A secret that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl SecretKey {
    /// Takes the secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// Options that cannot work: which, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} {problem}")]
pub struct InvalidS3Options {
    /// The option's name.
    pub option: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl S3Options {
    /// The defaults, for `bucket`.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            path_style: None,
            prefix: String::new(),
            access_key_id: None,
            secret_access_key: None,
            public_url: None,
            pool_size: 128,
            timeout_secs: 30,
            max_retries: 3,
            storage_class: None,
        }
    }

    /// Whether the bucket goes into the path.
    pub fn uses_path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs)
    }

    /// Finds what cannot work, without asking the server.
    pub fn check(&self) -> Result<(), InvalidS3Options> {
        let invalid = |option, problem: &str| Err(InvalidS3Options { option, problem: problem.to_owned() });
        let odd = |text: &str| text.chars().any(|c| c.is_whitespace() || c.is_control());
        if self.bucket.is_empty() {
            return invalid("bucket", "is empty: name the bucket to write to");
        }
        if odd(&self.bucket) || self.bucket.contains('/') {
            return invalid(
                "bucket",
                "is a name without spaces and slashes; what comes after it is the prefix",
            );
        }
        if self.region.is_empty() || odd(&self.region) {
            return invalid("region", "is empty or holds spaces: servers of one's own take us-east-1 mostly");
        }
        for (option, url) in [("endpoint", &self.endpoint), ("public_url", &self.public_url)] {
            if url.as_deref().is_some_and(|url| !is_url(url)) {
                return invalid(
                    option,
                    "is not http:// or https:// and a host, without user, query or fragment",
                );
            }
        }
        if !self.prefix.trim_matches('/').is_empty() && !is_prefix(self.prefix.trim_matches('/')) {
            return invalid(
                "prefix",
                "holds an empty part, '.', '..', a control character or over 400 bytes",
            );
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return invalid("access_key_id", "and secret_access_key go together: give both, or none");
        }
        if self.pool_size == 0 || self.timeout_secs == 0 {
            let option = if self.pool_size == 0 { "pool_size" } else { "timeout_secs" };
            return invalid(option, "is 0, with which nothing could ever be sent");
        }
        Ok(())
    }
}

fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host =
        |rest: &str| rest.split('/').next().is_some_and(|host| !host.is_empty() && !host.contains('@'));
    rest.is_some_and(|rest| host(rest) && !rest.contains(['?', '#', ' ']))
}

fn is_prefix(prefix: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    prefix.len() <= 400 && prefix.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut S3Options)) -> Result<(), InvalidS3Options> {
        let mut options = S3Options::new("bucket");
        change(&mut options);
        options.check()
    }

    #[test]
    fn the_defaults_are_those_of_the_manual() {
        let options = S3Options::new("bucket");
        options.check().unwrap();
        assert_eq!((options.pool_size, options.timeout_secs, options.max_retries), (128, 30, 3));
        assert_eq!((options.region.as_str(), options.prefix.as_str()), ("us-east-1", ""));
        assert!(options.storage_class.is_none() && options.public_url.is_none());
    }

    #[test]
    fn the_path_holds_the_bucket_where_there_is_an_endpoint() {
        let mut options = S3Options::new("bucket");
        assert!(!options.uses_path_style());
        options.endpoint = Some("http://host".to_owned());
        assert!(options.uses_path_style());
        options.path_style = Some(false);
        assert!(!options.uses_path_style());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let url = |url: &str| Some(url.to_owned());
        let cases = [
            ("bucket", with(|o| o.bucket.clear())),
            ("bucket", with(|o| o.bucket = "a/b".to_owned())),
            ("bucket", with(|o| o.bucket = "a b".to_owned())),
            ("region", with(|o| o.region.clear())),
            ("endpoint", with(|o| o.endpoint = url("host:9000"))),
            ("endpoint", with(|o| o.endpoint = url("https://"))),
            ("endpoint", with(|o| o.endpoint = url("https://user:word@host"))),
            ("public_url", with(|o| o.public_url = url("ftp://host"))),
            ("prefix", with(|o| o.prefix = "a//b".to_owned())),
            ("prefix", with(|o| o.prefix = "../b".to_owned())),
            ("prefix", with(|o| o.prefix = "a\nb".to_owned())),
            ("access_key_id", with(|o| o.access_key_id = Some("id".to_owned()))),
            ("access_key_id", with(|o| o.secret_access_key = Some(SecretKey::new("s")))),
            ("pool_size", with(|o| o.pool_size = 0)),
            ("timeout_secs", with(|o| o.timeout_secs = 0)),
        ];
        for (option, answer) in cases {
            assert_eq!(answer.unwrap_err().option, option);
        }
        with(|o| o.prefix = "/team a/été/".to_owned()).unwrap();
    }

    #[test]
    fn the_secret_is_not_shown() {
        let mut options = S3Options::new("bucket");
        options.secret_access_key = Some(SecretKey::new("hush"));
        assert!(!format!("{options:?}").contains("hush"));
    }
}
