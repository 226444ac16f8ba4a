//! The s3 store against a server that answers as it is told: every fault has its kind, and says what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use n2s_domain::{FailureKind, SealedHash};
use n2s_servers::s3_scripted::{Asked, Reply, Scripted};
use n2s_storage::{Body, Get, ObjectKey, Put, Storage, StorageError, StorageExt as _, layout};
use n2s_storage_backends::s3::SecretKey;
use n2s_storage_backends::{S3Options, S3Store};

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

fn options(server: &Scripted) -> S3Options {
    S3Options {
        endpoint: Some(server.endpoint()),
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some(SecretKey::new("hush")),
        timeout_secs: 20,
        max_retries: 0,
        ..S3Options::new("bucket")
    }
}

fn store(server: &Scripted) -> S3Store {
    S3Store::new("bucket", options(server)).unwrap()
}

/// Answers probes as a good server would, everything else so.
async fn always(reply: Reply) -> Scripted {
    Scripted::start(move |asked: &Asked| asked.probe_reply().unwrap_or_else(|| reply.clone())).await
}

async fn get_from(reply: Reply) -> StorageError {
    store(&always(reply).await).get(layout::marker()).await.unwrap_err()
}

async fn put_to(reply: Reply) -> StorageError {
    store(&always(reply).await).put(put(b"x")).await.unwrap_err()
}

fn header(name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    vec![(name, value.to_owned())]
}

#[tokio::test]
async fn throttling_says_how_long_to_wait() {
    let plain = put_to(Reply::error_with(503, "SlowDown", header("retry-after", "7"))).await;
    assert_eq!((plain.kind, plain.retry_after), (FailureKind::Throttled, Some(Duration::from_secs(7))));
    let headers = vec![
        ("date", "Sun, 06 Nov 1994 12:00:00 GMT".to_owned()),
        ("retry-after", "Sun, 06 Nov 1994 12:01:30 GMT".to_owned()),
    ];
    let dated = get_from(Reply::Answer(429, headers, String::new())).await;
    assert_eq!((dated.kind, dated.retry_after), (FailureKind::Throttled, Some(Duration::from_secs(90))));
    let silent = get_from(Reply::error(503, "SlowDown")).await;
    assert_eq!((silent.kind, silent.retry_after), (FailureKind::Throttled, None));
}

#[tokio::test]
async fn an_answer_is_never_asked_for_again_here() {
    for (reply, kind) in [
        (Reply::error(500, "InternalError"), FailureKind::Unavailable),
        (Reply::error(503, "SlowDown"), FailureKind::Throttled),
        (Reply::Answer(502, vec![], "<html>".to_owned()), FailureKind::Unavailable),
    ] {
        let server = always(reply).await;
        let store = S3Store::new("bucket", S3Options { max_retries: 5, ..options(&server) }).unwrap();
        let error = store.put(put(b"x")).await.unwrap_err();
        assert_eq!(error.kind, kind, "{}", error.report());
        assert_eq!(server.asked().len(), 1, "the job has the attempts");
    }
}

