//! The conformance suite against Ceph's gateway, a server nobody here wrote. Run by `make test-stores`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials, Region};
use n2s_servers::rgw::{ACCESS_KEY_ID, Rgw, SECRET_ACCESS_KEY};
use n2s_storage::Storage;
use n2s_storage_backends::s3::SecretKey;
use n2s_storage_backends::{S3Options, S3Store};

/// The cluster that runs, which every test that runs holds: a static one would outlive the process.
static RUNNING: Mutex<Weak<Rgw>> = Mutex::new(Weak::new());

fn rgw() -> Arc<Rgw> {
    let mut running = RUNNING.lock().unwrap();
    running.upgrade().unwrap_or_else(|| {
        let rgw = Arc::new(Rgw::start());
        *running = Arc::downgrade(&rgw);
        rgw
    })
}

fn open() -> (Arc<dyn Storage>, Arc<Rgw>) {
    static BUCKETS: AtomicU32 = AtomicU32::new(0);
    let rgw = tokio::task::block_in_place(rgw);
    let bucket = format!("bucket-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
    make_bucket(rgw.endpoint(), &bucket);
    let options = S3Options {
        endpoint: Some(rgw.endpoint().to_owned()),
        access_key_id: Some(ACCESS_KEY_ID.to_owned()),
        secret_access_key: Some(SecretKey::new(SECRET_ACCESS_KEY)),
        prefix: "site/a".to_owned(),
        ..S3Options::new(bucket)
    };
    (Arc::new(S3Store::new("bucket", options).unwrap()), rgw)
}

fn make_bucket(endpoint: &str, bucket: &str) {
    let keys = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "test");
    let config = Builder::new().endpoint_url(endpoint).force_path_style(true).credentials_provider(keys);
    let client = Client::from_conf(config.region(Region::new("us-east-1")).build());
    let make = async { drop(client.create_bucket().bucket(bucket).send().await.unwrap()) };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(make));
}

n2s_storage::conformance_cases!(open);
