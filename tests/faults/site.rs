//! A fleet with credentials of its own, whose parts can be started through links that break.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use n2s_servers::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use n2s_servers::{Postgres, RabbitCluster, RabbitMq, Vhost, free_port};
use n2s_tests::{Ended, Fleet, Member, World, secrets};
use rustix::process::Signal;

use crate::place::{Broker, Database};

/// Jobs that nobody has finished.
pub const LIVE: &str = "SELECT count(*) FROM jobs";
/// Jobs whose message is in the broker, as far as the catalog knows.
pub const QUEUED: &str = "SELECT count(*) FROM jobs WHERE state = 1";
/// Jobs in a worker's hand.
pub const LEASED: &str = "SELECT count(*) FROM jobs WHERE state = 2";

const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Few objects at a time, so that several workers share them; leases that a test can wait for.
const SETTINGS: &str = "concurrency_min = 1\nconcurrency_max = 8\n[worker]\nlease_secs = 2\ngrace_secs = 2\n";

/// See the module.
#[derive(Debug)]
pub struct Site {
    pub fleet: Fleet,
    pub broker: Broker,
    pub database: Database,
    pub vhost: Vhost,
    /// What nobody may ever read in a log or an error, or see in a list of processes.
    pub secrets: Vec<String>,
    /// The restricted login's address of the database.
    pub worker_url: String,
    /// The unrestricted one.
    pub member_url: String,
    /// The broker's address with this site's user.
    pub queue_url: String,
    /// A bucket for a second store.
    pub bucket: Option<S3Server>,
    user: (String, String),
    port: u16,
    token: Option<String>,
}

/// How many brokers a site has, and whose they are.
#[derive(Clone, Copy, Debug, Default)]
pub enum Brokers {
    #[default]
    Shared,
    Own,
    Three,
}

/// Which servers a site shares with others, and what else it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    pub broker: Brokers,
    pub own_database: bool,
    /// A bucket as a second store.
    pub bucket: bool,
    /// Seconds until a lost message is told of again; long unless the case is about that.
    pub unclaimed_secs: Option<u32>,
}

/// A worker with this takes a second or two for the 200 objects of a push.
pub const UNHURRIED: (&str, &str) = ("N2S_BACKENDS__DISK__BYTES_PER_SEC_MAX", "20000");

impl Site {
    /// Shared servers and one local store.
    pub fn new() -> Self {
        Self::of(Plan::default())
    }

    pub fn of(plan: Plan) -> Self {
        let broker = match plan.broker {
            Brokers::Shared => Broker::Shared(RabbitMq::shared()),
            Brokers::Own => Broker::Own(RabbitMq::start()),
            Brokers::Three => Broker::Cluster(Box::new(RabbitCluster::start())),
        };
        let database = if plan.own_database {
            Database::Own(Postgres::start())
        } else {
            Database::Shared(Postgres::shared())
        };
        let vhost = broker.get().vhost();
        let admin = database.get().database();
        let name = admin.rsplit('/').next().unwrap().to_owned();
        let [for_broker, for_member, for_worker] = ["broker", "member", "worker"].map(secret);
        let user = (name.clone(), for_broker.clone());
        let login = |role: &str, password: &str| {
            admin.replacen("postgres@", &format!("{role}_{name}:{password}@"), 1)
        };
        let queue_url = vhost.url.replacen("guest:guest@", &format!("{name}:{for_broker}@"), 1);
        let (member_url, worker_url) = (login("member", &for_member), login("worker", &for_worker));
        let bucket = plan.bucket.then(S3Server::start);
        let settings = settings(bucket.as_ref());
        let world = World::armed();
        let disk = Fleet::shared_disk(&world, &settings);
        let fleet = Fleet::new(world, admin, &vhost.url, &disk);
        fleet.ask(&format!(
            "CREATE ROLE member_{name} LOGIN SUPERUSER PASSWORD '{for_member}'; CREATE ROLE worker_{name} LOGIN PASSWORD '{for_worker}'; \
             GRANT n2s_worker TO worker_{name}"
        ));
        let config = format!(
            "[database]\nurl = \"{member_url}\"\n[queue]\nurl = \"{queue_url}\"\nunclaimed_secs = {}\n{disk}",
            plan.unclaimed_secs.unwrap_or(120)
        );
        fleet.world.write("home/config.toml", config);
        let secrets = vec![for_broker, for_member, for_worker, SECRET_ACCESS_KEY.to_owned()];
        let (port, token) = (free_port(), None);
        let site = Self {
            fleet,
            broker,
            database,
            vhost,
            secrets,
            worker_url,
            member_url,
            queue_url,
            bucket,
            user,
            port,
            token,
        };
        site.admit();
        site
    }

