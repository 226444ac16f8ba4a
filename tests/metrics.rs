//! What a fleet's roles tell Prometheus, compared with the catalog and with the page of metrics.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use n2s_servers::{Postgres, RabbitMq};
use n2s_tests::{Fleet, HeldStore, Member, World, raw, until};

const PUSH: [&str; 7] =
    ["push", "--project", "hidden project", "--dataset", "hidden dataset", "--no-wait", "src"];
const PAGE: &str = include_str!("../shared/telemetry/METRICS.md");

/// What one process answers.
#[derive(Clone, Debug)]
struct Scrape(String);

impl Scrape {
    fn of(url: &str) -> Self {
        let answer = raw::request(url, "GET /metrics", "", &[], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        Self(String::from_utf8(answer.body).unwrap())
    }

    /// A number, by its series as it is written.
    fn get(&self, series: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// A number that is whole.
    fn count(&self, series: &str) -> Option<u64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// What it says is what the page says, and what Prometheus likes to be told.
    fn is_as_the_page_says(&self) {
        for line in self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(PAGE.contains(&format!("| `{name}` | {kind} |")), "{line}");
        }
        let mut promtool = Command::new("promtool");
        promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut promtool = promtool.spawn().expect("promtool; `make deps` installs it");
        promtool.stdin.take().unwrap().write_all(self.0.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        assert!(said.status.success(), "{}\n{}", String::from_utf8_lossy(&said.stderr), self.0);
    }
}

fn scrape(member: &mut Member) -> Scrape {
    let url = member.said("health on http://");
    Scrape::of(&format!("http://{}", url.strip_suffix("/readyz").unwrap()))
}

/// The samples that one process alone shows: the one that sweeps.
fn depth(state: &str) -> String {
    format!("n2s_queue_depth{{backend=\"disk\",state=\"{state}\"}}")
}

/// A dispatcher, an API and a worker, and who may push to the API.
struct Watched {
    fleet: Fleet,
    dispatcher: Member,
    worker: Member,
    _intake: Member,
    url: String,
    token: String,
}

impl Watched {
    fn new(broker: &RabbitMq) -> Self {
        let world = World::new();
        let settings = Fleet::shared_disk(&world, "concurrency_min = 1\nconcurrency_max = 8\n");
        let fleet = Fleet::new(world, Postgres::shared().database(), &broker.vhost().url, &settings);
        let dispatcher = fleet.start("dispatcher", &["dispatcher"], &[]).at_work("dispatcher");
        until("an office", || dispatcher.log().contains(": taken office=Sweeper"));
        let (intake, url, token) = fleet.intake();
        let worker = fleet.start("worker", &["worker"], &[]).at_work("worker");
        Self { fleet, dispatcher, worker, _intake: intake, url, token }
    }

    /// By the API, so that nobody but the worker works.
    fn push(&self, files: std::ops::Range<usize>) {
        files.for_each(|n| self.fleet.world.write(&format!("src/hidden {n}"), format!("content {n}")));
        let mut push = self.fleet.world.command(&PUSH);
        let pushed = push.envs([("N2S_SERVER", &self.url), ("N2S_TOKEN", &self.token)]).output().unwrap();
        assert!(pushed.status.success(), "{pushed:?}");
    }

    fn jobs(&self, state: u8) -> u64 {
        self.fleet.count(&format!("SELECT count(*) FROM jobs WHERE state = {state}"))
    }

    /// Work that nobody can finish: what is shown is what the catalog has.
    fn what_waits(&mut self) {
        assert!(self.worker.terminate().success());
        let held = HeldStore::new(&self.fleet.world, "store");
        self.worker = self.fleet.start("worker-2", &["worker"], &[]).at_work("worker");
        self.push(40..100);
        let mut said = scrape(&mut self.dispatcher);
        until("the depth to be told", || {
            said = scrape(&mut self.dispatcher);
            let shown = ["pending", "queued", "leased"].map(|state| said.count(&depth(state)));
            self.jobs(2) > 0
                && shown == [0, 1, 2].map(|state| Some(self.jobs(state)))
                && said.count("n2s_queue_active{backend=\"disk\"}") == Some(self.jobs(1) + self.jobs(2))
        });
        said.is_as_the_page_says();
        assert!(
            said.get("n2s_queue_oldest_seconds{backend=\"disk\",state=\"leased\"}") > Some(0.0),
            "{}",
            said.0
        );
        assert_eq!(said.count("n2s_leader{office=\"sweeper\",backend=\"\"}"), Some(1));
        assert!(said.count("n2s_messages_published_total{backend=\"disk\",result=\"confirmed\"}") > Some(40));
        held.release();
    }
}

#[test]
fn what_a_fleet_does_and_what_waits_is_what_its_metrics_say() {
    let broker = RabbitMq::start();
    let mut watched = Watched::new(&broker);
    watched.push(0..40);
    until("the end of all jobs", || watched.fleet.count("SELECT count(*) FROM jobs") == 0);
    let placed = watched.fleet.count("SELECT count(*) FROM blob_backends WHERE status = 'completed'");
    assert!(placed >= 40);
    let mut said = scrape(&mut watched.worker);
    until("the worker's counts", || {
        said = scrape(&mut watched.worker);
        // The manifest's is one more.
        said.count("n2s_jobs_finished_total{backend=\"disk\",outcome=\"stored\"}") == Some(placed + 1)
    });
    said.is_as_the_page_says();
    assert_eq!(said.count("n2s_jobs_claimed_total{backend=\"disk\"}"), Some(placed + 1));
    let stored = said.count("n2s_store_objects_total{backend=\"disk\",operation=\"store\",result=\"ok\"}");
    assert!(stored > Some(placed), "keys, body, header and head come on top of {placed}: {stored:?}");
    assert_eq!(said.count("n2s_worker_consuming{backend=\"disk\"}"), Some(1));
    assert_eq!(said.count(&depth("pending")), None, "who does not sweep does not know");

    watched.what_waits();

    let Watched { url, token, .. } = &watched;
    let status = ["/v1/backends", "/v1/nowhere"]
        .map(|path| raw::request(url, &format!("GET {path}"), token, &[], b"").status);
    assert_eq!(status, [200, 404]);
    let said = Scrape::of(url);
    said.is_as_the_page_says();
    let asked = |route: &str, status: &str| {
        said.count(&format!(
            "n2s_http_requests_total{{route=\"{route}\",method=\"GET\",status=\"{status}\"}}"
        ))
    };
    assert_eq!((asked("/v1/backends", "2xx"), asked("none", "4xx")), (Some(1), Some(1)));
    assert_eq!(said.count(&depth("pending")), None, "who does not sweep does not know");
    let secret = watched.token.clone();
    for said in [said, scrape(&mut watched.worker), scrape(&mut watched.dispatcher)] {
        assert!(!said.0.contains("hidden") && !said.0.contains(&secret), "{}", said.0);
    }

    // Who sweeps tells, whoever that is.
    watched.dispatcher.kill();
    until("the intake to take over", || Scrape::of(&watched.url).count(&depth("pending")).is_some());
}
