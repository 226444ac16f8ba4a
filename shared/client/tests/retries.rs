//! A client keeps calling while that may help, and no longer: a server that answers what it is told to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use n2s_client::http::{HttpOptions, Remote, Secret};
use n2s_client::seam::{Lease, Producer as _, SeamError, SendBlob};
use n2s_domain::{ChangesetId, ContentHash, Epoch, LeaseToken, SealedHash, SeededEntropy};
use uuid::Uuid;

/// What the server does with one request: `None` closes the connection without an answer.
type Step = Option<(&'static str, String)>;

/// Serves the steps in order, one connection each, and notes the request lines.
fn server(steps: Vec<Step>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for step in steps {
            let (stream, _) = listener.accept().unwrap();
            noted.lock().unwrap().push(serve(stream, step));
        }
    });
    (url, seen)
}

fn serve(stream: TcpStream, step: Step) -> String {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    if let Some((status, body)) = step {
        let head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        reader.into_inner().write_all((head + &body).as_bytes()).unwrap();
    }
    first.trim().trim_end_matches(" HTTP/1.1").to_owned()
}

fn remote(url: &str, patience: Duration) -> Remote {
    let options = HttpOptions {
        server: url.to_owned(),
        token: Secret("n2s_token".to_owned()),
        ca: None,
        plain_http: false,
        patience,
        entropy: Arc::new(SeededEntropy::new(1)),
    };
    Remote::new(&options).unwrap()
}

const PATIENT: Duration = Duration::from_mins(1);

fn problem(code: &str) -> String {
    format!("{{\"status\":0,\"title\":\"\",\"detail\":\"words\",\"code\":\"{code}\"}}")
}

const CATALOG: &str = "{\"catalog\":\"00000000-0000-0000-0000-000000000007\"}";

#[tokio::test]
async fn what_may_pass_is_waited_for() {
    let (url, seen) = server(vec![
        Some(("429 Too Many Requests\r\nRetry-After: 0", problem("busy"))),
        None,
        Some(("503 Service Unavailable\r\nRetry-After: 0", problem("unavailable"))),
        Some(("502 Bad Gateway", "<html>a proxy</html>".to_owned())),
        Some(("408 Request Timeout", problem("too-slow"))),
        Some(("200 OK", CATALOG.to_owned())),
    ]);
    assert_eq!(remote(&url, PATIENT).catalog_id().await.unwrap(), Uuid::from_u128(7));
    assert_eq!(*seen.lock().unwrap(), ["GET /v1/catalog"; 6]);
}

#[tokio::test]
async fn what_will_not_pass_is_told_at_once() {
    let (url, seen) = server(vec![
        Some(("401 Unauthorized", problem("unauthenticated"))),
        Some(("500 Internal Server Error", problem("failed"))),
        Some(("302 Found\r\nLocation: http://127.0.0.1:1/", String::new())),
        Some(("200 OK", "<html>not a server of n2s</html>".to_owned())),
    ]);
    let remote = remote(&url, PATIENT);
    assert!(matches!(remote.catalog_id().await, Err(SeamError::Denied(_))));
    for _ in 0..3 {
        assert!(matches!(remote.catalog_id().await, Err(SeamError::Other { .. })));
    }
    assert_eq!(seen.lock().unwrap().len(), 4, "a redirect was followed, or a refusal doubted");
}

#[tokio::test]
async fn patience_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = remote(&url, Duration::from_millis(300)).catalog_id().await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("does not answer"));
}

fn blob(n: u8) -> SendBlob {
    SendBlob {
        content_hash: ContentHash([n; 32]),
        size: 1,
        sealed_hash: SealedHash([n; 32]),
        epoch: Epoch(1),
        bytes: Bytes::from(vec![n; 100]),
    }
}

/// The answer to the first sending is lost. The server turns out to have one of three blobs: the other two are sent, and that is all.
#[tokio::test]
async fn after_a_doubtful_end_only_the_rest_is_sent() {
    let hex = |n: u8| format!("\"{}\"", SealedHash([n; 32]));
    let (url, seen) = server(vec![
        None,
        Some(("200 OK", format!("{{\"held\":[null,{},null]}}", hex(9)))),
        Some(("200 OK", format!("{{\"accepted\":[{},{}]}}", hex(1), hex(3)))),
    ]);
    let lease = Lease { changeset: ChangesetId(Uuid::from_u128(1)), token: LeaseToken(Uuid::from_u128(2)) };
    let accepted = remote(&url, PATIENT).send(&lease, vec![blob(1), blob(2), blob(3)]).await.unwrap();
    assert_eq!(accepted, [SealedHash([1; 32]), SealedHash([9; 32]), SealedHash([3; 32])]);
    let push = format!("/v1/pushes/{}", lease.changeset);
    let calls = [format!("POST {push}/blobs"), format!("POST {push}/offers"), format!("POST {push}/blobs")];
    assert_eq!(*seen.lock().unwrap(), calls);
}
