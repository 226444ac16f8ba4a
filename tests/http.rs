//! The API from outside: bodies that no client of n2s would send.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;

use n2s_tests::raw::{answer, connect, head, request};
use n2s_tests::{World, assert_same, served, until};
use serde_json::{Value, json};

#[test]
fn bodies_that_are_not_what_they_should_be_are_refused() {
    let (world, url, token) = served();
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    let post =
        |call: &str, headers: &[(&str, String)], body: &[u8]| request(&url, call, &token, headers, body);
    let open = json!({
        "project": "p", "dataset": "d", "vault": vault(&world), "store_key": "00".repeat(32), "snapshot": null, "description": null,
        "client_id": "by hand", "metadata": {}, "backends": [], "min_copies": null, "take_over": "if-lapsed",
    });
    let key = [("Idempotency-Key", "one".to_owned())];
    // Malformed.
    assert_eq!(post("POST /v1/pushes", &key, b"{").problem(), "invalid");
    assert_eq!(post("POST /v1/pushes", &[], open.to_string().as_bytes()).problem(), "invalid");
    let mut hostile = open.clone();
    hostile["vault"] = json!("0000000000000000");
    let unregistered = post("POST /v1/pushes", &key, hostile.to_string().as_bytes());
    assert!(unregistered.json()["detail"].as_str().unwrap().contains("PUT /v1/vaults"), "{unregistered:?}");
    let opened = post("POST /v1/pushes", &key, open.to_string().as_bytes());
    assert_eq!(opened.status, 200, "{opened:?}");
    let opened = opened.json();
    let push = format!("/v1/pushes/{}", opened["lease"]["changeset"].as_str().unwrap());
    let lease = [("N2S-Lease", opened["lease"]["token"].as_str().unwrap().to_owned())];
    // The same key opens the same push; another is told who has it.
    assert_eq!(post("POST /v1/pushes", &key, open.to_string().as_bytes()).json()["lease"], opened["lease"]);
    let held = post("POST /v1/pushes", &[("Idempotency-Key", "two".to_owned())], open.to_string().as_bytes());
    assert_eq!((held.status, held.problem()), (409, "held".to_owned()));
    let entries = format!("PUT {push}/entries/1");
    let entry = |path: &str| {
        format!(
            "{{\"path\":\"{path}\",\"entry\":{{\"mode\":420,\"uid\":0,\"gid\":0,\"mtime\":[1,5],\"kind\":\"d\"}}}}\n"
        )
    };
    for bad in ["../up", "/etc", "a//b", "a/../b", "x\\\\q"] {
        let refused = post(&entries, &lease, entry(bad).as_bytes());
        assert_eq!(refused.problem(), "invalid", "{bad}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("line 1"), "{refused:?}");
    }
    // A blob nobody has, frames that end too early, bytes that are other bytes.
    let file = format!(
        "{{\"path\":\"f\",\"entry\":{{\"mode\":420,\"uid\":0,\"gid\":0,\"mtime\":[1,5],\"kind\":\"f\",\"size\":5,\"hash\":\"{}\"}}}}\n",
        "cd".repeat(32)
    );
    assert_eq!(post(&entries, &lease, file.as_bytes()).problem(), "unsourced");
    assert_eq!(post(&format!("POST {push}/blobs"), &lease, &[9, 0, 0, 0, b'{']).problem(), "invalid");
    let mut blob = lease.to_vec();
    blob.extend([
        ("N2S-Size", "5".to_owned()),
        ("N2S-Sealed-Hash", "ab".repeat(32)),
        ("N2S-Epoch", "1".to_owned()),
    ]);
    let put = format!("PUT {push}/blobs/{}", "ab".repeat(32));
    assert!(post(&put, &blob, b"other").json()["detail"].as_str().unwrap().contains("other bytes"));
    assert_eq!(post(&format!("POST {push}/commit?batches=0"), &lease, b"").problem(), "invalid");
    assert_eq!(post(&format!("POST {push}/commit"), &lease, b"").problem(), "invalid");
    assert_eq!(post(&format!("POST {push}/renew"), &[], b"").problem(), "invalid");
    let stranger = [("N2S-Lease", "01a1fd32-16bb-786d-b650-d67d608d1bee".to_owned())];
    assert_eq!(post(&format!("POST {push}/renew"), &stranger, b"").problem(), "lease-lost");
    assert_eq!(post("GET /v1/nothing", &[], b"").problem(), "no-such-endpoint");
    assert_eq!(post("PATCH /v1/status", &[], b"").problem(), "no-such-endpoint");
    assert_eq!(post(&format!("DELETE {push}"), &lease, b"").status, 204);
    world.settled_after_a_kill();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

fn vault(world: &World) -> String {
    let marker: Value =
        serde_json::from_slice(&std::fs::read(world.path("home/store/n2s.json")).unwrap()).unwrap();
    marker["vault"].as_str().unwrap().to_owned()
}

#[test]
fn bodies_too_large_slow_or_cut_cost_the_server_nothing() {
    let world = World::served();
    world.serve_with(&[("N2S_API__IN_FLIGHT_MIB", "64")]);
    let (url, token) = {
        let server = world.server();
        let server = server.as_ref().unwrap();
        (server.url.clone(), server.token.clone())
    };
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    let length = |bytes: u64| [("Content-Length", bytes.to_string()), ("Idempotency-Key", "k".to_owned())];
    // Too large: refused by its length, before a byte of it was read.
    let mut stream = connect(&url);
    stream.write_all(head("POST /v1/pushes", &token, &length(1 << 40)).as_bytes()).unwrap();
    assert_eq!(answer(stream).problem(), "too-large");
    // Without a length it is cut off at the bound.
    let chunked = [("Transfer-Encoding", "chunked".to_owned())];
    let mut stream = connect(&url);
    stream.write_all(head("POST /v1/tokens", &token, &chunked).as_bytes()).unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 65_536], b"\r\n".to_vec()].concat();
    while stream.write_all(&chunk).is_ok() {}
    assert!([413, 0].contains(&answer(stream).status));
    // Cut: the client goes away in the middle of a body.
    for _ in 0..50 {
        let mut stream = connect(&url);
        stream.write_all(head("POST /v1/tokens", &token, &length(1_000)).as_bytes()).unwrap();
        stream.write_all(b"{\"name\"").unwrap();
    }
    // Slow: bodies that do not come hold their share; what does not fit is told to come back, and the rest goes on.
    let changeset = "01a1fd32-16bb-786d-b650-d67d608d1bee";
    let record = world.json(&["changesets"])["changesets"][0]["changeset"].as_str().unwrap().to_owned();
    let lease = |bytes: u64| [("N2S-Lease", changeset.to_owned()), ("Content-Length", bytes.to_string())];
    let slow = |bytes: u64| {
        let mut stream = connect(&url);
        let head = head(&format!("PUT /v1/pushes/{record}/entries/1"), &token, &lease(bytes));
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    // Two fit: of three, whichever comes last is turned away.
    let mut held: Vec<_> = (0..3).map(|_| slow(31 << 20)).collect();
    let answered = |stream: &std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        answered
    };
    until("an answer to one of three", || held.iter().any(answered));
    let last = held.iter().position(answered).unwrap();
    let turned_away = answer(held.remove(last));
    assert_eq!((turned_away.problem(), turned_away.header("retry-after")), ("busy".to_owned(), Some("1")));
    world.n2s(&["status"]).code(0);
    drop(held);
    // A body of this length is taken, and found to be no entries, once the shares are back.
    let large = vec![b'x'; 40 << 20];
    let put = format!("PUT /v1/pushes/{record}/entries/1");
    let lease = [("N2S-Lease", changeset.to_owned())];
    until("the shares coming back", || {
        let answer = request(&url, &put, &token, &lease, &large);
        answer.status == 400 && answer.problem() == "invalid"
    });
    world.write("src/b", "beta");
    world.push(&[]).code(0);
    world.settled();
}

