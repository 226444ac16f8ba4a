//! Buckets from configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use n2s_config::S3Config;
use n2s_storage::Storage;
use n2s_storage_backends::s3::SecretKey;
use n2s_storage_backends::{S3Options, S3Store};

use crate::error::AssemblyError;

/// A bucket; sends nothing.
pub(crate) fn open(
    name: &str,
    s3: &S3Config,
    (requests, timeout): (u32, Duration),
) -> Result<Arc<dyn Storage>, AssemblyError> {
    let store = S3Store::new(name, options(name, s3, (requests, timeout))?);
    let store = store.map_err(|source| AssemblyError::Store { name: name.to_owned(), source })?;
    Ok(Arc::new(store))
}

/// Finds what is wrong with the settings.
pub(crate) fn check(name: &str, s3: &S3Config, timeout_secs: Option<u64>) -> Result<(), AssemblyError> {
    let timeout = Duration::from_secs(timeout_secs.unwrap_or(S3Config::TIMEOUT_SECS));
    open(name, s3, (s3.requests(), timeout)).map(drop)
}

fn options(
    name: &str,
    s3: &S3Config,
    (requests, timeout): (u32, Duration),
) -> Result<S3Options, AssemblyError> {
    let inline = s3.secret_access_key.as_ref().map(|secret| SecretKey::new(secret.reveal()));
    let file = s3.secret_access_key_file.as_deref().map(|file| secret_in(name, file)).transpose()?;
    Ok(S3Options {
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        path_style: s3.path_style,
        prefix: s3.prefix.clone(),
        access_key_id: s3.access_key_id.clone(),
        secret_access_key: inline.or(file),
        public_url: s3.public_url.clone(),
        pool_size: usize::try_from(requests).unwrap_or(usize::MAX),
        timeout_secs: timeout.as_secs(),
        max_retries: s3.max_retries,
        storage_class: s3.storage_class.clone(),
        ..S3Options::new(s3.bucket.clone())
    })
}

/// The secret in a file, without the newline that editors leave.
fn secret_in(name: &str, file: &Path) -> Result<SecretKey, AssemblyError> {
    let io = |source| AssemblyError::Secret { name: name.to_owned(), file: file.to_owned(), source };
    let text = std::fs::read_to_string(file).map_err(io)?;
    match text.trim() {
        "" => Err(io(std::io::Error::other("it is empty"))),
        secret => Ok(SecretKey::new(secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reaches_the_store() {
        let text = |text: &str| Some(text.to_owned());
        let s3 = S3Config {
            bucket: "bucket".to_owned(),
            region: "eu".to_owned(),
            endpoint: text("http://host"),
            path_style: Some(false),
            prefix: "site".to_owned(),
            access_key_id: text("me"),
            public_url: text("http://cdn"),
            pool_size: Some(3),
            max_retries: 4,
            storage_class: text("COLD"),
            ..S3Config::default()
        };
        // Without `..`: an option that is new has to be thought of here.
        let S3Options {
            bucket,
            region,
            endpoint,
            path_style,
            prefix,
            access_key_id,
            secret_access_key,
            public_url,
            pool_size,
            timeout_secs,
            max_retries,
            storage_class,
        } = options("name", &s3, (s3.requests(), Duration::from_secs(5))).unwrap();
        assert_eq!((bucket, region, prefix), (s3.bucket, s3.region, s3.prefix));
        assert_eq!((endpoint, path_style, public_url), (s3.endpoint, s3.path_style, s3.public_url));
        assert_eq!((access_key_id, secret_access_key), (s3.access_key_id, None));
        assert_eq!((pool_size, timeout_secs, max_retries, storage_class), (3, 5, 4, s3.storage_class));
    }

    #[test]
    fn the_defaults_are_the_stores() {
        let s3 = S3Config { bucket: "bucket".to_owned(), ..S3Config::default() };
        let ours =
            options("name", &s3, (s3.requests(), Duration::from_secs(S3Config::TIMEOUT_SECS))).unwrap();
        assert_eq!(format!("{ours:?}"), format!("{:?}", S3Options::new("bucket")));
    }

    #[test]
    fn a_secret_is_read_from_its_file_without_the_newline() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "hush\n").unwrap();
        assert_eq!(secret_in("name", &file).unwrap(), SecretKey::new("hush"));
        std::fs::write(&file, " \n").unwrap();
        let error = secret_in("name", &file).unwrap_err();
        assert!(error.to_string().contains("secret") && error.to_string().contains("'name'"), "{error}");
    }
}
