//! What stores do to a worker, and to each other: the adaptive limit beside fixed ones, and a store's rate beside one that is dead, slow, or
//! answers nothing. The worker, the dispatcher and the catalog (SQLite, in a directory of the moment) are real; stores and staging are in
//! memory and keep to the book. Prints JSON.
//!
//!     n2s-load-stores [adaptive|isolation]… [--only STORE] [--secs N]

mod adaptive;
mod bed;
mod isolation;
mod store;
mod trace;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

fn main() -> Result<()> {
    let (mut what, mut only, mut secs) = (Vec::new(), None, 5);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "adaptive" | "isolation" => what.push(arg),
            "--only" => only = Some(args.next().context("--only needs the name of a store")?),
            "--secs" => {
                secs = args.next().and_then(|text| text.parse().ok()).context("--secs takes a number")?;
            }
            _ => bail!("there is no {arg}: adaptive, isolation, --only STORE, --secs N"),
        }
    }
    let wanted = |name: &str| what.is_empty() || what.iter().any(|named| named == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let secs = Duration::from_secs(secs);
    let mut report = Map::new();
    if wanted("adaptive") {
        report.insert("adaptive".to_owned(), runtime.block_on(adaptive::measure(only.as_deref(), secs))?);
    }
    if wanted("isolation") {
        report.insert("isolation".to_owned(), runtime.block_on(isolation::measure(only.as_deref(), secs))?);
    }
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &Value::Object(report))?;
    Ok(writeln!(out)?)
}
