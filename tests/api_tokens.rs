//! Who may do what: every endpoint with every scope, and what a token does not tell.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use n2s_tests::raw::{Raw, request};
use n2s_tests::{Server, World, assert_same, served};
use serde_json::{Value, json};

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
        &format!("/v1/changesets/{changeset}/archive"),
        &format!("/v1/changesets/{absent}/archive"),
        "/v1/damages",
        "/v1/damages?project=p",
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
    for (call, body) in [
        ("validate", json!({ "project": "p", "dataset": "d", "level": "exists", "one_in": 1 })),
        ("backends/local/sync", json!({ "project": "p", "dataset": "d" })),
        // A changeset of another project under the name of its own.
        (
            "backends/local/sync",
            json!({ "project": "q", "dataset": "d", "next": { "changeset": changeset, "from": 0 } }),
        ),
    ] {
        let answer = request(&url, &format!("POST /v1/{call}"), &other, &[], body.to_string().as_bytes());
        assert_eq!(answer.problem(), "forbidden", "{call} {body}");
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
