//! A bucket as a store and as staging, against s3s-fs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::FileExt as _;

use n2s_servers::free_port;
use n2s_servers::s3::{ACCESS_KEY_ID, Rules, S3Server, SECRET_ACCESS_KEY};
use n2s_tests::{Ended, World, assert_same, files};

/// A world with a secret in a file and something to push.
fn world() -> World {
    let world = World::new();
    world.write("secret", format!("{SECRET_ACCESS_KEY}\n"));
    world.write("src/empty", "");
    world.write("src/dir/small", "small");
    world
}

fn add(world: &World, endpoint: &str, more: &[&str]) -> Ended {
    let settings =
        ["--bucket", "bucket", "--access-key-id", ACCESS_KEY_ID, "--secret-access-key-file", "secret"];
    let add = ["backends", "add", "bucket", "s3", "--endpoint", endpoint];
    world.n2s(&[&add[..], &settings, more].concat())
}

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn a_push_to_a_bucket_and_a_directory_comes_back_from_the_bucket_alone() {
    let (server, world) = (S3Server::start(), world());
    server.make_bucket("bucket");
    world.write("src/five", noise(5 << 20));
    world.write("src/cut in several", noise(40 << 20));
    world.n2s(&["backends", "add", "disk", "--path", "disk"]).code(0);
    add(&world, &server.endpoint(), &["--prefix", "/site/a/"]).code(0);
    world.n2s(&["config", "check"]).code(0);
    world.push(&[]).code(0);
    let rows = world.json(&["backends", "list"]);
    let counts = |n: usize| {
        ["kind", "state", "completed", "pending", "failed"].map(|key| rows["backends"][n][key].clone())
    };
    assert_eq!(counts(0)[2..], counts(1)[2..], "{rows}");
    assert_eq!([&counts(0)[0], &counts(1)[0]], ["s3", "local"], "{rows}");
    let (bucket, disk) = (server.object("bucket", "site/a"), world.path("disk"));
    let names = |root: &std::path::Path| {
        let relative = |path: std::path::PathBuf| path.strip_prefix(root).unwrap().to_owned();
        // A bucket is tried out with the probe before the first put, a directory is not.
        files(root).into_iter().map(relative).filter(|name| !name.ends_with("probe")).collect::<Vec<_>>()
    };
    assert_eq!(names(&bucket), names(&disk), "every backend lays out the same tree");
    world.settled();
    fs::remove_dir_all(disk).unwrap();
    world.pull("out", &["--from", "bucket"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

/// What a push says that waits for the bucket, and what the list of stores says then.
fn stuck(world: &World) -> String {
    let pushed = world.push(&[]).code(1);
    format!("{}{}{}", pushed.out, pushed.err, world.n2s(&["backends", "list"]).code(0).out)
}

#[track_caller]
fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "'{word}' is missing in {said}");
    }
    assert!(!said.contains(SECRET_ACCESS_KEY) && !said.contains("hush"), "{said}");
}

#[test]
fn a_wrong_region_is_told_the_right_one() {
    let (server, world) =
        (S3Server::start_with(Rules { region: Some("mars-1"), ..Rules::default() }), world());
    server.make_bucket("bucket");
    add(&world, &server.endpoint(), &["--region", "venus-1"]).code(0);
    says(&stuck(&world), &["misconfigured", "set region = \"mars-1\""]);
    let config = fs::read_to_string(world.path("home/config.toml")).unwrap();
    fs::write(world.path("home/config.toml"), config.replace("venus-1", "mars-1")).unwrap();
    world.push(&[]).code(0);
    world.settled();
}

#[test]
fn a_wrong_secret_is_said_and_costs_nothing_once_it_is_right() {
    let (server, world) = (S3Server::start(), world());
    server.make_bucket("bucket");
    world.write("secret", "hush");
    add(&world, &server.endpoint(), &[]).code(0);
    says(&stuck(&world), &["denied", "secret_access_key"]);
    assert_eq!(
        world.json(&["failed"])["failed"],
        serde_json::json!([]),
        "a credential cost a blob its budget"
    );
    world.write("secret", SECRET_ACCESS_KEY);
    world.push(&[]).code(0);
    world.settled();
}

#[test]
fn a_key_the_server_does_not_know_is_said() {
    let (server, world) = (S3Server::start(), world());
    server.make_bucket("bucket");
    add(&world, &server.endpoint(), &[]).code(0);
    let mut push = world.command(&["push", "--project", "p", "--dataset", "d", "src"]);
    let pushed: Ended = push.env("N2S_BACKENDS__BUCKET__ACCESS_KEY_ID", "who").output().unwrap().into();
    says(&format!("{}{}", pushed.out, pushed.err), &["denied", "access_key_id"]);
    pushed.code(1);
}

#[test]
fn a_missing_bucket_is_said_and_not_made() {
    let (server, world) = (S3Server::start(), world());
    add(&world, &server.endpoint(), &[]).code(0);
    says(&stuck(&world), &["misconfigured", "no such bucket", "correct bucket"]);
    assert!(!server.object("bucket", "").exists());
    server.make_bucket("bucket");
    world.push(&[]).code(0);
    world.settled();
}

