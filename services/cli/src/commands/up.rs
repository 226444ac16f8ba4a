//! `n2s up` and `n2s serve intake`: an API and what moves its catalog, until interrupted.
//!
//! A home has one process's queue, so its roles cannot be spread over processes: there `serve intake` is the API, and takes part in who runs
//! the engine like everyone else. In a fleet it dispatches, where nobody else does, and leaves work and validation to processes of their own. It
//! insists on its address, where `up` goes on without an API if another home's has the port.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use n2s_assembly::{ApiServer, AssemblyError, Engine, EngineRole, Home, Node, Reception, Validation};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::interrupts::Interrupts;
use crate::output::Output;

/// What of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// `n2s up`.
    Everything,
    /// `n2s serve intake`.
    Intake,
}

pub async fn run(home: Home, how: As, output: &Output) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::new()?;
    let Some(mut reception) = open(home, how, &mut interrupts).await? else {
        return Ok(stopped(output));
    };
    let node = Arc::clone(&reception.node);
    let engine = match how {
        As::Everything => Engine::start(&node).await?,
        As::Intake => Engine::start_for_intake(&node).await?,
    };
    let may_do_without = how == As::Everything && node.config.api.listen.is_none();
    let api = match reception.serve().await {
        Ok(api) => Some(api),
        Err(error @ AssemblyError::Listen { .. }) if may_do_without => {
            output.note(&format!("no API: {}", n2s_telemetry::report(&error)));
            None
        }
        Err(error) => {
            engine.stop().await;
            return Err(error.into());
        }
    };
    let validates = how == As::Everything || !node.is_of_a_fleet();
    let validation = validates.then(|| Validation::start(&node)).flatten();
    tell(&node, &engine, api.as_ref(), output);
    n2s_telemetry::ready();
    interrupts.next().await;
    n2s_telemetry::stopping();
    if let Some(api) = api {
        api.stop().await;
    }
    if let Some(validation) = validation {
        validation.stop().await;
    }
    engine.stop().await;
    Ok(stopped(output))
}

fn stopped(output: &Output) -> ExitCode {
    output.answer("stopped", &json!({ "stopped": true }));
    ExitCode::SUCCESS
}

/// Opens the home; an intake waits for its database's server. `None` when it was interrupted first.
async fn open(home: Home, how: As, interrupts: &mut Interrupts) -> anyhow::Result<Option<Reception>> {
    if how == As::Everything {
        return Ok(Some(Reception::open_now(home).await?));
    }
    let stop = CancellationToken::new();
    let mut opening = pin!(Reception::open(home, stop.clone()));
    let opened = tokio::select! {
        opened = &mut opening => opened,
        () = interrupts.next() => {
            stop.cancel();
            opening.await
        }
    };
    Ok(opened?)
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
