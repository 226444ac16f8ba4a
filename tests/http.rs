//! The API from outside: who may do what, bodies that are not what they should be, servers that die.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::{Duration, Instant};

use n2s_tests::raw::{Raw, answer, connect, head, request};
use n2s_tests::{Server, World, assert_same, files};
use serde_json::{Value, json};

/// Waits, for at most a minute, until something is so.
#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what} did not happen");
        std::thread::yield_now();
    }
}

/// A served world, the server's address and a token for everything.
fn served() -> (World, String, String) {
    let world = World::served();
    let (url, token) = {
        let server = world.server();
        let server = server.as_ref().unwrap();
        (server.url.clone(), server.token.clone())
    };
    (world, url, token)
}

fn many_files(world: &World) {
    (0..800).for_each(|n| world.write(&format!("src/{}/{n}", n % 7), format!("content {n} ").repeat(400)));
}

/// Every operation of the OpenAPI document: method, path with its parameters filled in, scopes.
fn operations(url: &str) -> Vec<(String, String, BTreeSet<String>)> {
    let document = request(url, "GET /openapi.json", "", &[], b"").json();
    let fill = BTreeMap::from([
        ("changeset", "01a1fd32-16bb-786d-b650-d67d608d1bee".to_owned()),
        ("vault", "0011223344556677".to_owned()),
        ("backend", "nowhere".to_owned()),
        ("content", "ab".repeat(32)),
        ("batch", "1".to_owned()),
        ("id", "999999".to_owned()),
    ]);
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let mut filled = path.clone();
            for (name, value) in &fill {
                filled = filled.replace(&format!("{{{name}}}"), value);
            }
            assert!(!filled.contains('{'), "{path} has a parameter this test does not know");
            let scopes = operation["security"][0]["token"].as_array();
            let scopes = scopes.unwrap_or_else(|| panic!("{method} {path} says nothing of scopes"));
            let scopes = scopes.iter().map(|scope| scope.as_str().unwrap().to_owned()).collect();
            found.push((method.to_uppercase(), filled, scopes));
        }
    }
    assert!(found.len() > 30, "only {} operations", found.len());
    found
}

/// Calls an operation with a body and a query that some of them take.
fn call(url: &str, (method, path): (&str, &str), token: &str) -> Raw {
    request(url, &format!("{method} {path}?project=p&dataset=d&text=x"), token, &[], b"{}")
}

#[test]
fn every_endpoint_takes_the_scopes_it_names_and_no_other() {
    let (world, url, _) = served();
    let root = world.path("");
    let tokens =
        ["push", "pull", "operate", "admin"].map(|scope| (scope, Server::make_token(&root, &[scope], &[])));
    for (method, path, scopes) in operations(&url) {
        for (scope, token) in &tokens {
            let answer = call(&url, (&method, &path), token);
            let allowed = *scope == "admin" || scopes.contains(*scope);
            assert_eq!(answer.status != 403, allowed, "{scope} at {method} {path}: {answer:?}");
            assert_ne!(answer.status, 401, "{scope} at {method} {path}: {answer:?}");
            assert!(answer.status < 500, "{scope} at {method} {path}: {answer:?}");
            assert!(answer.header("n2s-request-id").is_some());
        }
    }
}

#[test]
fn without_a_valid_token_every_endpoint_gives_one_answer() {
    let (world, url, _) = served();
    let revoked = Server::make_token(&world.path(""), &["admin"], &[]);
    let id = world.json(&["token", "list"])["tokens"][0]["id"].to_string();
    world.n2s(&["token", "revoke", &id]).code(0);
    world.n2s(&["token", "revoke", "999"]).code(3);
    let shape = |raw: &Raw| {
        let mut json = raw.json();
        json["request_id"].take();
        (raw.status, json, raw.header("www-authenticate").map(str::to_owned))
    };
    let wanted = shape(&request(&url, "GET /v1/status", "", &[], b""));
    assert_eq!(wanted.0, 401);
    for (method, path, _) in operations(&url) {
        for token in ["", "n2s_0000", "é", &revoked] {
            assert_eq!(shape(&call(&url, (&method, &path), token)), wanted, "{method} {path}");
        }
    }
    let basic = [("Authorization", "Basic bjJzOm4ycw==".to_owned())];
    assert_eq!(shape(&request(&url, "GET /v1/status", "", &basic, b"")), wanted);
}