#[test]
fn a_denied_list_is_said() {
    let (server, world) = (S3Server::start_with(Rules { deny_list: true, ..Rules::default() }), world());
    server.make_bucket("bucket");
    add(&world, &server.endpoint(), &[]).code(0);
    says(&stuck(&world), &["denied", "ListBucket"]);
}

#[test]
fn a_bucket_sought_in_the_hosts_name_is_said() {
    let (server, world) = (S3Server::start(), world());
    server.make_bucket("bucket");
    let endpoint = server.endpoint().replace("127.0.0.1", "localhost");
    add(&world, &endpoint, &["--path-style", "false"]).code(0);
    says(&stuck(&world), &["path_style = true"]);
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let world = world();
    add(&world, &format!("http://127.0.0.1:{}", free_port()), &[]).code(0);
    says(&stuck(&world), &["cannot be reached", "catches up"]);
    assert_eq!(world.json(&["failed"])["failed"], serde_json::json!([]));
}

#[test]
fn a_server_that_throttles_is_waited_for_and_costs_no_blob_its_budget() {
    let (server, world) = (S3Server::start_with(Rules { throttled_puts: 60, ..Rules::default() }), world());
    server.make_bucket("bucket");
    add(&world, &server.endpoint(), &[]).code(0);
    world.push(&[]).code(0);
    assert_eq!(world.json(&["failed"])["failed"], serde_json::json!([]));
    world.settled();
}

#[test]
fn a_certificate_has_to_be_trusted_by_the_system() {
    let (server, world) = (S3Server::start_with(Rules { tls: true, ..Rules::default() }), world());
    server.make_bucket("bucket");
    add(&world, &server.endpoint(), &[]).code(0);
    says(&stuck(&world), &["misconfigured", "certificate is not trusted", "authority"]);
    world.write("authority.pem", server.certificate());
    let trusting = |args: &[&str]| {
        let mut command =
            world.command(&[&[args[0], "--project", "p", "--dataset", "d"], &args[1..]].concat());
        Ended::from(command.env("SSL_CERT_FILE", world.path("authority.pem")).output().unwrap()).code(0)
    };
    trusting(&["push", "src"]);
    trusting(&["pull", "--target", "out"]);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let world = world();
    let cases: [(&[&str], &str); 9] = [
        (&["--bucket", ""], "bucket"),
        (&["--bucket", "a/b"], "bucket"),
        (&["--bucket", "bucket", "--endpoint", "host:9000"], "endpoint"),
        (&["--bucket", "bucket", "--prefix", "a//b"], "prefix"),
        (&["--bucket", "bucket", "--pool-size", "0"], "pool_size"),
        (&["--bucket", "bucket", "--access-key-id", "id"], "secret-access-key-file"),
        (&["--bucket", "bucket", "--access-key-id", "id", "--secret-access-key-file", "absent"], "absent"),
        (&["--bucket", "bucket", "--path", "x"], "--path"),
        (&[], "--bucket"),
    ];
    for (settings, said) in cases {
        world.n2s(&[&["backends", "add", "bucket", "s3"], settings].concat()).code(2).says(&[said]);
    }
    world.n2s(&["backends", "add", "disk", "--bucket", "bucket", "--path", "x"]).code(2).says(&["s3"]);
    assert!(!world.path("home/config.toml").exists());
}

#[test]
fn settings_of_the_file_are_looked_at_before_anything_starts() {
    let world = world();
    let cases = [
        ("bucket = \"bucket\"\nendpoint = \"host\"\n", "endpoint is not http://"),
        (
            "bucket = \"bucket\"\naccess_key_id = \"i\"\nsecret_access_key_file = \"/not/there\"\n",
            "/not/there",
        ),
        ("bucket = \"bucket\"\nbukket = \"b\"\n", "did you mean 'bucket'"),
        ("bucket = \"bucket\"\npath = \"/x\"\n", "leave it out"),
    ];
    for (settings, said) in cases {
        world.write("home/config.toml", format!("[backends.bucket]\nkind = \"s3\"\n{settings}"));
        world.n2s(&["config", "check"]).code(2).says(&[said]);
        world.push(&[]).code(2).says(&[said]);
        assert!(!world.path("home/catalog.db").exists());
    }
}

