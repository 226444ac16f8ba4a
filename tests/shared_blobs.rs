//! Two changesets that share blobs, at the moments that matter: whatever becomes of the first, the second's contents are there.
//!
//! Each on SQLite in one home, and on PostgreSQL with a broker, a dispatcher and a worker. Processes are held with SIGSTOP at a failpoint, so that
//! nothing hangs on who is faster.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use n2s_servers::{Postgres, RabbitMq};
use n2s_tests::{Fleet, HeldStore, Member, World, assert_same, files, secrets, until};
use rustix::process::Signal;
use serde_json::Value;

const FILES: usize = 20;

/// A home, and the processes that do its work.
struct Stage {
    world: World,
    fleet: Option<Fleet>,
    /// Who puts messages into a queue: a dispatcher, and an intake.
    dispatching: Vec<Member>,
    /// Who is at the store.
    working: Vec<Member>,
    /// By how much the clock of a home's worker is ahead.
    ahead_secs: u32,
    secrets: Vec<String>,
}

/// Runs a case on both catalogs.
fn on_both(case: fn(Stage)) {
    case(Stage::new(false));
    case(Stage::new(true));
}

impl Stage {
    /// One version of another dataset, so that the store is one; nobody works afterwards.
    fn new(on_a_server: bool) -> Self {
        let world = World::armed();
        let settings = Fleet::shared_disk(&world, "");
        let (world, fleet) = if on_a_server {
            let (database, queue) = (Postgres::shared().database(), RabbitMq::shared().vhost().url);
            (World::at_home(), Some(Fleet::new(world, database, &queue, &settings)))
        } else {
            world.write("home/config.toml", settings);
            (world, None)
        };
        let (dispatching, working, secrets) = (Vec::new(), Vec::new(), Vec::new());
        let mut stage = Self { world, fleet, dispatching, working, ahead_secs: 0, secrets };
        stage.world().write("first/file", "first");
        stage.start("");
        stage.push("first", "first", &[]);
        stage.completes("first");
        stage.ends();
        stage.secrets.push(secrets::root(&stage.world().path("home/vault")));
        for n in 0..FILES {
            stage.world().write(&format!("src/{n}"), format!("shared {n} ").repeat(100 + n));
        }
        stage
    }

    fn world(&self) -> &World {
        self.fleet.as_ref().map_or(&self.world, |fleet| &fleet.world)
    }

    /// Starts whoever works; the worker with this `N2S_FAILPOINT`.
    fn start(&mut self, failpoint: &str) {
        let armed = [("N2S_FAILPOINT", failpoint)];
        let armed = if failpoint.is_empty() { &[][..] } else { &armed };
        self.working = if let Some(fleet) = &self.fleet {
            self.dispatching = vec![fleet.start("dispatcher", &["dispatcher"], &[]).at_work("dispatcher")];
            vec![fleet.start("worker", &["worker"], armed).at_work("worker")]
        } else {
            let mut command = self.world.command(&["up"]);
            command.envs(armed.iter().copied()).env("N2S_CLOCK_OFFSET_SECS", self.ahead_secs.to_string());
            let mut up = Member::start("up", command, &self.world.path("up.log"));
            up.said("API on ");
            vec![up]
        };
    }

    /// Ends everybody. Those who dispatch are asked to: a row whose message they did not live to send would wait for minutes, which is
    /// another case's matter. Those who wait for a store that answers nobody are killed.
    fn ends(&mut self) {
        for mut member in self.dispatching.drain(..) {
            assert!(member.terminate().success(), "{}", member.log());
        }
        self.working.clear();
    }

    /// Lets the store answer, to others: who has asked it before waits for ever.
    fn release(&mut self, held: HeldStore) {
        self.ends();
        held.release();
        self.start("");
    }

    /// A client of the API, with a home of its own: one that is stopped holds nothing that others need.
    fn client(&mut self, args: &[&str]) -> Command {
        let world = self.world();
        std::fs::create_dir(world.path("client")).unwrap();
        std::fs::copy(world.path("home/vault"), world.path("client/vault")).unwrap();
        let scopes = ["--scope", "push", "--scope", "pull"];
        let token = world.n2s(&[&["token", "create", "--name", "second"], &scopes[..]].concat()).code(0);
        let mut command = world.command(args);
        command.env("N2S_HOME", world.path("client")).env("N2S_TOKEN", token.out.trim());
        self.secrets.push(token.out.trim().to_owned());
        let url = match &self.fleet {
            Some(fleet) => {
                let (intake, url, _) = fleet.intake();
                self.dispatching.push(intake);
                url
            }
            None => self.working[0].said("API on "),
        };
        command.env("N2S_SERVER", url);
        command
    }