#[test]
fn a_token_teaches_nothing_about_other_projects() {
    let (world, url, _) = served();
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    let changeset = world.json(&["changesets"])["changesets"][0]["changeset"].as_str().unwrap().to_owned();
    let other = Server::make_token(&world.path(""), &["push", "pull", "operate", "admin"], &["q"]);
    let get = |path: &str| request(&url, &format!("GET {path}"), &other, &[], b"");
    // What there is, what there is not, and everything at once answer alike.
    let absent = "01a1fd32-16bb-786d-b650-d67d608d1bee";
    for path in [
        "/v1/version?project=p&dataset=d",
        "/v1/version?project=absent&dataset=d",
        &format!("/v1/changesets/{changeset}"),
        &format!("/v1/changesets/{absent}"),
        &format!("/v1/changesets/{changeset}/tree"),
        &format!("/v1/changesets/{absent}/tree"),
        &format!("/v1/changesets/{changeset}/events"),
        "/v1/changesets",
        "/v1/changesets?project=p",
        "/v1/search?text=a",
        "/v1/search?text=a&project=p",
        "/v1/failed",
        "/v1/status",
        "/v1/backends",
        "/v1/audit",
    ] {
        assert_eq!(get(path).problem(), "forbidden", "{path}");
    }
    // Its own project, which does not exist yet, is not told what others are called.
    let own = get("/v1/version?project=q&dataset=d");
    assert_eq!((own.status, own.json()["hint"].as_str()), (404, Some("")), "{own:?}");
    // Blob ids count up; those of others answer as those of nothing.
    for id in 0..20 {
        assert_eq!(get(&format!("/v1/blobs/{id}")).problem(), "unknown", "blob {id}");
    }
    let tokens = get("/v1/tokens").json();
    assert!(tokens.as_array().unwrap().iter().all(|token| token["projects"] == json!(["q"])), "{tokens}");
    // It may make tokens for its project, and for no other.
    let make = |projects: Value| {
        let body = json!({ "name": "x", "scopes": ["pull"], "projects": projects }).to_string();
        request(&url, "POST /v1/tokens", &other, &[], body.as_bytes()).status
    };
    assert_eq!(
        (make(json!(["q"])), make(json!(["p"])), make(json!(["q", "p"])), make(Value::Null)),
        (200, 403, 403, 403)
    );
}