#[test]
fn the_secret_may_come_from_a_variable_and_is_in_no_log() {
    let (server, world) = (S3Server::start(), world());
    server.make_bucket("bucket");
    let settings = format!("kind = \"s3\"\nbucket = \"bucket\"\nendpoint = \"{}\"\n", server.endpoint());
    let ours = format!("[backends.bucket]\n{settings}access_key_id = \"{ACCESS_KEY_ID}\"\n");
    let variables = [
        (ours, vec![("N2S_BACKENDS__BUCKET__SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]),
        // AWS's default chain.
        (
            format!("[backends.bucket]\n{settings}prefix = \"other\"\n"),
            vec![("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)],
        ),
    ];
    for (config, variables) in variables {
        world.write("home/config.toml", config);
        let mut push =
            world.command(&["push", "--project", "p", "--dataset", "d", "--output", "json", "src"]);
        let pushed: Ended = push.envs(variables).env("N2S_LOG", "trace").output().unwrap().into();
        assert!(!pushed.err.contains(SECRET_ACCESS_KEY) && !pushed.out.contains(SECRET_ACCESS_KEY));
        assert!(pushed.err.contains("n2s"), "nothing was logged");
        assert_eq!(pushed.code, 0, "{}", pushed.out);
        fs::remove_dir_all(world.path("home")).unwrap();
    }
}

/// Adds a directory as the store, and a bucket as staging.
fn stage_in_a_bucket(world: &World, endpoint: &str) {
    world.n2s(&["backends", "add", "disk", "--path", "disk"]).code(0);
    let config = fs::read_to_string(world.path("home/config.toml")).unwrap();
    let place = format!("kind = \"s3\"\nbucket = \"waiting\"\nprefix = \"n2s\"\nendpoint = \"{endpoint}\"");
    let secret = world.path("secret").display().to_string();
    let keys = format!("access_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key_file = \"{secret}\"");
    world.write("home/config.toml", format!("{config}\n[staging]\n{place}\n{keys}\n"));
}

#[test]
fn staging_may_be_a_bucket() {
    let (server, world) = (S3Server::start(), world());
    server.make_bucket("waiting");
    world.write("src/five", noise(5 << 20));
    stage_in_a_bucket(&world, &server.endpoint());
    let staged = || files(&server.object("waiting", "n2s/staging")).len();
    world.push(&[]).code(0);
    assert_eq!(staged(), 0, "what a store has leaves staging");

    fs::rename(world.path("disk"), world.path("away")).unwrap();
    world.write("src/later", "later");
    world.push(&[]).code(1).says(&["disk"]);
    assert!(staged() > 0 && !world.path("home/staging").exists());
    fs::rename(world.path("away"), world.path("disk")).unwrap();
    world.n2s(&["backends", "resume", "disk"]).code(0);
    world.push(&[]).code(0);
    assert_eq!(staged(), 0);
    world.settled();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn staging_with_a_wrong_secret_says_so() {
    let (server, world) = (S3Server::start(), world());
    server.make_bucket("waiting");
    world.write("secret", "hush");
    stage_in_a_bucket(&world, &server.endpoint());
    says(&world.push(&[]).code(1).err, &["staging", "denied", "secret_access_key"]);
    world.write("secret", SECRET_ACCESS_KEY);
    world.push(&[]).code(0);
    world.settled();
}

#[test]
fn staging_that_is_away_fails_the_push_and_says_so() {
    let world = world();
    stage_in_a_bucket(&world, &format!("http://127.0.0.1:{}", free_port()));
    says(&world.push(&[]).code(1).err, &["staging", "cannot be reached"]);
}

#[test]
fn a_push_that_waits_for_staging_does_not_blame_the_store() {
    let rules = Rules { throttled_reads: Some("staging/"), ..Rules::default() };
    let (server, world) = (S3Server::start_with(rules), world());
    server.make_bucket("waiting");
    stage_in_a_bucket(&world, &server.endpoint());
    let said = world.push(&[]).code(1);
    let said = format!("{}{}", said.out, said.err);
    says(&said, &["objects waiting): it is not the store", "staging"]);
    let backends = world.json(&["backends", "list"]);
    assert_eq!(backends["backends"][0]["state"], "active", "{backends}");
}

#[test]
fn a_file_of_five_gigabytes_goes_to_a_bucket_and_comes_back() {
    let (server, world) = (S3Server::start(), world());
    server.make_bucket("bucket");
    // Mostly a hole, so that a small disk will do.
    let large = fs::File::create(world.path("src/large")).unwrap();
    large.set_len(5 << 30).unwrap();
    for at in [0, 2 << 30, (5 << 30) - (1 << 20)] {
        large.write_all_at(&noise(1 << 20), at).unwrap();
    }
    add(&world, &server.endpoint(), &[]).code(0);
    world.push(&[]).code(0);
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn as_many_objects_go_to_a_bucket_at_once_as_n2s_decides() {
    let rules = Rules { puts_together: 40, ..Rules::default() };
    let (server, world) = (S3Server::start_with(rules), world());
    server.make_bucket("bucket");
    (0..300).for_each(|n| world.write(&format!("src/{n}"), format!("file {n}")));
    add(&world, &server.endpoint(), &[]).code(0);
    // That it would come so far by itself is a matter of time.
    let config = fs::read_to_string(world.path("home/config.toml")).unwrap();
    fs::write(world.path("home/config.toml"), format!("{config}concurrency_min = 40\n")).unwrap();
    world.push(&[]).code(0);
    let most = server.most_puts_at_once();
    assert!((40..=128).contains(&most), "{most} at once");
}
