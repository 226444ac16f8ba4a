//! PostgreSQL and RabbitMQ of the run's own, as durable as they are out of the box, and what their processes take.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use n2s_catalog::Catalog;
use n2s_catalog_postgres::{PostgresOptions, migrate};
use n2s_servers::{Postgres, RabbitMq};
use serde_json::{Value, json};

use crate::roles::open;
use crate::statements;

/// Durability as it is out of the box, said aloud. The rest is what anybody sets on a server of this size.
const SETTINGS: [&str; 10] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "min_wal_size=2GB",
    "checkpoint_timeout=15min",
    "work_mem=16MB",
    "maintenance_work_mem=512MB",
    "shared_preload_libraries=pg_stat_statements",
];

/// Both servers.
pub struct Servers {
    pub postgres: Postgres,
    pub rabbit: RabbitMq,
}

/// A catalog in a fresh database, and a vhost.
pub struct Place {
    pub database: String,
    pub broker: String,
    pub catalog: Arc<dyn Catalog>,
}

impl Servers {
    /// Starts them. PostgreSQL has the files of its log, as a server has that ran for an hour: each time that a new one makes a file of 16 MB,
    /// every commit waits for tens of milliseconds.
    pub fn start() -> Self {
        let postgres = Postgres::start_with(&SETTINGS);
        let files = "DO $$ BEGIN FOR n IN 1..128 LOOP PERFORM pg_logical_emit_message(false, 'n2s', ''); PERFORM pg_switch_wal(); END LOOP; END $$";
        // The checkpoint has them used again.
        for sql in [files, "CHECKPOINT"] {
            Postgres::psql(&postgres.url(), sql);
        }
        Self { postgres, rabbit: RabbitMq::start() }
    }

    /// A catalog that nothing is in, and a vhost without a queue.
    pub async fn place(&self) -> Result<Place> {
        let database = self.postgres.database();
        let broker = self.rabbit.vhost().url;
        migrate(&PostgresOptions::new(database.as_str())).await?;
        statements::follow(&database);
        let catalog = open(&database).await?;
        Ok(Place { database, broker, catalog })
    }

    /// What they are and how they treat the disk.
    pub fn describe(&self) -> Value {
        let show = |name| Postgres::psql(&self.postgres.url(), &format!("SHOW {name}"));
        let rabbit = self.rabbit.ctl(&["eval", "rabbit_misc:version()."]);
        json!({
            "postgresql": show("server_version"),
            "rabbitmq": rabbit.trim().trim_matches('"'),
            "durability": {
                "postgresql": format!("fsync {}, synchronous_commit {}, full_page_writes {}",
                    show("fsync"), show("synchronous_commit"), show("full_page_writes")),
                "rabbitmq": "quorum queues (fsync before a confirm), persistent messages, publisher confirms",
            },
            "settings": SETTINGS,
        })
    }
}

/// Waits until `holds`, for at most `limit`.
pub async fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    let began = std::time::Instant::now();
    while !holds() {
        ensure!(began.elapsed() < limit, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Seconds of processor by program, of this process and everything it started.
#[derive(Clone, Debug, Default)]
pub struct Cpu(BTreeMap<String, f64>);

impl Cpu {
    /// Until now.
    pub fn now() -> Result<Self> {
        let mut stats = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(text) = fs::read_to_string(entry?.path().join("stat")) else { continue };
            // Another process may end at this moment, and its line be cut.
            if let Some((pid, mut stat)) = Stat::parse(&text) {
                stat.name.push_str(&role(&stat.name, pid));
                stats.insert(pid, stat);
            }
        }
        let own = std::process::id();
        let mut seconds = BTreeMap::new();
        for (pid, stat) in &stats {
            let mut ancestor = *pid;
            while ancestor != own
                && let Some(parent) = stats.get(&ancestor)
            {
                ancestor = parent.parent;
            }
            if ancestor == own {
                let name = if *pid == own { "coordinator and engine".to_owned() } else { stat.name.clone() };
                *seconds.entry(name).or_default() += stat.seconds;
            }
        }
        Ok(Self(seconds))
    }

    /// Of one process until now.
    pub fn of(process: u32) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
        Ok(Stat::parse(&text).context("a process's line")?.1.seconds)
    }

    /// What each took since `before`, in processors.
    pub fn since(&self, before: &Self, seconds: f64) -> BTreeMap<String, f64> {
        let took = |name: &String, now: &f64| (now - before.0.get(name).unwrap_or(&0.0)) / seconds;
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        self.0
            .iter()
            .map(|(name, now)| (name.clone(), rounded(took(name, now))))
            .filter(|(_, took)| *took > 0.0)
            .collect()
    }
}

/// What a process of the binary is, because they all have one name.
fn role(name: &str, process: u32) -> String {
    let line = if name == "n2s" { fs::read_to_string(format!("/proc/{process}/cmdline")).ok() } else { None };
    let role =
        line.iter().flat_map(|line| line.split('\0').skip(1)).take_while(|word| !word.starts_with('-'));
    role.take(2).fold(String::new(), |role, word| role + " " + word)
}

struct Stat {
    name: String,
    parent: u32,
    seconds: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<(u32, Self)> {
        let (pid, rest) = text.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        // utime, stime, and those of children that ended, in hundredths of a second.
        let ticks: u32 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u32>().ok()).sum();
        let stat = Self {
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            seconds: f64::from(ticks) / 100.0,
        };
        Some((pid.parse().ok()?, stat))
    }
}

/// A number that `sql` answers.
pub fn number(database: &str, sql: &str) -> Result<i64> {
    Postgres::psql(database, sql).trim().parse().with_context(|| format!("no number: {sql}"))
}
