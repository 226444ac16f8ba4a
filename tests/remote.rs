//! Clients of a server: servers that die and come back, several clients, other vaults and none.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use n2s_tests::raw::{connect, head, request};
use n2s_tests::{World, assert_same, files, served, until};

fn many_files(world: &World) {
    (0..800).for_each(|n| world.write(&format!("src/{}/{n}", n % 7), format!("content {n} ").repeat(400)));
}

#[test]
fn a_server_killed_in_the_middle_of_a_push_is_waited_for() {
    let world = World::served();
    many_files(&world);
    drop(world.server());
    let push = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
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
    push.wait().code(0);
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
    let push = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
    until("blobs arriving", || !files(&world.path("home/staging")).is_empty());
    {
        let mut server = world.server();
        let server = server.as_mut().unwrap();
        server.terminate();
        server.wait();
        assert!(server.log().contains("stopped"), "{}", server.log());
        server.start_again();
    }
    push.wait().code(0);
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
fn up_has_the_api_on_loopback() {
    let world = World::at_home();
    let log = world.path("up.log");
    let mut command = world.command(&["up"]);
    let systemd = UnixDatagram::bind(world.path("notify")).unwrap();
    systemd.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let told = || {
        let mut bytes = [0; 100];
        let length = systemd.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    command.env("N2S_API__LISTEN", "127.0.0.1:0").env("NOTIFY_SOCKET", world.path("notify"));
    let mut up = n2s_servers::Daemon::start("n2s up", command, &log);
    let url = || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("API on ")).map(|url| url.trim().to_owned())
    };
    up.wait_until(Duration::from_mins(1), || url().is_some());
    let url = url().unwrap();
    assert_eq!(told(), "READY=1");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert_eq!(request(&url, "GET /readyz", "", &[], b"").status, 200);
    assert_eq!(request(&url, "GET /v1/status", "", &[], b"").status, 401);
    up.signal(rustix::process::Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    up.wait();
    assert!(up.log_end().contains("stopped"));
}

#[test]
fn readiness_tells_the_truth() {
    let (world, url, _) = served();
    let ready = || request(&url, "GET /readyz", "", &[], b"");
    assert_eq!(ready().status, 200);
    let staging = world.path("home/staging");
    std::fs::remove_dir_all(&staging).unwrap();
    std::fs::write(&staging, "in the way").unwrap();
    let answer = ready();
    assert_eq!(answer.problem(), "unavailable");
    assert!(
        !String::from_utf8_lossy(&answer.body).contains("home"),
        "a caller without a token learnt a path"
    );
    std::fs::remove_file(&staging).unwrap();
    assert_eq!(ready().status, 200);
}

#[test]
fn progress_is_told_as_it_happens() {
    let (world, url, token) = served();
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    world.n2s(&["backends", "pause", "local"]).code(0);
    world.write("src/b", "beta");
    let pushed = world.push(&["--no-wait", "--output", "json"]).code(0).json();
    let events = format!("GET /v1/changesets/{}/events", pushed["changeset"].as_str().unwrap());
    let mut stream = connect(&url);
    stream.write_all(head(&events, &token, &[]).as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let first = lines.find(|line| line.starts_with("event: ")).unwrap();
    assert_eq!(first, "event: progress");
    assert!(lines.find(|line| line.starts_with("data: ")).unwrap().contains("\"status\":\"pushing\""));
    world.n2s(&["backends", "resume", "local"]).code(0);
    let settled = lines.find(|line| line == "event: settled");
    assert!(settled.is_some(), "the stream ended too early");
    assert!(lines.find(|line| line.starts_with("data: ")).unwrap().contains("\"status\":\"completed\""));
}

#[test]
fn an_archive_of_7000_blobs_goes_there_and_back_at_once() {
    let world = World::served();
    for n in 0..7_000_u32 {
        world.write(&format!("src/{}/{n}", n % 83), format!("blob {n}"));
    }
    world.write("src/empty", "");
    let noise = |length: u64| -> Vec<u8> {
        (0..length / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
    };
    world.write("src/five", noise(5_000_000));
    world.write("src/in pieces", noise(40_000_000));
    let pushed = world.push(&["--output", "json"]).code(0).json();
    assert_eq!(pushed["status"], "completed", "{pushed}");
    let blobs = world.json(&["changesets"])["changesets"][0]["blob_count"].as_u64().unwrap();
    assert!(blobs > 7_003, "{blobs} blobs");
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    let (url, token) = {
        let server = world.server();
        let server = server.as_ref().unwrap();
        (server.url.clone(), server.token.clone())
    };
    let archive = format!("GET /v1/changesets/{}/archive", pushed["changeset"].as_str().unwrap());
    let (bytes, ended) = request(&url, &archive, &token, &[], b"").chunks();
    assert!(ended && bytes.len() > 45_000_000 + 7_000 * 1_024, "{} bytes", bytes.len());
    world.settled();
}
