//! What a fleet takes that has nothing to do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use n2s_servers::Postgres;
use serde_json::json;

use crate::Context;
use crate::processes::Served;
use crate::report::Figure;
use crate::servers::{Cpu, number};
use crate::verdict::float;

const WATCHED: Duration = Duration::from_secs(30);
/// Leaders are elected, connections made.
const SETTLING: Duration = Duration::from_secs(5);

/// Intake, dispatcher, validator and two workers of the binary's own, watched for half a minute.
pub async fn figure(context: &Context) -> Result<Figure> {
    let dir = &context.dir.path().join("idle");
    let (served, database) = Served::fleet(&context.n2s, dir, &context.servers).await?;
    tokio::time::sleep(SETTLING).await;
    let transactions =
        "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let each = || -> Result<BTreeMap<String, f64>> {
        served.members().map(|(name, id)| Ok((name.to_owned(), Cpu::of(id)?))).collect()
    };
    let (before, cpu, members, began) =
        (number(&database, transactions)?, Cpu::now()?, each()?, Instant::now());
    tokio::time::sleep(WATCHED).await;
    let seconds = began.elapsed().as_secs_f64();
    let percent = |now: &f64, before: Option<&f64>| (now - before.unwrap_or(&0.0)) / seconds * 100.0;
    let by_role: BTreeMap<_, _> =
        each()?.iter().map(|(name, now)| (name.clone(), percent(now, members.get(name)))).collect();
    let cpu = Cpu::now()?.since(&cpu, seconds);
    let transactions = number(&database, transactions)? - before;
    let connections =
        Postgres::psql(&database, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()");
    let detail = json!({
        "members": by_role.len(), "percent_of_a_processor_by_member": by_role, "processors_by_program": cpu,
        "transactions_per_second_on_postgresql": float(usize::try_from(transactions)?) / seconds,
        "connections": connections.trim(), "seconds": seconds,
    });
    Ok(Figure { detail, verdicts: Vec::new() })
}
