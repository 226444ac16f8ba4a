//! A home whose engine runs, a bucket behind a proxy that misbehaves, and a directory.

use std::fs;
use std::path::PathBuf;

use n2s_servers::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use n2s_servers::s3_faulty::{Fault, Faulty, Rule};
use n2s_tests::{Member, World, assert_same, secrets, until};
use serde_json::{Value, json};

/// See the module.
#[derive(Debug)]
pub struct Stage {
    pub world: World,
    pub server: S3Server,
    pub faulty: Faulty,
    up: Option<Member>,
}

/// A bucket's settings, reached at `endpoint`.
pub fn bucket(name: &str, endpoint: &str) -> String {
    format!(
        "kind = \"s3\"\nbucket = \"{name}\"\nendpoint = \"{endpoint}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
         secret_access_key = \"{SECRET_ACCESS_KEY}\"\ntimeout_secs = 2\n"
    )
}

/// A directory's.
pub fn disk(world: &World, name: &str) -> String {
    let path = world.path(name);
    fs::create_dir_all(&path).unwrap();
    format!("[backends.{name}]\nkind = \"local\"\npath = \"{}\"\n", path.display())
}

impl Stage {
    /// A bucket, `far`, alone.
    pub fn new() -> Self {
        Self::with(|_, _| String::new())
    }

    /// A bucket, and the directory `near`.
    pub fn with_disk() -> Self {
        Self::with(|world, _| disk(world, "near"))
    }

    /// The same with clocks that can be set.
    pub fn with_disk_and_clock() -> Self {
        Self::of(World::armed(), |world, _| disk(world, "near"))
    }

    /// A bucket, and what else is to be set.
    pub fn with(more: impl FnOnce(&World, &S3Server) -> String) -> Self {
        Self::of(World::at_home(), more)
    }

    fn of(world: World, more: impl FnOnce(&World, &S3Server) -> String) -> Self {
        let server = S3Server::start();
        let faulty = Faulty::before(&server.endpoint());
        server.make_bucket("far");
        let far = bucket("far", &faulty.endpoint());
        let more = more(&world, &server);
        let patient = "[backends.far.retry]\ncap_secs = 1\n";
        world.write("home/config.toml", format!("[backends.far]\n{far}{patient}{more}"));
        let mut stage = Self { world, server, faulty, up: None };
        stage.write(0..2);
        stage.start_at(0);
        stage.push();
        stage.completes();
        stage
    }

