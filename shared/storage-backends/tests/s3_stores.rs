//! The conformance suite against servers nobody here wrote: Ceph's gateway and Garage. Run by `make test-stores`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials, Region};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use n2s_domain::{FailureKind, SealedHash};
use n2s_servers::garage::{self, Garage};
use n2s_servers::rgw::{self, Rgw};
use n2s_storage::{Body, Put, Storage, StorageError, StorageExt as _, layout};
use n2s_storage_backends::s3::SecretKey;
use n2s_storage_backends::{S3Options, S3Store};

/// A server and how to reach it.
trait Server: Sized {
    const REGION: &'static str;
    const KEYS: (&'static str, &'static str);
    fn start() -> Self;
    fn endpoint(&self) -> &str;
}

impl Server for Rgw {
    const REGION: &'static str = "us-east-1";
    const KEYS: (&'static str, &'static str) = (rgw::ACCESS_KEY_ID, rgw::SECRET_ACCESS_KEY);
    fn start() -> Self {
        Self::start()
    }
    fn endpoint(&self) -> &str {
        self.endpoint()
    }
}

impl Server for Garage {
    const REGION: &'static str = garage::REGION;
    const KEYS: (&'static str, &'static str) = (garage::ACCESS_KEY_ID, garage::SECRET_ACCESS_KEY);
    fn start() -> Self {
        Self::start()
    }
    fn endpoint(&self) -> &str {
        self.endpoint()
    }
}

/// The server that runs, which every test that runs holds: a static one would outlive the process.
struct Shared<T>(Mutex<Weak<T>>);

impl<T: Server> Shared<T> {
    const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The server, and options with a bucket of their own.
    fn fresh(&self) -> (S3Options, Arc<T>) {
        static BUCKETS: AtomicU32 = AtomicU32::new(0);
        let server = tokio::task::block_in_place(|| self.running());
        let bucket = format!("bucket-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        let options = S3Options {
            endpoint: Some(server.endpoint().to_owned()),
            region: T::REGION.to_owned(),
            access_key_id: Some(T::KEYS.0.to_owned()),
            secret_access_key: Some(SecretKey::new(T::KEYS.1)),
            prefix: "site/a".to_owned(),
            ..S3Options::new(bucket)
        };
        make_bucket(&options, T::KEYS);
        (options, server)
    }

    fn open(&self) -> (Arc<dyn Storage>, Arc<T>) {
        let (options, server) = self.fresh();
        (Arc::new(S3Store::new("bucket", options).unwrap()), server)
    }

    fn running(&self) -> Arc<T> {
        let mut running = self.0.lock().unwrap();
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(T::start());
            *running = Arc::downgrade(&server);
            server
        })
    }
}

fn client(options: &S3Options, (id, secret): (&str, &str)) -> Client {
    let keys = Credentials::new(id, secret, None, None, "test");
    let config = Builder::new().endpoint_url(options.endpoint.clone().unwrap()).force_path_style(true);
    let config = config.credentials_provider(keys).region(Region::new(options.region.clone()));
    Client::from_conf(config.build())
}

fn make_bucket(options: &S3Options, keys: (&str, &str)) {
    let client = client(options, keys);
    let make = async { drop(client.create_bucket().bucket(&options.bucket).send().await.unwrap()) };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(make));
}

/// What reading and writing say of options with a mistake.
async fn refusals(options: S3Options) -> [StorageError; 2] {
    let store = S3Store::new("bucket", options).unwrap();
    [store.get(layout::marker()).await.unwrap_err(), store.health().await.unwrap_err()]
}

#[track_caller]
fn say(errors: [StorageError; 2], kind: FailureKind, setting: &str) {
    for error in errors {
        assert_eq!(error.kind, kind, "{}", error.report());
        assert!(error.report().contains(setting), "{}", error.report());
        assert!(!error.report().contains("hush"));
    }
}

async fn mistakes_are_said(right: S3Options) {
    let secret = S3Options { secret_access_key: Some(SecretKey::new("hush")), ..right.clone() };
    say(refusals(secret).await, FailureKind::Denied, "secret_access_key");
    let id = S3Options { access_key_id: Some("GK000000000000000000000000".to_owned()), ..right.clone() };
    say(refusals(id).await, FailureKind::Denied, "access_key_id");
    let bucket = S3Options { bucket: "not-there".to_owned(), ..right };
    say(refusals(bucket).await, FailureKind::Misconfigured, "bucket");
}

/// The signature holds for the server, too.
async fn a_signed_address_opens(options: S3Options) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let store = S3Store::new("bucket", options).unwrap();
    store.health().await.unwrap();
    let url = store.presigned_url(&layout::probe(), Duration::from_mins(1)).await.unwrap();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("n2s probe"), "{answer}");
}

macro_rules! suite {
    ($server:ident: $type:ty) => {
        mod $server {
            use super::*;

            static SERVER: Shared<$type> = Shared::new();

            fn open() -> (Arc<dyn Storage>, Arc<$type>) {
                SERVER.open()
            }

            n2s_storage::conformance_cases!(open);

            #[tokio::test(flavor = "multi_thread")]
            async fn says_which_setting_is_wrong() {
                let (options, _server) = SERVER.fresh();
                mistakes_are_said(options).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn opens_a_signed_address() {
                let (options, _server) = SERVER.fresh();
                a_signed_address_opens(options).await;
            }
        }
    };
}

suite!(ceph: Rgw);
suite!(garage_server: Garage);

#[tokio::test(flavor = "multi_thread")]
async fn a_put_into_a_versioned_bucket_returns_the_version() {
    static SERVER: Shared<Rgw> = Shared::new();
    let (options, _server) = SERVER.fresh();
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let versioning = client(&options, Rgw::KEYS).put_bucket_versioning().bucket(&options.bucket);
    versioning.versioning_configuration(enabled).send().await.unwrap();
    let store = S3Store::new("bucket", options).unwrap();
    let put = |overwrite| {
        let digest = SealedHash(*blake3::hash(b"x").as_bytes());
        Put { key: layout::blob(digest), body: Body::Bytes("x".into()), digest, overwrite }
    };
    let first = store.put(put(false)).await.unwrap();
    assert!(first.version.is_some());
    assert_eq!(store.put(put(false)).await.unwrap(), first, "it was there, in this version");
    assert_ne!(store.put(put(true)).await.unwrap().version, first.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn garage_names_the_region_that_is_right() {
    static SERVER: Shared<Garage> = Shared::new();
    let (options, _server) = SERVER.fresh();
    let wrong = S3Options { region: "venus-1".to_owned(), ..options };
    say(refusals(wrong).await, FailureKind::Misconfigured, "set region = \"garage\"");
}
