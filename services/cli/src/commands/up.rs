//! `n2s up` and `n2s serve intake`: the engine of a home and its API, until interrupted.
//!
//! A home has one process's queue, so its roles cannot be spread over processes: `serve intake` is the API, and takes part in who runs
//! the engine like everyone else; it only insists on its address, where `up` goes on without an API if another home's has the port.

use std::process::ExitCode;
use std::sync::Arc;

use n2s_assembly::{ApiServer, AssemblyError, Engine, EngineRole, Home, Node, Validation};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::output::Output;

pub async fn run(home: Home, must_listen: bool, output: &Output) -> anyhow::Result<ExitCode> {
    let node = Arc::new(Node::open_or_make(home).await?);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let engine = Engine::start(&node).await?;
    let api = match ApiServer::start(&node).await {
        Ok(api) => Some(api),
        Err(error @ AssemblyError::Listen { .. }) if !must_listen && node.config.api.listen.is_none() => {
            output.note(&format!("no API: {}", n2s_telemetry::report(&error)));
            None
        }
        Err(error) => {
            engine.stop().await;
            return Err(error.into());
        }
    };
    let validation = Validation::start(&node);
    tell(&node, &engine, api.as_ref(), output);
    n2s_telemetry::ready();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    n2s_telemetry::stopping();
    if let Some(api) = api {
        api.stop().await;
    }
    if let Some(validation) = validation {
        validation.stop().await;
    }
    engine.stop().await;
    output.answer("stopped", &json!({ "stopped": true }));
    Ok(ExitCode::SUCCESS)
}

fn tell(node: &Node, engine: &Engine, api: Option<&ApiServer>, output: &Output) {
    let role = match engine.role() {
        EngineRole::Runs => "running",
        EngineRole::Watches => "watching: another process runs the engine; this one takes over when it ends",
    };
    output.note(&format!("{role}; home {}; stop with Ctrl-C", node.home.root().display()));
    if let Some(api) = api {
        output.note(&format!("API on {}", api.url()));
    }
}