    /// Some files that no other call makes.
    pub fn write(&self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            self.world.write(&format!("src/{n}"), format!("the content of {n} ").repeat(10 + n));
        }
    }

    /// Starts the process that does the work, so many seconds from now by its clock.
    fn start_at(&mut self, secs: u32) {
        let mut command = self.world.command(&["up"]);
        command.env("N2S_LOG", "debug").env("N2S_CLOCK_OFFSET_SECS", secs.to_string());
        self.up = Some(Member::start("up", command, &self.world.path("up.log")));
        self.up.as_mut().unwrap().said("API on ");
    }

    /// Ends it, and starts another, so many seconds from now by its clock.
    pub fn restart_at(&mut self, secs: u32) {
        self.up = None;
        self.start_at(secs);
    }

    /// Hands a version over, and does not wait for it.
    pub fn push(&self) {
        let pushed = self.world.push(&["--no-wait"]);
        secrets::not_in(format!("{pushed:?}").as_bytes(), &all_secrets(&self.world), "a push's words");
        pushed.code(0);
    }

    pub fn status(&self) -> String {
        let all = self.world.json(&["changesets"]);
        all["changesets"][0]["status"].as_str().unwrap().to_owned()
    }

    /// Waits until the last version is on every store.
    pub fn completes(&self) {
        until("completion", || self.status() == "completed");
    }

    /// What is said of a store.
    pub fn store(&self, name: &str) -> Value {
        let rows = self.world.json(&["backends", "list"]);
        rows["backends"].as_array().unwrap().iter().find(|row| row["backend"] == name).unwrap().clone()
    }

    /// Waits until blobs go there no more, and none is under way: whatever is judged from now on, is judged by probes alone.
    pub fn stops(&self, name: &str) {
        until("the end of attempts", || {
            self.store(name)["state"] != "active" && self.faulty.in_flight("/blobs/") == 0
        });
    }

    /// Lets this happen to the bucket until `enough` such faults happened and nothing goes there any more, then ends it.
    pub fn suffer(&self, rule: Rule, fault: Fault, enough: u64) {
        self.faulty.rule(rule);
        self.push();
        until(fault.name(), || self.faulty.count(fault) >= enough);
        self.stops("far");
        self.faulty.heal();
    }

    /// Failures that each blob's copy on a store was charged with, by the object's name.
    pub fn charged(&self, store: &str) -> Vec<(String, u64)> {
        let sql = format!(
            "SELECT lower(hex(l.sealed_hash)), s.retry_count FROM blob_backends s JOIN blobs l ON l.id = s.blob_id \
             JOIN backends b ON b.id = s.backend_id WHERE b.name = '{store}' ORDER BY 1"
        );
        let rows = self.world.rows(&sql);
        let row = |row: &Value| (row[0].as_str().unwrap().to_owned(), row[1].as_u64().unwrap());
        rows.as_array().unwrap().iter().map(row).collect()
    }

    /// How often something went wrong with each object of the bucket, by its name.
    pub fn harmed(&self, name: &str) -> u64 {
        self.faulty.harmed().get(&format!("/far/blobs/{}/{}", &name[..2], &name[2..])).copied().unwrap_or(0)
    }

    /// Nobody was charged with anything, and nothing was given up.
    pub fn nothing_is_charged(&self) {
        for store in ["far", "near"] {
            let charged: Vec<_> = self.charged(store).into_iter().filter(|(_, count)| *count > 0).collect();
            assert!(charged.is_empty(), "charged on {store}: {charged:?}");
        }
        self.nothing_is_given_up();
    }

    pub fn nothing_is_given_up(&self) {
        assert_eq!(self.world.json(&["failed"])["failed"], json!([]));
    }

    pub fn object(&self, name: &str) -> PathBuf {
        self.server.object("far", &format!("blobs/{}/{}", &name[..2], &name[2..]))
    }

    /// Everything that is said to be in the bucket is there, counters agree, staging is empty, and the version comes back from the
    /// bucket alone.
    pub fn is_whole(&self) {
        self.completes();
        let charged = self.charged("far");
        assert!(!charged.is_empty());
        for (name, _) in charged {
            let bytes = fs::read(self.object(&name)).unwrap();
            assert_eq!(n2s_envelope::sealed_hash(&bytes).to_hex(), name, "completed, and not readable");
        }
        until("an empty staging area", || self.world.json(&["status"])["staging"]["blobs"] == 0);
        self.world.settled();
        // From the bucket alone, whoever else has it.
        let away = self.world.path("near").exists().then(|| {
            fs::rename(self.world.path("near"), self.world.path("near-away")).unwrap();
        });
        let pulled = self.world.pull("out", &["--from", "far", "--verify"]);
        secrets::not_in(format!("{pulled:?}").as_bytes(), &all_secrets(&self.world), "a pull's words");
        pulled.code(0);
        assert_same(&self.world.path("src"), &self.world.path("out"));
        if away.is_some() {
            fs::rename(self.world.path("near-away"), self.world.path("near")).unwrap();
        }
        shows_no_secret(&self.world);
    }
}

/// Looks for credentials where none may be: in logs, and in what processes were started with.
pub fn shows_no_secret(world: &World) {
    let secrets = all_secrets(world);
    secrets::not_in_logs(&world.path("."), &secrets);
    secrets::not_in_processes(&secrets);
}

/// What no output, no log and no list of processes may show: the key, what is signed with it, and the root of everything.
fn all_secrets(world: &World) -> Vec<String> {
    let root = secrets::root(&world.path("home/vault"));
    vec![SECRET_ACCESS_KEY.to_owned(), "aws4_request, SignedHeaders".to_owned(), root]
}
