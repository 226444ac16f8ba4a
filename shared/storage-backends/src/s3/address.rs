//! Names on the bucket, and addresses of what they name.

use std::fmt::Write as _;

use n2s_storage::ObjectKey;

use super::options::S3Options;

/// Where the objects of one store are.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// Empty, or ending in a `/`.
    prefix: String,
    /// The address of the bucket, without a slash at its end.
    base: String,
}

impl Addresses {
    pub(super) fn new(options: &S3Options) -> Self {
        let prefix = match options.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Self { prefix, base: base(options) }
    }

    /// What the bucket calls an object.
    pub(super) fn name(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What the names of a listing begin with.
    pub(super) fn listing(&self, prefix: &str) -> String {
        match prefix {
            "" => self.prefix.clone(),
            prefix => format!("{}{prefix}/", self.prefix),
        }
    }

    /// What n2s calls what the bucket calls `name`; `None` for what n2s cannot have written.
    pub(super) fn parse(&self, name: &str) -> Option<ObjectKey> {
        ObjectKey::new(name.strip_prefix(&self.prefix)?).ok()
    }

    pub(super) fn url(&self, key: &ObjectKey) -> String {
        format!("{}/{}", self.base, percent_encode(&self.name(key)))
    }
}

fn base(options: &S3Options) -> String {
    if let Some(public) = &options.public_url {
        return public.trim_end_matches('/').to_owned();
    }
    let bucket = &options.bucket;
    let aws = format!("https://s3.{}.amazonaws.com", options.region);
    let endpoint = options.endpoint.as_deref().unwrap_or(&aws).trim_end_matches('/');
    match endpoint.split_once("://") {
        Some((scheme, host)) if !options.uses_path_style() => format!("{scheme}://{bucket}.{host}"),
        _ => format!("{endpoint}/{bucket}"),
    }
}

/// Leaves what RFC 3986 calls unreserved, and slashes.
fn percent_encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(change: impl FnOnce(&mut S3Options)) -> Addresses {
        let mut options = S3Options::new("bucket");
        change(&mut options);
        Addresses::new(&options)
    }

    fn key() -> ObjectKey {
        ObjectKey::new("blobs/ab/cd").unwrap()
    }

    #[test]
    fn names_carry_the_prefix_and_lose_it_again() {
        for prefix in ["site/a", "/site/a", "site/a/", "//site/a//"] {
            let addresses = addresses(|o| o.prefix = prefix.to_owned());
            assert_eq!(addresses.name(&key()), "site/a/blobs/ab/cd");
            assert_eq!(addresses.parse("site/a/blobs/ab/cd"), Some(key()));
            assert_eq!(addresses.listing("blobs"), "site/a/blobs/");
            assert_eq!(addresses.listing(""), "site/a/");
        }
        let bare = addresses(|o| o.prefix = "/".to_owned());
        assert_eq!(bare.name(&key()), "blobs/ab/cd");
        assert_eq!((bare.listing("blobs").as_str(), bare.listing("").as_str()), ("blobs/", ""));
    }

    #[test]
    fn names_n2s_cannot_have_written_are_nobodys() {
        let addresses = addresses(|o| o.prefix = "site".to_owned());
        for name in ["site/", "site", "other/blobs/ab", "site/a b", "site//a", "site/a/../b", "siteblobs/ab"]
        {
            assert_eq!(addresses.parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_public_url_stands_for_the_bucket() {
        for public in ["https://cdn.example/b", "https://cdn.example/b/", "https://cdn.example/b//"] {
            let url = |prefix: &str| {
                let change = |o: &mut S3Options| {
                    o.public_url = Some(public.to_owned());
                    o.prefix = prefix.to_owned();
                };
                addresses(change).url(&key())
            };
            assert_eq!(url(""), "https://cdn.example/b/blobs/ab/cd");
            assert_eq!(url("site/"), "https://cdn.example/b/site/blobs/ab/cd");
            assert_eq!(url("é t"), "https://cdn.example/b/%C3%A9%20t/blobs/ab/cd");
        }
    }

    #[test]
    fn without_one_the_address_is_the_servers() {
        let endpoint = |o: &mut S3Options| o.endpoint = Some("http://host:9000/".to_owned());
        assert_eq!(addresses(endpoint).url(&key()), "http://host:9000/bucket/blobs/ab/cd");
        let by_host = |o: &mut S3Options| {
            endpoint(o);
            o.path_style = Some(false);
        };
        assert_eq!(addresses(by_host).url(&key()), "http://bucket.host:9000/blobs/ab/cd");
        let aws = |o: &mut S3Options| o.region = "eu-west-1".to_owned();
        assert_eq!(addresses(aws).url(&key()), "https://bucket.s3.eu-west-1.amazonaws.com/blobs/ab/cd");
    }
}