    /// Lets the site's user into its vhost; again after the broker forgot both.
    pub fn admit(&self) {
        let (broker, (user, password)) = (self.broker.get(), &self.user);
        broker.http(
            "PUT",
            &format!("/api/users/{user}"),
            &format!(r#"{{"password":"{password}","tags":""}}"#),
        );
        let rights = r#"{"configure":".*","write":".*","read":".*"}"#;
        broker.http("PUT", &format!("/api/permissions/{}/{user}", self.vhost.name), rights);
    }

    /// The database's address for those who hold it up: as its owner, who has no password.
    pub fn admin_url(&self) -> String {
        let (server, name) = (self.database.get().url(), self.member_url.rsplit('/').next().unwrap());
        format!("{}/{name}", server.rsplit_once('/').unwrap().0)
    }

    pub fn world(&self) -> &World {
        &self.fleet.world
    }

    pub fn dispatcher(&self, name: &str, variables: &[(&str, &str)]) -> Member {
        self.fleet.start(name, &["dispatcher"], variables).at_work("dispatcher")
    }

    /// With the restricted login.
    pub fn worker(&self, name: &str, variables: &[(&str, &str)]) -> Member {
        self.worker_starting(name, variables).at_work("worker")
    }

    /// The same, which may not be able to work yet.
    pub fn worker_starting(&self, name: &str, variables: &[(&str, &str)]) -> Member {
        let all = [&[("N2S_DATABASE__URL", self.worker_url.as_str())], variables].concat();
        self.fleet.start(name, &["worker"], &all)
    }

    /// An intake, which dispatches as well where nobody else does. Always on the same port.
    pub fn intake(&mut self, variables: &[(&str, &str)]) -> Member {
        let mut member = self.intake_starting(variables);
        member.said("API on ");
        if self.token.is_none() {
            let scopes = ["push", "pull", "operate", "admin"].map(|scope| ["--scope", scope]).concat();
            let world = self.world();
            let made = world.n2s(&[&["token", "create", "--name", "all"], &scopes[..]].concat()).code(0);
            std::fs::create_dir(world.path("client")).unwrap();
            std::fs::copy(world.path("home/vault"), world.path("client/vault")).unwrap();
            let token = made.out.trim().to_owned();
            let root = secrets::root(&world.path("home/vault"));
            self.secrets.extend([token.clone(), root]);
            self.token = Some(token);
        }
        member
    }

    /// The same, which may not serve yet.
    pub fn intake_starting(&self, variables: &[(&str, &str)]) -> Member {
        // A log for each start: what is waited for is what this one says.
        let name = format!("intake-{}", number());
        let mut command = self.world().command(&["serve", "intake"]);
        command.env("N2S_LOG", "info").env("N2S_API__LISTEN", format!("127.0.0.1:{}", self.port));
        command.envs(variables.iter().copied());
        Member::start(&name, command, &self.world().path(&format!("{name}.log")))
    }

    /// The intake's address.
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A token for everything.
    pub fn token(&self) -> &str {
        self.token.as_ref().expect("an intake was started")
    }

    /// A client of an intake at `url`.
    pub fn client(&self, url: &str, args: &[&str]) -> Command {
        let world = self.world();
        let mut command = world.command(args);
        command.env("N2S_HOME", world.path("client")).env("N2S_SERVER", url);
        command.env("N2S_TOKEN", self.token());
        command
    }

    /// A client's push on a thread of its own; what it says is kept for the search for secrets.
    pub fn pushing(&self, url: &str) -> std::thread::JoinHandle<Ended> {
        let mut push = self.client(url, &["push", "--project", "p", "--dataset", "d", "src"]);
        let log = self.world().path("client.log");
        std::thread::spawn(move || {
            let ended: Ended = push.output().unwrap().into();
            let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
            writeln!(file, "{ended:?}").unwrap();
            ended
        })
    }

    /// A dispatcher in office, and an intake for pushes, which takes over from it.
    pub fn offices(&mut self) -> Vec<Member> {
        vec![self.dispatcher("dispatcher", &[]), self.intake(&[])]
    }

    /// Commits a version through the intake, and leaves its jobs to the others. A push at the home would do some of the work itself.
    pub fn push(&self) {
        let push = ["push", "--project", "p", "--dataset", "d", "--no-wait", "src"];
        let ended = Ended::from(self.client(&self.api(), &push).output().unwrap()).code(0);
        self.world().write(&format!("push-{}.log", number()), format!("{ended:?}"));
    }

    /// Whether some process of this site has logged a line with all these words.
    pub fn logged(&self, words: &[&str]) -> bool {
        let logs = std::fs::read_dir(self.world().path(".")).unwrap().map(|entry| entry.unwrap().path());
        let mut logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.any(|log| {
            let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
            text.lines().any(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    /// Whether deadlines of lost messages passed, or leases did.
    pub fn swept(&self, what: &str) -> bool {
        (1..10).any(|digit| self.logged(&["swept jobs", &format!(" {what}={digit}")]))
    }

    /// So many more files, no two of which are alike.
    pub fn write(&self, files: usize) {
        let from = number();
        (0..files).for_each(|n| {
            let text = format!("content {from} {n} ").repeat(200);
            self.world().write(&format!("src/{from}/{}/{n}", n % 7), text);
        });
    }

    /// Whether a failpoint of some process of this site did what it was told to.
    pub fn fired(&self, point: &str) -> bool {
        self.failpoints().lines().any(|line| line == format!("fired {point}"))
    }

    /// Waits until all jobs are in the broker. No worker may be there.
    pub fn until_queued(&self) {
        until("all jobs to be queued", || {
            self.fleet.count(LIVE) > 0 && self.fleet.count(LIVE) == self.fleet.count(QUEUED)
        });
        // Marked and published are two things.
        let hits =
            |log: &str, point: &str| log.lines().filter(|line| *line == format!("hit {point}")).count();
        until("all messages to be confirmed", || {
            let log = self.failpoints();
            hits(&log, "dispatcher.published") == hits(&log, "catalog.marked")
        });
    }

    /// What the processes of this site did at their failpoints.
    fn failpoints(&self) -> String {
        std::fs::read_to_string(self.world().path("failpoints.log")).unwrap_or_default()
    }

    /// Does something to a store's queue.
    pub fn at_the_queue(&self, method: &str, more: &str, body: &str) -> String {
        let path = format!("/api/queues/{}/n2s.work.disk{more}", self.vhost.name);
        self.broker.get().http(method, &path, body)
    }

    /// Stops workers that have begun and have work left to do: [`UNHURRIED`] ones.
    pub fn halt(&self, workers: &[Member]) {
        let before = self.fleet.count(LIVE);
        // As soon as may be: much is over in the pause between two looks of the other.
        n2s_tests::until("work under way", || self.fleet.count(LIVE) < before);
        for worker in workers {
            worker.signal(Signal::STOP);
        }
        assert!(self.fleet.count(LIVE) > 0, "all was done before anything could happen");
    }
}

/// Waits until something is so. Between two looks there is a pause: most of these looks start a program, and several cases that do nothing
/// but look would leave nothing to the fleets.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    n2s_tests::until(what, || {
        let is_so = so();
        if !is_so {
            std::thread::sleep(LOOK_EVERY);
        }
        is_so
    });
}

/// Lets them go on.
pub fn go_on(workers: &[Member]) {
    for worker in workers {
        worker.signal(Signal::CONT);
    }
}

/// The port of an address, as it stands there.
pub fn port(url: &str) -> String {
    url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned()
}

fn settings(bucket: Option<&S3Server>) -> String {
    let mut settings = SETTINGS.to_owned();
    if let Some(server) = bucket {
        server.make_bucket("far");
        write!(
            settings,
            "[backends.far]\nkind = \"s3\"\nbucket = \"far\"\nendpoint = \"{}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
             secret_access_key = \"{SECRET_ACCESS_KEY}\"\n",
            server.endpoint()
        )
        .unwrap();
    }
    settings
}

/// Of this process, and never twice.
pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A password that nobody else has.
fn secret(of: &str) -> String {
    format!("sesame-{of}-{}-{}", std::process::id(), number())
}
