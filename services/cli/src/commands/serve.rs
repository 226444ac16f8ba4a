//! `n2s serve`: one role, until interrupted.

use std::process::ExitCode;

use n2s_assembly::{Home, Validation};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Usage;
use crate::output::Output;

pub async fn run(home: Home, output: &Output) -> anyhow::Result<ExitCode> {
    let node = super::open(home).await?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let validation = Validation::start(&node).ok_or_else(|| {
        Usage("[validator] bytes_per_second is 0, which turns the validator off; set a rate".to_owned())
    })?;
    output.note("validating; damaged copies are replaced by whoever runs the engine, such as `n2s up`");
    n2s_telemetry::ready();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    n2s_telemetry::stopping();
    validation.stop().await;
    output.answer("stopped", &json!({ "stopped": true }));
    Ok(ExitCode::SUCCESS)
}
