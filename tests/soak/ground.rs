//! The fleet: private servers, buckets behind proxies that misbehave, links that can be cut, and every role a process of its own.

use std::fs;
use std::process::Command;

use n2s_servers::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use n2s_servers::s3_faulty::Faulty;
use n2s_servers::{Postgres, Proxy, RabbitMq, Vhost, free_port};
use n2s_tests::{Fleet, Member, World};

use crate::plan::{BUCKETS, ROLES};

/// What clients and checks use, and nobody takes away.
#[derive(Debug)]
pub struct Ground {
    pub fleet: Fleet,
    pub bucket: S3Server,
    pub token: String,
    /// Where the API is: an address for each intake, behind a link.
    pub urls: [String; 2],
    /// What no process may show.
    pub secrets: Vec<String>,
}

/// What faults are done to.
#[derive(Debug)]
pub struct Targets {
    pub database: Postgres,
    pub broker: RabbitMq,
    pub vhost: Vhost,
    /// In the order of `LINKS`.
    pub links: [Proxy; 4],
    /// In the order of `BUCKETS`.
    pub buckets: [Faulty; 2],
    /// In the order of `ROLES`; `None` while one is dead.
    pub roles: Vec<Option<Member>>,
    ports: [u16; 2],
    /// For workers: a restricted login, through the link.
    login: String,
}

fn bucket(name: &str, faulty: &Faulty) -> String {
    format!(
        "kind = \"s3\"\nbucket = \"{name}\"\nendpoint = \"{}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
         secret_access_key = \"{SECRET_ACCESS_KEY}\"\ntimeout_secs = 5\n",
        faulty.endpoint()
    )
}

/// Starts the servers, and every role.
pub fn prepare() -> (Ground, Targets) {
    let (database, broker, server) = (Postgres::start(), RabbitMq::start(), S3Server::start());
    let (world, vhost) = (World::at_home(), broker.vhost());
    for name in BUCKETS {
        server.make_bucket(name);
    }
    let buckets = BUCKETS.map(|_| Faulty::before(&server.endpoint()));
    let (to_broker, queue) = Proxy::before(&vhost.url);
    fs::create_dir(world.path("near")).unwrap();
    let settings = format!(
        "[staging]\n{}[backends.far]\n{}[backends.far.retry]\ncap_secs = 2\nattempts_max = 50\n\
         [backends.near]\nkind = \"local\"\npath = \"{}\"\nconcurrency_max = 16\n[worker]\ngrace_secs = 2\n",
        bucket("staging", &buckets[1]),
        bucket("far", &buckets[0]),
        world.path("near").display()
    );
    let fleet = Fleet::new(world, database.database(), &queue, &settings);
    // The first intake makes the vault and the token; then two others have copies.
    let (mut first, _, token) = fleet.intake();
    assert!(first.terminate().success(), "{}", first.log());
    for home in ["intake-1", "intake-2"] {
        fs::create_dir(fleet.world.path(home)).unwrap();
        fs::copy(fleet.world.path("home/vault"), fleet.world.path(home).join("vault")).unwrap();
    }
    let (to_database, login) = Proxy::before(&fleet.restricted());
    let ports = [free_port(), free_port()];
    let to_intakes = ports.map(Proxy::to);
    let urls = to_intakes.each_ref().map(|link| format!("http://127.0.0.1:{}", link.port()));
    let [one, two] = to_intakes;
    let links = [one, two, to_database, to_broker];
    let root = n2s_tests::secrets::root(&fleet.world.path("home/vault"));
    let secrets = vec![SECRET_ACCESS_KEY.to_owned(), token.clone(), root, "guest:guest@".to_owned()];
    let ground = Ground { fleet, bucket: server, token, urls, secrets };
    let mut targets = Targets { database, broker, vhost, links, buckets, roles: Vec::new(), ports, login };
    targets.roles = (0..ROLES.len()).map(|role| Some(targets.start(&ground, role))).collect();
    (ground, targets)
}

impl Targets {
    /// Starts a role.
    pub fn start(&self, ground: &Ground, role: usize) -> Member {
        let (name, fleet) = (ROLES[role], &ground.fleet);
        match name.split_once('-').map_or(name, |(kind, _)| kind) {
            "intake" => self.intake(fleet, role),
            "worker" => fleet.start(name, &["worker"], &[("N2S_DATABASE__URL", &self.login)]),
            "validator" => fleet.start(name, &["validator"], &[("N2S_VALIDATOR__EVERY_HOURS", "0")]),
            kind => fleet.start(name, &[kind], &[]),
        }
    }

    fn intake(&self, fleet: &Fleet, role: usize) -> Member {
        let (world, name) = (&fleet.world, ROLES[role]);
        let mut command: Command = world.command(&["serve", "intake"]);
        command.env("N2S_HOME", world.path(name)).env("N2S_CONFIG", world.path("home/config.toml"));
        command.env("N2S_API__LISTEN", format!("127.0.0.1:{}", self.ports[role])).env("N2S_LOG", "info");
        Member::start(name, command, &world.path(&format!("{name}.log")))
    }
}