    /// Pushes a directory as a dataset, without waiting for the store.
    fn push(&self, dataset: &str, source: &str, more: &[&str]) {
        let push = ["push", "--project", "p", "--dataset", dataset, "--no-wait", source];
        self.world().n2s(&[&push[..], more].concat()).code(0);
    }

    /// The newest changeset of a dataset.
    fn newest(&self, dataset: &str) -> Value {
        let all = self.world().json(&["changesets", "--project", "p", "--dataset", dataset]);
        all["changesets"][0].clone()
    }

    fn completes(&self, dataset: &str) {
        until(&format!("{dataset} completed"), || self.newest(dataset)["status"] == "completed");
    }

    /// Waits until so many processes have come to their failpoint.
    fn stands_at(&self, point: &str, count: usize) {
        let log = self.world().path("failpoints.log");
        let fired = format!("fired {point}\n");
        until(point, || std::fs::read_to_string(&log).unwrap_or_default().matches(&fired).count() == count);
    }

    fn comes_back(&self, dataset: &str, source: &str) {
        self.completes(dataset);
        let out = format!("out-{dataset}");
        let pull = ["pull", "--project", "p", "--dataset", dataset, "--target", &out, "--verify"];
        self.world().n2s(&pull).code(0);
        assert_same(&self.world().path(source), &self.world().path(&out));
        self.world().n2s(&["validate", "--project", "p", "--dataset", dataset]).code(0);
    }

    /// Nothing is left to do or waits in staging, counters agree, nobody was charged, and no credential can be read anywhere.
    fn settles(&self) {
        until("an empty staging area", || self.staged() == 0);
        let staged =
            || files(&self.world().path("staging/staging")).into_iter().filter(|path| path.is_file()).count();
        until("an empty staging directory", || staged() == 0);
        self.world().settled_after_a_kill();
        assert_eq!(self.world().json(&["failed"])["failed"], serde_json::json!([]));
        for table in ["blob_backends", "changeset_backends"] {
            assert_eq!(
                self.rows(&format!("SELECT coalesce(sum(retry_count), 0) FROM {table}")),
                0,
                "{table}"
            );
        }
        secrets::not_in_processes(&self.secrets);
        secrets::not_in_logs(&self.world().path("."), &self.secrets);
    }
}

#[test]
fn blobs_that_are_pending_complete_both() {
    on_both(|mut stage| {
        let held = HeldStore::new(stage.world(), "store");
        stage.start("");
        stage.push("one", "src", &[]);
        stage.push("two", "src", &[]);
        for dataset in ["one", "two"] {
            assert_eq!(stage.newest(dataset)["status"], "pushing");
        }
        stage.release(held);
        for dataset in ["one", "two"] {
            stage.comes_back(dataset, "src");
        }
        stage.settles();
    });
}

#[test]
fn blobs_that_are_completed_are_neither_sent_nor_stored_again() {
    on_both(|mut stage| {
        stage.start("");
        stage.push("one", "src", &[]);
        stage.completes("one");
        let push = ["push", "--project", "p", "--dataset", "two", "--output", "json", "src"];
        let second = stage.world().n2s(&push).code(0).json();
        let small = stage.world().path("src/0").metadata().unwrap().len() * 10;
        assert!(second["sent_bytes"].as_u64().unwrap() < small, "{second}");
        stage.comes_back("two", "src");
        stage.settles();
    });
}

#[test]
fn blobs_that_were_given_up_are_taken_up_by_whoever_comes_next() {
    on_both(|mut stage| {
        stage.start("");
        // Nothing is under way then, and what is given up is given up at once.
        stage.world().n2s(&["backends", "pause", "disk", "--reason", "for a while"]).code(0);
        stage.push("one", "src", &[]);
        let first = stage.newest("one")["changeset"].as_str().unwrap().to_owned();
        stage.world().n2s(&["cancel", &first]).code(0);
        until("the end of the first", || stage.newest("one")["status"] == "failed");
        stage.push("two", "src", &[]);
        stage.world().n2s(&["backends", "resume", "disk"]).code(0);
        stage.comes_back("two", "src");
        // What the first waited for is there; its manifest, given up, is taken up by hand.
        stage.world().n2s(&["retry"]).code(0);
        stage.comes_back("one", "src");
        stage.settles();
    });
}

