//! `make fleet-demo`: a fleet on servers of its own, which loses a worker, its broker's memory and an object, and loses nothing.
//!
//! Everything is started here on free ports, in directories that go when it ends. Rejected: a shell script, which would have to know again how each
//! server is started, and what readiness and failure look like.

#![expect(clippy::unwrap_used, reason = "a demonstration fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use n2s_servers::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use n2s_servers::{Postgres, RabbitMq};
use n2s_tests::{Ended, Fleet, Member, World, assert_same, files, until};

const FILES: usize = 2_000;

fn main() -> ExitCode {
    let start = Instant::now();
    say("PostgreSQL, RabbitMQ and an S3 server of our own, on free ports");
    let (database, mut broker, bucket) = (Postgres::start(), RabbitMq::start(), S3Server::start());
    let (world, vhost) = (World::at_home(), broker.vhost());
    let settings = settings(&world, &bucket);
    told("config.toml, the same for every role", &settings.replace(SECRET_ACCESS_KEY, "…"));
    let fleet = Fleet::new(world, database.database(), &vhost.url, &settings);

    say("Intake, dispatcher, validator and three workers, each a process of its own");
    let mut fleet = Stage::set(fleet);

    say("A client pushes through intake, to a bucket and a directory");
    sample(&fleet.fleet.world);
    let push = fleet.start_push();
    until("some uploads", || fleet.stored() > 100);
    let before = fleet.stored();
    fleet.workers[0].kill();
    told(&format!("worker-1 killed with kill -9, after {before} objects"), "");
    until("more uploads", || fleet.stored() > before + 100);
    broker.wipe();
    broker.recreate(&vhost);
    told("the broker killed, and started again with nothing left of what it knew", "");
    told("what worker-1 held comes back when its leases lapse, a minute after its last heartbeat", "");
    let pushed = push.wait().code(0);
    told("the push has ended", &pushed.out);
    assert!(pushed.out.contains("completed on every store"), "{pushed:?}");
    fleet.show(&["status"]);

    say("An object in the bucket is damaged; the validator finds it and the workers replace it");
    fleet.damage(&bucket);
    fleet.show(&["backends", "list"]);

    say("Pull, and compare");
    let world = &fleet.fleet.world;
    let pulled = fleet
        .client(&["pull", "--project", "demo", "--dataset", "tree", "--target", "out", "--verify"])
        .code(0);
    told("pulled", &pulled.out);
    assert_same(&world.path("src"), &world.path("out"));
    assert_eq!(world.json(&["audit"])["drifts"], serde_json::json!([]));

    say("Everybody is asked to end");
    fleet.end();
    let secs = start.elapsed().as_secs();
    told(&format!("\n{FILES} files are on both stores and came back as they were; {secs} s in all."), "");
    ExitCode::SUCCESS
}

fn say(title: &str) {
    told(&format!("\n== {title}"), "");
}

fn told(line: &str, more: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever reads may have gone away.
    let _ = writeln!(out, "{line}");
    for line in more.lines() {
        let _ = writeln!(out, "   {line}");
    }
}

/// Buckets for staging and for a store, and a directory for the other.
fn settings(world: &World, server: &S3Server) -> String {
    let bucket = |name: &str| {
        server.make_bucket(name);
        format!(
            "kind = \"s3\"\nbucket = \"{name}\"\nendpoint = \"{}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
             secret_access_key = \"{SECRET_ACCESS_KEY}\"\n",
            server.endpoint()
        )
    };
    std::fs::create_dir(world.path("near")).unwrap();
    let near = world.path("near").display().to_string();
    format!(
        "[staging]\n{}\n[backends.far]\n{}\n[backends.near]\nkind = \"local\"\npath = \"{near}\"\nconcurrency_max = 16\n",
        bucket("staging"),
        bucket("far")
    )
}

fn sample(world: &World) {
    for n in 0..FILES {
        world.write(
            &format!("src/{:02}/file {n}", n % 37),
            format!("the content of file {n}\n").repeat(1 + n % 200),
        );
    }
    let noise: Vec<u8> =
        (0_u64..20 << 17).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    world.write("src/large", noise);
    told(&format!("{FILES} small files and one of 20 MiB"), "");
}

/// The fleet at work, and its client.
struct Stage {
    fleet: Fleet,
    roles: Vec<Member>,
    workers: Vec<Member>,
    url: String,
    token: String,
}

impl Stage {
    fn set(fleet: Fleet) -> Self {
        let (intake, url, token) = fleet.intake();
        let eager = [("N2S_VALIDATOR__EVERY_HOURS", "0")];
        let dispatcher = fleet.start("dispatcher", &["dispatcher"], &[]).at_work("dispatcher");
        let validator = fleet.start("validator", &["validator"], &eager).at_work("validator");
        // Workers know neither keys nor names: the database lets them do nothing else.
        let login = fleet.restricted();
        let worker = |n| {
            let variables = [("N2S_DATABASE__URL", login.as_str())];
            fleet.start(&format!("worker-{n}"), &["worker"], &variables).at_work("worker")
        };
        let workers = (1..=3).map(worker).collect();
        // The client has the vault, so what leaves it is sealed.
        std::fs::create_dir(fleet.world.path("client")).unwrap();
        std::fs::copy(fleet.world.path("home/vault"), fleet.world.path("client/vault")).unwrap();
        told(&format!("the API is on {url}; every role answers /readyz"), "");
        Self { roles: vec![intake, dispatcher, validator], fleet, workers, url, token }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.fleet.world.command(args);
        command.env("N2S_HOME", self.fleet.world.path("client"));
        command.env("N2S_SERVER", &self.url).env("N2S_TOKEN", &self.token);
        command
    }

    fn client(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    fn start_push(&self) -> n2s_tests::Running {
        let args = ["push", "--project", "demo", "--dataset", "tree", "--snapshot", "first", "src"];
        told(&format!("n2s --server {} {}", self.url, args.join(" ")), "");
        n2s_tests::Running::spawn(
            self.command(&args).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()),
        )
    }

    fn show(&self, args: &[&str]) {
        let shown = self.client(args).code(0);
        told(&format!("n2s {}", args.join(" ")), &shown.out);
    }

    fn stored(&self) -> u64 {
        self.fleet.count("SELECT count(*) FROM blob_backends WHERE status = 'completed'")
    }

    /// Cuts an object short and waits until it is whole again.
    fn damage(&self, server: &S3Server) {
        let object = files(&server.object("far", "blobs")).swap_remove(7);
        let whole = std::fs::read(&object).unwrap();
        std::fs::write(&object, &whole[..whole.len() / 2]).unwrap();
        told(&format!("cut to half: {}", shown(&object)), "");
        let validator = &self.roles[2];
        let found = || {
            validator
                .log()
                .lines()
                .find(|line| line.ends_with("damaged") || line.contains(" damaged "))
                .map(str::to_owned)
        };
        until("the damage to be found", || found().is_some());
        told("the validator:", &found().unwrap());
        until("the repair", || std::fs::read(&object).is_ok_and(|bytes| bytes == whole));
        until("the end of all jobs", || self.fleet.count("SELECT count(*) FROM jobs") == 0);
        told("it is whole again", "");
    }

    fn end(self) {
        for mut member in self.roles.into_iter().chain(self.workers.into_iter().skip(1)) {
            assert!(member.terminate().success(), "{}", member.log());
        }
    }
}

/// The end of an object's path: its name on the store.
fn shown(object: &Path) -> String {
    let parts: Vec<_> = object.iter().map(|part| part.to_string_lossy()).collect();
    parts[parts.len().saturating_sub(3)..].join("/")
}