#[test]
fn what_is_said_to_be_another_push_is_not_sealed() {
    let (world, url, token) = served();
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    let post =
        |call: &str, headers: &[(&str, String)], body: &[u8]| request(&url, call, &token, headers, body);
    let terms = post("GET /v1/plain?project=p&dataset=d", &[], b"").json();
    assert_eq!(terms["vault"], json!(vault(&world)));
    let open = json!({
        "project": "p", "dataset": "d", "vault": terms["vault"], "store_key": terms["store_key"], "snapshot": null, "description": null,
        "client_id": "by hand", "metadata": {}, "backends": [], "min_copies": null, "take_over": "if-lapsed",
    });
    let key = [("Idempotency-Key", "one".to_owned())];
    let opened = post("POST /v1/pushes", &key, open.to_string().as_bytes()).json();
    let push = format!("/v1/pushes/{}", opened["lease"]["changeset"].as_str().unwrap());
    let lease = [("N2S-Lease", opened["lease"]["token"].as_str().unwrap().to_owned())];
    let frame = |head: Value, bytes: &[u8]| {
        let head = head.to_string();
        [&u32::try_from(head.len()).unwrap().to_le_bytes()[..], head.as_bytes(), bytes].concat()
    };
    let other = frame(json!({ "content_hash": "ab".repeat(32), "length": 5 }), b"other");
    let refused = post(&format!("POST {push}/plain"), &lease, &other);
    assert!(refused.json()["detail"].as_str().unwrap().contains("other bytes"), "{refused:?}");
    let header = json!({
        "format": 1, "vault": terms["vault"], "catalog": "01a1fd32-16bb-786d-b650-d67d608d1bee", "project": "p", "dataset": "d", "version": 9,
        "changeset": opened["lease"]["changeset"], "created_at": "2026-01-02T03:04:05.000000Z",
        "counts": { "files": 1, "bytes": 5, "changed": 3 }, "body": { "sealed_hash": "00".repeat(32), "size": 0 },
    });
    let (header, body) = (header.to_string(), json!({ "groups": [] }).to_string());
    let parts = [
        frame(json!({ "length": header.len() }), header.as_bytes()),
        frame(json!({ "length": body.len() }), body.as_bytes()),
    ]
    .concat();
    let refused = post(&format!("POST {push}/commit-plain?batches=0"), &lease, &parts);
    assert!(refused.json()["detail"].as_str().unwrap().contains("another push"), "{refused:?}");
    assert_eq!(post(&format!("DELETE {push}"), &lease, b"").status, 204);
}

