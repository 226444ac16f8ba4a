//! The s3 store against a real server: the conformance suite, and what is particular to a bucket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use n2s_domain::{FailureKind, SealedHash};
use n2s_servers::s3::{ACCESS_KEY_ID, Rules, S3Server, SECRET_ACCESS_KEY};
use n2s_storage::{Body, Put, Staging, StagingKey, Storage, StorageExt as _, layout};
use n2s_storage_backends::{S3Options, S3Store, s3::SecretKey};

/// One server per process; every test has a bucket of its own.
static SERVER: LazyLock<S3Server> = LazyLock::new(S3Server::start);

fn fresh_options() -> S3Options {
    static BUCKETS: AtomicU32 = AtomicU32::new(0);
    let bucket = format!("bucket-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
    SERVER.make_bucket(&bucket);
    S3Options {
        endpoint: Some(SERVER.endpoint()),
        access_key_id: Some(ACCESS_KEY_ID.to_owned()),
        secret_access_key: Some(SecretKey::new(SECRET_ACCESS_KEY)),
        prefix: "site/a".to_owned(),
        ..S3Options::new(bucket)
    }
}

fn open() -> (Arc<dyn Storage>, ()) {
    (Arc::new(S3Store::new("bucket", fresh_options()).unwrap()), ())
}

n2s_storage::conformance_cases!(open);

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

fn store(options: S3Options) -> S3Store {
    S3Store::new("bucket", options).unwrap()
}

#[tokio::test]
async fn the_prefix_is_where_objects_are_and_others_are_not_listed() {
    let options = fresh_options();
    let file = |name: &str| SERVER.object(&options.bucket, name);
    let prefixed = store(options.clone());
    prefixed.put(put(b"x")).await.unwrap();
    assert!(file(&format!("site/a/{}", put(b"x").key)).is_file());
    store(S3Options { prefix: "site/ab".to_owned(), ..options.clone() }).put(put(b"y")).await.unwrap();
    std::fs::write(file("site/a/blobs/not n2s"), "z").unwrap();
    let listed: Vec<_> = prefixed.list("").try_collect().await.unwrap();
    let names: Vec<_> = listed.iter().map(|listed| listed.key.as_str()).collect();
    assert_eq!(names, [put(b"x").key.as_str(), "probe"]);
    assert!(listed.iter().all(|listed| listed.modified.is_some()));
}

#[tokio::test]
async fn a_put_returns_key_and_etag_also_when_the_object_was_there() {
    let store = store(fresh_options());
    let first = store.put(put(b"x")).await.unwrap();
    assert_eq!(first.etag.as_deref(), Some("9dd4e461268c8034f5c8564e155c67a6"));
    assert_eq!(first.key, Some(format!("site/a/{}", put(b"x").key)));
    assert_eq!(first.location, None, "it follows from the name");
    assert_eq!(store.put(put(b"x")).await.unwrap(), first);
}

#[tokio::test]
async fn damage_behind_the_servers_back_is_found() {
    let options = fresh_options();
    let store = store(options.clone());
    store.put(put(b"right")).await.unwrap();
    let file = SERVER.object(&options.bucket, &format!("site/a/{}", put(b"right").key));
    std::fs::write(file, "wrong").unwrap();
    let again = store.put(put(b"right")).await.unwrap_err();
    assert_eq!(again.kind, FailureKind::Corrupt, "{}", again.report());
    let read = store.get(put(b"right").key).await.unwrap_err();
    assert_eq!(read.kind, FailureKind::Corrupt, "{}", read.report());
}

#[tokio::test]
async fn a_bucket_serves_as_staging() {
    let staging = Staging::new(Arc::new(store(fresh_options())));
    let key = StagingKey { sealed_hash: put(b"blob").digest, id: 7 };
    for _ in 0..2 {
        staging.put(vec![(key, Bytes::from_static(b"blob"))]).await.remove(0).unwrap();
    }
    let staged: Vec<_> = staging.list().try_collect().await.unwrap();
    assert_eq!(staged.iter().map(|staged| staged.key).collect::<Vec<_>>(), [key]);
    assert!(staged[0].modified.is_some(), "orphans are found by their age");
    assert!(matches!(staging.get(&[key]).await.remove(0).unwrap(), Body::Bytes(bytes) if bytes == "blob"));
    staging.delete(&[key]).await.remove(0).unwrap();
    assert_eq!(staging.get(&[key]).await.remove(0).unwrap_err().kind, FailureKind::NotFound);
}

/// A connection cut in the middle of a put leaves the name as it was.
#[tokio::test]
async fn a_put_that_is_dropped_leaves_nothing() {
    let options = fresh_options();
    let store = store(options.clone());
    store.health().await.unwrap();
    let large = put(&vec![7; 16 * 1024 * 1024]);
    for polls in [2, 8, 32] {
        let mut sending = store.put(large.clone());
        for _ in 0..polls {
            if futures_util::poll!(&mut sending).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(sending);
        if let Some(stat) = store.stat(std::slice::from_ref(&large.key)).await.remove(0).unwrap() {
            assert_eq!(stat.size, 16 * 1024 * 1024, "a part of it is visible");
        }
    }
    store.put(large.clone()).await.unwrap();
    assert_eq!(&store.get(large.key).await.unwrap(), large.body.bytes());
}

#[tokio::test]
async fn a_listing_is_read_page_by_page() {
    let store = store(fresh_options());
    let puts: Vec<_> = (0..1_005u16).map(|n| put(&n.to_le_bytes())).collect();
    store.store(puts).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    let listed: Vec<_> = store.list("blobs").try_collect().await.unwrap();
    assert_eq!(listed.len(), 1_005);
    let keys: Vec<_> = listed.into_iter().map(|listed| listed.key).collect();
    store.delete(&keys).await.into_iter().for_each(|answer| answer.unwrap());
    assert!(store.list("blobs").try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_signed_address_opens_the_object_to_anybody_and_a_plain_one_does_not() {
    let options = fresh_options();
    let store = store(S3Options { prefix: "team é".to_owned(), ..options });
    store.put(put(b"for you")).await.unwrap();
    let signed = store.presigned_url(&put(b"x").key, Duration::from_mins(1)).await.unwrap();
    assert!(signed.contains("X-Amz-Expires=60") && !signed.contains(SECRET_ACCESS_KEY), "{signed}");
    let signed = store.presigned_url(&put(b"for you").key, Duration::from_mins(1)).await.unwrap();
    assert!(fetch(&signed).await.ends_with("for you"));
    assert!(fetch(&store.url(&put(b"for you").key).unwrap()).await.starts_with("HTTP/1.1 403"));
    for ttl in [Duration::ZERO, Duration::from_hours(24 * 8)] {
        let error = store.presigned_url(&layout::marker(), ttl).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Misconfigured, "{}", error.report());
    }
}

/// An answer, head and body.
async fn fetch(url: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_said() {
    let right = fresh_options();
    let secret = |text: &str| Some(SecretKey::new(text));
    let cases = [
        (
            S3Options { secret_access_key: secret("hush"), ..right.clone() },
            FailureKind::Denied,
            "secret_access_key",
        ),
        (
            S3Options { access_key_id: Some("who".into()), ..right.clone() },
            FailureKind::Denied,
            "access_key_id",
        ),
        (S3Options { bucket: "not-there".into(), ..right.clone() }, FailureKind::Misconfigured, "bucket"),
    ];
    for (options, kind, setting) in cases {
        let store = store(options);
        let mut errors = vec![
            store.get(layout::marker()).await.unwrap_err(),
            store.list("blobs").try_collect::<Vec<_>>().await.unwrap_err(),
        ];
        // This server makes buckets by the way; `s3_faults` has a missing one for puts.
        if setting != "bucket" {
            errors.push(store.put(put(b"x")).await.unwrap_err());
            errors.push(store.health().await.unwrap_err());
        }
        for error in errors {
            assert_eq!(error.kind, kind, "{}", error.report());
            assert!(error.report().contains(setting), "{}", error.report());
            assert!(!error.report().contains("hush") && !format!("{error:?}{store:?}").contains("hush"));
        }
        // No body comes with the answer to HEAD, so it cannot name the setting; its kind is right all the same.
        assert_eq!(store.check_key_exists(&layout::marker()).await.unwrap_err().kind, kind);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let endpoint = Some(format!("http://127.0.0.1:{}", n2s_servers::free_port()));
    let store = store(S3Options { endpoint, ..fresh_options() });
    let error = store.get(layout::marker()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unavailable);
    assert!(error.report().contains("cannot be reached"), "{}", error.report());
}

/// Runs itself once more with the keys in the environment, where the default chain looks first.
#[tokio::test]
async fn without_keys_the_default_chain_decides() {
    let test = "without_keys_the_default_chain_decides";
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|id| id == ACCESS_KEY_ID) {
        let options = S3Options { access_key_id: None, secret_access_key: None, ..fresh_options() };
        return store(options).health().await.unwrap();
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn as_many_requests_go_at_once_as_an_upload_may_want_and_no_more_than_the_operator_does() {
    const OBJECTS: u32 = 200;
    let most = async |pool_size: Option<usize>, most: u32| {
        // Those that come first wait for so many, and all stay for a moment in which more could come.
        let rules = Rules { puts_together: most, put_delay: Duration::from_millis(50), ..Rules::default() };
        let server = S3Server::start_with(rules);
        server.make_bucket("bucket");
        let mut options = S3Options { endpoint: Some(server.endpoint()), ..fresh_options() };
        options.bucket = "bucket".to_owned();
        options.pool_size = pool_size.unwrap_or(options.pool_size);
        let puts: Vec<_> = (0..OBJECTS).map(|n| put(&n.to_le_bytes())).collect();
        store(options).store(puts).await.into_iter().for_each(|stored| drop(stored.unwrap()));
        server.most_puts_at_once()
    };
    assert_eq!((most(None, 128).await, most(Some(10), 10).await), (128, 10));
}