#[test]
fn blobs_that_are_being_finished_at_that_instant_complete_both() {
    // On a server only: whoever is stopped in the middle of a transaction on SQLite holds its one lock, and nobody else can push.
    for point in ["worker.answered", "worker.finishing", "worker.freeing"] {
        let mut stage = Stage::new(true);
        stage.start(&format!("{point}:1:stop"));
        stage.push("one", "src", &[]);
        stage.stands_at(point, 1);
        stage.push("two", "src", &[]);
        for member in &stage.working {
            member.signal(Signal::CONT);
        }
        for dataset in ["one", "two"] {
            stage.comes_back(dataset, "src");
        }
        stage.settles();
    }
}

/// How far who brought it had come.
#[derive(Clone, Copy, PartialEq)]
enum Brought {
    /// All is in staging, and nothing else says so.
    Staged,
    /// All is entered, and none of it stored.
    Pending,
    Stored,
}

/// The second has been told that all is there, and has pinned it; then whoever brought it is abandoned.
fn told_it_exists_then_abandoned(mut stage: Stage, brought: Brought) {
    let held = (brought == Brought::Pending).then(|| HeldStore::new(stage.world(), "store"));
    // What is staged now is old enough to go; on a server it is made so later.
    stage.ahead_secs = if brought == Brought::Staged { 90_000 } else { 0 };
    stage.start("");
    let push = |dataset| ["push", "--project", "p", "--dataset", dataset, "--no-wait", "src"];
    stage.world().write("src/alone", "what the second has not");
    // Dies with nothing committed.
    let point = if brought == Brought::Staged { "push.sent" } else { "push.tree" };
    let mut first = stage.world().command(&push("one"));
    let ended = first.env("N2S_FAILPOINT", point).output().unwrap();
    assert!(!ended.status.success(), "{ended:?}");
    std::fs::remove_file(stage.world().path("src/alone")).unwrap();
    if brought == Brought::Stored {
        until("the end of uploads", || stage.staged() == 0);
    }
    // Stands between the answer to its offer and its entries.
    let mut second = stage.client(&push("two"));
    let log = stage.world().path("second.log");
    second.env("N2S_FAILPOINT", "push.sent:1:stop");
    let mut second = Member::start("second", second, &log);
    stage.stands_at("push.sent", if brought == Brought::Staged { 2 } else { 1 });
    // Another push of the first's dataset undoes what it had entered.
    stage.world().write("other/file", "other");
    stage.push("one", "other", &["--take-over", "--client-id", "other"]);
    until("the undo", || {
        let undone =
            "SELECT count(*) FROM changesets WHERE abandoned_at IS NOT NULL AND undone_at IS NOT NULL";
        stage.rows(undone) == 1
    });
    if brought == Brought::Staged {
        assert_eq!(
            stage.rows("SELECT count(*) FROM blob_backends s JOIN pins p ON p.blob_id = s.blob_id"),
            0
        );
        stage.age();
        // What nobody needs any more has gone, and what the second was told of has not.
        until("a look at what is old", || stage.staged() <= FILES);
        assert_eq!(stage.staged(), FILES);
    }
    second.signal(Signal::CONT);
    assert!(second.wait().success(), "{}", second.log());
    if let Some(held) = held {
        stage.release(held);
    }
    stage.comes_back("two", "src");
    stage.comes_back("one", "other");
    stage.settles();
}

impl Stage {
    /// Objects in staging, as far as the catalog knows.
    fn staged(&self) -> usize {
        let staged = self.world().json(&["status"])["staging"]["blobs"].as_u64().unwrap();
        staged.try_into().unwrap()
    }

    /// Makes what is staged old enough to go: by the server's own clock, which no test can set.
    fn age(&self) {
        if let Some(fleet) = &self.fleet {
            fleet.ask(
                "UPDATE blobs SET staged_at = staged_at - interval '2 days' WHERE staging_id IS NOT NULL",
            );
        }
    }

    /// A number that the catalog gives.
    fn rows(&self, sql: &str) -> u64 {
        match &self.fleet {
            Some(fleet) => fleet.count(sql),
            None => self.world.rows(sql)[0][0].as_u64().unwrap(),
        }
    }
}

#[test]
fn what_an_offer_was_told_exists_is_there_when_who_brought_it_is_abandoned_before_it_was_entered() {
    on_both(|stage| told_it_exists_then_abandoned(stage, Brought::Staged));
}

#[test]
fn what_an_offer_was_told_exists_is_there_when_who_brought_it_is_abandoned_while_it_is_pending() {
    on_both(|stage| told_it_exists_then_abandoned(stage, Brought::Pending));
}

#[test]
fn what_an_offer_was_told_exists_is_there_when_who_brought_it_is_abandoned_after_it_was_stored() {
    on_both(|stage| told_it_exists_then_abandoned(stage, Brought::Stored));
}