#[test]
fn a_validation_ends_with_the_answer_that_nobody_reads_and_few_run_at_once() {
    let (world, url, token) = served();
    (0..20).for_each(|n| world.write(&format!("src/{n}"), format!("content {n} ").repeat(1_000)));
    world.push(&[]).code(0);
    // A copy a second, or fewer: it would take a while.
    let slow =
        json!({ "project": "p", "dataset": "d", "level": "sealed", "one_in": 1, "bytes_per_sec": 100 })
            .to_string();
    let begin = || {
        let mut stream = connect(&url);
        let length = [("Content-Length", slow.len().to_string())];
        stream.write_all(head("POST /v1/validate", &token, &length).as_bytes()).unwrap();
        stream.write_all(slow.as_bytes()).unwrap();
        assert_eq!(stream.peek(&mut [0]).unwrap(), 1);
        stream
    };
    let running: Vec<_> = (0..4).map(|_| begin()).collect();
    let once = |body: &str| request(&url, "POST /v1/validate", &token, &[], body.as_bytes());
    let turned_away = once(&slow);
    assert_eq!((turned_away.problem(), turned_away.header("retry-after")), ("busy".to_owned(), Some("1")));
    drop(running);
    let quick = slow.replace(",\"bytes_per_sec\":100", "").replace("\"bytes_per_sec\":100,", "");
    until("an end of those that nobody reads", || once(&quick).status == 200);
    let (lines, ended) = once(&quick).chunks();
    let last: Value =
        serde_json::from_slice(lines.trim_ascii_end().split(|b| *b == b'\n').next_back().unwrap()).unwrap();
    assert!(ended && last["report"]["stores"][0]["damaged"] == 0, "{last}");
    let refused = |more: Value| {
        let mut request: Value = serde_json::from_str(&quick).unwrap();
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        once(&request.to_string()).problem()
    };
    assert_eq!(refused(json!({ "one_in": 0 })), "invalid");
    assert_eq!(refused(json!({ "level": "deep" })), "invalid");
    assert_eq!(refused(json!({ "dataset": "absent" })), "unknown");
    assert_eq!(refused(json!({ "backend": "absent" })), "unknown");
}