#[test]
fn tokens_carry_commands_as_far_as_their_scopes() {
    let world = World::served();
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    let with = |token: &str, args: &[&str]| -> n2s_tests::Ended {
        world.command(args).env("N2S_TOKEN", token).output().unwrap().into()
    };
    let root = world.path("");
    let pusher = Server::make_token(&root, &["push"], &["p"]);
    world.write("src/b", "beta");
    with(&pusher, &["push", "--project", "p", "--dataset", "d", "src"]).code(0);
    with(&pusher, &["push", "--project", "q", "--dataset", "d", "src"]).code(1).says(&["does not allow"]);
    with(&pusher, &["pull", "--project", "p", "--dataset", "d", "--target", "no"])
        .code(1)
        .says(&["does not allow"]);
    let puller = Server::make_token(&root, &["pull"], &["p"]);
    with(&puller, &["pull", "--project", "p", "--dataset", "d", "--target", "out"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    with(&puller, &["push", "--project", "p", "--dataset", "d", "src"]).code(1).says(&["does not allow"]);
    with(&puller, &["status"]).code(1);
    with("", &["status"]).code(2).says(&["N2S_TOKEN", "--token-file"]);
    with("n2s_wrong", &["status"]).code(1).says(&["valid token"]);
    world.write("token", format!("{}\n", Server::make_token(&root, &["operate"], &[])));
    with("", &["status", "--token-file", "token"]).code(0);
}

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
fn a_server_killed_in_the_middle_of_a_push_is_waited_for() {
    let world = World::served();
    many_files(&world);
    drop(world.server());
    let mut push = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
    let accepted = |world: &World| {
        let log = world.server().as_ref().unwrap().log();
        let line = |line: &str| {
            line.contains("blob accepted")
                .then(|| line.split("blob.content=").nth(1).unwrap()[..64].to_owned())
        };
        log.lines().filter_map(line).collect::<Vec<_>>()
    };
    for round in 1..=3 {
        let before = accepted(&world).len();
        until("blobs arriving", || accepted(&world).len() > before || push_ended(&world));
        let mut server = world.server();
        let server = server.as_mut().unwrap();
        server.kill();
        server.start_again();
        assert!(round < 4);
    }
    assert!(
        push.wait().unwrap().success(),
        "the push did not go on: {}",
        world.server().as_ref().unwrap().log()
    );
    let accepted = accepted(&world);
    let distinct: BTreeSet<_> = accepted.iter().collect();
    assert!(!distinct.is_empty());
    assert_eq!(accepted.len(), distinct.len(), "accepted blobs were sent again");
    assert!(!world.server().as_ref().unwrap().log().contains("sent again"), "accepted blobs were sent again");
    world.settled_after_a_kill();
    assert_eq!(world.json(&["changesets"])["changesets"].as_array().unwrap().len(), 1, "the push began anew");
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

/// Whether the version is committed already.
fn push_ended(world: &World) -> bool {
    !files(&world.path("home/store/archives")).is_empty()
}

#[test]
fn two_clients_push_the_same_content_at_once() {
    let world = World::served();
    many_files(&world);
    drop(world.server());
    let push = |home: &str, dataset: &str| {
        std::fs::create_dir_all(world.path(home)).unwrap();
        std::fs::copy(world.path("client/vault"), world.path(home).join("vault")).unwrap();
        let mut command = world.command(&["push", "--project", "p", "--dataset", dataset, "src"]);
        command.env("N2S_HOME", world.path(home)).spawn().unwrap()
    };
    let mut both = [push("client-one", "d"), push("client-two", "e")];
    for child in &mut both {
        assert!(child.wait().unwrap().success());
    }
    world.settled();
    // Content is kept once; besides it there are the segments and manifests of two datasets.
    assert!(files(&world.path("home/store/blobs")).len() < 810);
    for (dataset, target) in [("d", "out-d"), ("e", "out-e")] {
        world.n2s(&["pull", "--project", "p", "--dataset", dataset, "--target", target]).code(0);
        assert_same(&world.path("src"), &world.path(target));
    }
}

#[test]
fn another_vault_is_refused_by_the_server_too() {
    let world = World::served();
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    // A vault of another home.
    let mut stranger = world.command(&["push", "--project", "q", "--dataset", "d", "src"]);
    stranger.env("N2S_HOME", world.path("stranger")).env_remove("N2S_SERVER");
    assert!(stranger.output().unwrap().status.success());
    let with = |args: &[&str]| -> n2s_tests::Ended {
        world.command(args).env("N2S_HOME", world.path("stranger")).output().unwrap().into()
    };
    with(&["push", "--project", "p", "--dataset", "d", "src"]).code(2).says(&["sealed with vault"]);
    with(&["pull", "--project", "p", "--dataset", "d", "--target", "no"])
        .code(2)
        .says(&["sealed with vault"]);
    assert!(!world.path("no").exists());
}

#[test]
fn a_server_asked_to_end_ends_what_it_began() {
    let world = World::served();
    many_files(&world);
    drop(world.server());
    let ready = |url: &str| request(url, "GET /readyz", "", &[], b"").status;
    let url = world.server().as_ref().unwrap().url.clone();
    assert_eq!((ready(&url), request(&url, "GET /healthz", "", &[], b"").status), (200, 200));
    let mut push = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
    until("blobs arriving", || !files(&world.path("home/staging")).is_empty());
    {
        let mut server = world.server();
        let server = server.as_mut().unwrap();
        server.terminate();
        server.wait();
        assert!(server.log().contains("stopped"), "{}", server.log());
        server.start_again();
    }
    assert!(push.wait().unwrap().success());
    world.settled();
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let world = World::served();
    drop(world.server());
    let port = n2s_servers::free_port();
    let with = |url: &str, args: &[&str]| -> n2s_tests::Ended {
        world.command(args).env("N2S_SERVER", url).output().unwrap().into()
    };
    with(&format!("http://127.0.0.1:{port}"), &["status"]).code(1).says(&["does not answer"]);
    with("http://example.org", &["status"]).code(2).says(&["plain HTTP"]);
    with("127.0.0.1:7227", &["status"]).code(2).says(&["https://host:port"]);
    with(&format!("http://127.0.0.1:{port}"), &["keys", "show"]).code(2).says(&["leave out --server"]);
}

#[test]
fn a_client_without_the_vault_has_the_server_seal_and_open() {
    let world = World::served();
    many_files(&world);
    let large: Vec<u8> =
        (0..20_000_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()).collect();
    world.write("src/large", &large);
    world.write("src/empty", "");
    let bare = |args: &[&str]| -> n2s_tests::Ended {
        world.command(args).env("N2S_HOME", world.path("bare")).output().unwrap().into()
    };
    let push = ["push", "--project", "p", "--dataset", "d", "--output", "json", "src"];
    let pushed = bare(&push).code(0).json();
    assert_eq!(pushed["status"], "completed", "{pushed}");
    assert!(!world.path("bare/vault").exists(), "a vault was made where none is needed");
    bare(&["pull", "--project", "p", "--dataset", "d", "--target", "bare-out", "--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("bare-out"));
    // Whoever has the vault reads it as its own, and finds every content there already, large ones cut alike.
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    let again = world.json(&["push", "--project", "p", "--dataset", "e", "src"]);
    assert!(again["sent_bytes"].as_u64().unwrap() < 300_000, "{again}");
    world.write("src/one-more", "more");
    assert_eq!(bare(&push).code(0).json()["put"], 2);
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