#[tokio::test]
async fn connections_that_fail_are_tried_max_retries_times_more() {
    for max_retries in [0, 1, 3] {
        let broken = [Reply::HangUp, Reply::Answer(200, header("content-length", "9"), "half".to_owned())];
        for reply in broken {
            let server = always(reply).await;
            let store = S3Store::new("bucket", S3Options { max_retries, ..options(&server) }).unwrap();
            let error = store.get(layout::marker()).await.unwrap_err();
            assert_eq!(error.kind, FailureKind::Unavailable, "{}", error.report());
            assert_eq!(server.asked().len(), max_retries as usize + 1);
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_read_again() {
    let count = AtomicU32::new(0);
    let server = Scripted::start(move |_: &Asked| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Answer(200, header("content-length", "5"), "who".to_owned()),
        _ => Reply::Answer(200, vec![], "whole".to_owned()),
    });
    let server = server.await;
    let store = S3Store::new("bucket", S3Options { max_retries: 1, ..options(&server) }).unwrap();
    assert_eq!(store.get(layout::marker()).await.unwrap(), "whole");
}

#[tokio::test]
async fn timeout_secs_cuts_a_server_that_stalls() {
    for reply in [Reply::Stall, Reply::StallAfter(9, "half".to_owned())] {
        let server = always(reply).await;
        let short = S3Options { timeout_secs: 1, max_retries: 5, ..options(&server) };
        let error = S3Store::new("bucket", short).unwrap().get(layout::marker()).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Unavailable);
        assert!(error.report().contains("timeout_secs = 1"), "{}", error.report());
        assert_eq!(server.asked().len(), 1, "retries do not outlive it");
    }
}

#[tokio::test]
async fn bytes_that_changed_on_their_way_are_corrupt() {
    let wrong = Reply::Answer(200, header("x-amz-checksum-crc32", "AAAAAQ=="), "bytes".to_owned());
    let down = get_from(wrong).await;
    assert_eq!(down.kind, FailureKind::Corrupt, "{}", down.report());
    let up = put_to(Reply::error(400, "BadDigest")).await;
    assert_eq!(up.kind, FailureKind::Corrupt, "{}", up.report());
    let long = get_from(Reply::Answer(200, vec![], "x".repeat(18 * 1024 * 1024))).await;
    assert_eq!(long.kind, FailureKind::Corrupt, "{}", long.report());
}

#[tokio::test]
async fn another_region_is_named() {
    let moved = header("x-amz-bucket-region", "eu-west-1");
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
    for error in [
        put_to(Reply::error_with(301, "PermanentRedirect", moved.clone())).await,
        get_from(Reply::Answer(400, vec![], malformed.to_owned())).await,
        {
            let server = always(Reply::Answer(400, moved.clone(), String::new())).await;
            store(&server).check_key_exists(&layout::marker()).await.unwrap_err()
        },
    ] {
        assert_eq!(error.kind, FailureKind::Misconfigured, "{}", error.report());
        assert!(error.report().contains("set region = \"eu-west-1\""), "{}", error.report());
    }
}

#[tokio::test]
async fn every_refusal_says_what_to_look_at() {
    use FailureKind as K;
    let cases = [
        ("NoSuchBucket", 404, K::Misconfigured, "correct bucket"),
        ("AccessDenied", 403, K::Denied, "PutObject"),
        ("InvalidAccessKeyId", 403, K::Denied, "access_key_id"),
        ("SignatureDoesNotMatch", 403, K::Denied, "secret_access_key"),
        ("RequestTimeTooSkewed", 403, K::Misconfigured, "clock"),
        ("InvalidStorageClass", 400, K::Misconfigured, "storage_class"),
        ("MethodNotAllowed", 405, K::Misconfigured, "path_style"),
        ("QuotaExceeded", 403, K::Unavailable, "full"),
    ];
    for (code, status, kind, advice) in cases {
        let error = put_to(Reply::error(status, code)).await;
        assert_eq!(error.kind, kind, "{}", error.report());
        assert!(error.report().contains(advice), "{}", error.report());
        assert!(error.report().contains("said the test"), "{}", error.report());
        assert!(!format!("{error:?}").contains("hush"));
    }
    let denied = store(&always(Reply::error(403, "AccessDenied")).await);
    let error = denied.list("blobs").try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!((error.kind, error.op), (K::Denied, "list"));
    assert!(error.report().contains("ListBucket"), "{}", error.report());
}

#[tokio::test]
async fn a_listing_that_cannot_go_on_is_not_taken_for_a_whole_one() {
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    let server = always(Reply::Answer(200, vec![], page.to_owned())).await;
    let error = store(&server).list("blobs").try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unavailable, "{}", error.report());
}

#[tokio::test]
async fn a_range_is_cut_out_where_the_server_sends_everything() {
    let server = always(Reply::Answer(200, vec![], "0123456789".to_owned())).await;
    let get = |range| vec![Get { key: layout::marker(), range: Some(range) }];
    assert_eq!(store(&server).retrieve(get(3..7)).await.remove(0).unwrap(), "3456");
    let beyond = store(&server).retrieve(get(8..12)).await.remove(0).unwrap_err();
    assert_eq!(beyond.kind, FailureKind::Corrupt, "{}", beyond.report());
}

#[tokio::test]
async fn a_server_without_bulk_deletion_is_asked_one_by_one() {
    let server = Scripted::start(|asked: &Asked| match asked.method.as_str() {
        "POST" => Reply::error(501, "NotImplemented"),
        _ => Reply::Answer(204, vec![], String::new()),
    });
    let server = server.await;
    let store = store(&server);
    let keys: Vec<_> = (0..3u8).map(|n| put(&[n]).key).collect();
    for expected in [4, 7] {
        assert!(store.delete(&keys).await.iter().all(Result::is_ok));
        assert_eq!(server.asked().len(), expected, "it is not asked for the impossible again");
    }
}

#[tokio::test]
async fn a_name_the_answer_leaves_out_is_not_taken_for_deleted() {
    let key = |name: &str| ObjectKey::new(name).unwrap();
    let server = Scripted::start(|asked: &Asked| match asked.method.as_str() {
        "POST" => Reply::Answer(
            200,
            vec![],
            "<DeleteResult><Deleted><Key>a</Key></Deleted>\
             <Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
                .to_owned(),
        ),
        _ => Reply::error(500, "InternalError"),
    });
    let server = server.await;
    let answers = store(&server).delete(&[key("a"), key("b"), key("c")]).await;
    let kinds: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|error| error.kind)).collect();
    assert_eq!(kinds, [Ok(()), Err(FailureKind::Denied), Err(FailureKind::Unavailable)]);
}
