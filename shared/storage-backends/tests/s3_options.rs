//! Every option of the s3 store shows in what the server sees.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use n2s_domain::{FailureKind, SealedHash};
use n2s_servers::s3_scripted::{Asked, Reply, Scripted};
use n2s_storage::{Body, Get, Put, Storage, StorageExt as _, layout};
use n2s_storage_backends::s3::SecretKey;
use n2s_storage_backends::{S3Options, S3Store};

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

async fn good() -> Scripted {
    Scripted::start(|asked: &Asked| asked.probe_reply().unwrap_or_else(Reply::ok)).await
}

fn store(server: &Scripted, change: impl FnOnce(&mut S3Options)) -> S3Store {
    let mut options = S3Options {
        endpoint: Some(server.endpoint()),
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some(SecretKey::new("hush")),
        ..S3Options::new("bucket")
    };
    change(&mut options);
    S3Store::new("bucket", options).unwrap()
}

/// What the server saw of one put.
async fn seen(change: impl FnOnce(&mut S3Options)) -> Asked {
    let server = good().await;
    store(&server, change).put(put(b"x")).await.unwrap();
    server.asked().remove(0)
}

#[tokio::test]
async fn an_empty_bucket_is_refused() {
    let error = S3Store::new("bucket", S3Options::new("")).unwrap_err();
    assert_eq!(error.option, "bucket");
    assert!(error.to_string().contains("name the bucket"), "{error}");
}

#[tokio::test]
async fn bucket_prefix_and_path_style_are_in_the_path() {
    let key = put(b"x").key;
    let plain = seen(|_| ()).await;
    assert_eq!(plain.target.split('?').next().unwrap(), format!("/bucket/{key}"));
    let prefixed = seen(|o| o.prefix = "/site/é/".to_owned()).await;
    assert_eq!(prefixed.target.split('?').next().unwrap(), format!("/bucket/site/%C3%A9/{key}"));
}

#[tokio::test]
async fn without_path_style_the_bucket_is_in_the_hosts_name() {
    let signed = async |path_style| {
        let server = good().await;
        let change = |o: &mut S3Options| {
            o.endpoint = Some("http://stores.invalid:9000".to_owned());
            o.path_style = path_style;
        };
        let store = store(&server, change);
        let url = store.presigned_url(&layout::marker(), Duration::from_mins(1)).await.unwrap();
        (url.split('?').next().unwrap().to_owned(), store)
    };
    assert_eq!(signed(None).await.0, "http://stores.invalid:9000/bucket/n2s.json");
    let (url, store) = signed(Some(false)).await;
    assert_eq!(url, "http://bucket.stores.invalid:9000/n2s.json");
    assert_eq!(store.url(&layout::marker()).unwrap(), url);
    let error = store.get(layout::marker()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unavailable);
    assert!(error.report().contains("path_style = true"), "{}", error.report());
}

#[tokio::test]
async fn key_pair_and_region_are_in_the_signature() {
    let asked = seen(|o| o.region = "mars-north-1".to_owned()).await;
    let signature = &asked.headers["authorization"];
    assert!(signature.contains("Credential=id/") && signature.contains("/mars-north-1/s3/"), "{signature}");
    assert!(!asked.headers.values().any(|value| value.contains("hush")));
}

#[tokio::test]
async fn storage_class_is_for_what_stays() {
    let server = good().await;
    let store = store(&server, |o| o.storage_class = Some("STANDARD_IA".to_owned()));
    store.put(put(b"x")).await.unwrap();
    store.put(Put { overwrite: true, ..put(b"head") }).await.unwrap();
    let classes: Vec<_> =
        server.asked().into_iter().map(|mut asked| asked.headers.remove("x-amz-storage-class")).collect();
    assert_eq!(classes, [Some("STANDARD_IA".to_owned()), None]);
    assert_eq!(seen(|_| ()).await.headers.get("x-amz-storage-class"), None);
}

#[tokio::test]
async fn pool_size_requests_go_at_a_time_and_no_more() {
    let server = Scripted::start(|_: &Asked| Reply::Together(4)).await;
    let store = store(&server, |o| o.pool_size = 4);
    // Two batches share the pool.
    let gets = || (0..12).map(|_| Get { key: layout::marker(), range: None }).collect();
    let (a, b) = tokio::join!(store.retrieve(gets()), store.retrieve(gets()));
    assert!(a.iter().chain(&b).all(Result::is_ok));
    assert_eq!((server.asked().len(), server.waiting_max()), (24, 4));
}

#[tokio::test]
async fn public_url_is_where_people_fetch_from() {
    let server = good().await;
    let store = store(&server, |o| {
        o.public_url = Some("https://cdn.example/".to_owned());
        o.prefix = "site".to_owned();
    });
    assert_eq!(store.url(&layout::marker()).unwrap(), "https://cdn.example/site/n2s.json");
}

#[tokio::test]
async fn a_good_server_gets_a_condition_and_a_cheap_checksum() {
    let asked = seen(|_| ()).await;
    assert_eq!(asked.body, b"x");
    assert_eq!(asked.headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    assert_eq!(asked.headers["x-amz-checksum-crc32"], "jNwWgw==", "of the byte x, in base64");
    assert!(asked.headers["authorization"].contains("x-amz-checksum-crc32"), "the checksum is signed");
    assert_eq!(asked.headers["if-none-match"], "*");
}

#[tokio::test]
async fn what_a_server_ignores_is_not_relied_on() {
    // It answers 200 to the probes with a wrong checksum and with a condition.
    let server = Scripted::start(|asked: &Asked| match asked.method.as_str() {
        "HEAD" if asked.target.starts_with("/bucket/") && asked.target.len() > 20 => {
            Reply::Answer(404, vec![], String::new())
        }
        _ => Reply::ok(),
    });
    let server = server.await;
    store(&server, |_| ()).put(put(b"x")).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].method, "HEAD", "it looks first");
    let put = asked.last().unwrap();
    assert_eq!(put.method, "PUT");
    assert_eq!(put.headers.get("if-none-match"), None);
    assert_eq!(
        put.headers["x-amz-content-sha256"],
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "the signature covers the bytes"
    );
}

#[tokio::test]
async fn habits_are_asked_once_and_an_outage_does_not_decide_them() {
    let server = Scripted::start(|_: &Asked| Reply::error(500, "InternalError")).await;
    let store = store(&server, |_| ());
    for _ in 0..2 {
        assert_eq!(store.put(put(b"x")).await.unwrap_err().kind, FailureKind::Unavailable);
    }
    assert!(server.asked().is_empty(), "nothing was sent in an unproven manner");
}
