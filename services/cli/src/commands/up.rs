//! `n2s up`: the engine of a home, until interrupted.

use std::process::ExitCode;
use std::sync::Arc;

use n2s_assembly::{Engine, EngineRole, Home, Node, Validation};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::output::Output;

pub async fn run(home: Home, output: &Output) -> anyhow::Result<ExitCode> {
    let node = Arc::new(Node::open_or_make(home).await?);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let engine = Engine::start(&node).await?;
    let validation = Validation::start(&node);
    let role = match engine.role() {
        EngineRole::Runs => "running",
        EngineRole::Watches => "watching: another process runs the engine; this one takes over when it ends",
    };
    output.note(&format!("{role}; home {}; stop with Ctrl-C", node.home.root().display()));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    if let Some(validation) = validation {
        validation.stop().await;
    }
    engine.stop().await;
    output.answer("stopped", &json!({ "stopped": true }));
    Ok(ExitCode::SUCCESS)
}
