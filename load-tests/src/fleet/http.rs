//! A push through HTTP, beside one in one process, of the same trees.

use std::time::Duration;

use anyhow::Result;
use n2s_load_tests::data::Data;
use n2s_servers::Postgres;
use serde_json::{Value, json};

use crate::Context;
use crate::processes::{Served, push_embedded};
use crate::report::Figure;
use crate::servers::Cpu;
use crate::statements::statements;
use crate::verdict::{Verdict, median};

const FILES: u32 = 20_000;
const ROUNDS: usize = 2;
/// Before each push, for the disk to come to rest.
const REST: Duration = Duration::from_secs(2);

/// First pushes, in turn: in one process, to `n2s up`, to a fleet. The client has the vault and seals, as in one process.
pub async fn figure(context: &Context) -> Result<Figure> {
    let dir = &context.dir.path().join("http");
    std::fs::create_dir(dir)?;
    let source = dir.join("source");
    Data::Files(FILES).make(&source)?;
    let up = Served::embedded(&context.n2s, &dir.join("up")).await?;
    let (fleet, database) = Served::fleet(&context.n2s, &dir.join("fleet"), &context.servers).await?;
    let (mut alone, mut to_up, mut to_fleet) = (Vec::new(), Vec::new(), Vec::new());
    let mut processors = Value::Null;
    for round in 0..ROUNDS {
        let project = format!("round{round}");
        rest();
        alone.push(push_embedded(&context.n2s, dir, &project, &source)?);
        rest();
        to_up.push(up.push(&project, &source)?);
        rest();
        let cpu = Cpu::now()?;
        let seconds = fleet.push(&project, &source)?;
        processors = json!(Cpu::now()?.since(&cpu, seconds));
        to_fleet.push(seconds);
    }
    let detail = json!({
        "files": FILES, "embedded_seconds": alone, "to_n2s_up_seconds": to_up, "to_a_fleet_seconds": to_fleet,
        "fleet_processors": processors, "fleet_committed_after_seconds": committed(&database), "statements": statements(&database),
        "durability": "every object is on the disk before it counts, in staging and on the store; each catalog waits for the disk at each commit",
        "like_with_like": "embedded and `n2s up` have the same catalog, queue, staging and store; the fleet's are PostgreSQL, RabbitMQ and processes of \
            their own, on the same processors",
    });
    let share =
        |theirs: Vec<f64>| median(alone.clone()).zip(median(theirs)).map(|(alone, other)| alone / other);
    let verdicts = vec![
        Verdict::at_least(
            "push of 20,000 files through HTTP to `n2s up`, of the embedded rate",
            share(to_up),
            0.7,
        ),
        Verdict::at_least(
            "push of 20,000 files through HTTP to a fleet, of the embedded rate",
            share(to_fleet),
            0.7,
        ),
    ];
    Ok(Figure { detail, verdicts })
}

/// Seconds from each push's first call to its commit: the rest of its time it waits for the workers.
fn committed(database: &str) -> Vec<f64> {
    let sql = "SELECT extract(epoch FROM committed_at - created_at) FROM changesets ORDER BY id";
    Postgres::psql(database, sql).lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn rest() {
    rustix::fs::sync();
    std::thread::sleep(REST);
}
