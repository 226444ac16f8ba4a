//! `n2s serve`: one role, until interrupted.

use std::process::ExitCode;

use n2s_assembly::{Home, Role, Service, Validation};
use serde_json::json;

use super::up;
use crate::args::{Serve, Watched};
use crate::exit::Usage;
use crate::interrupts::Interrupts;
use crate::output::Output;

pub async fn run(home: Home, serve: Serve, output: &Output) -> anyhow::Result<ExitCode> {
    match serve {
        Serve::Intake => up::run(home, up::As::Intake, output).await,
        Serve::Dispatcher(watched) => alone(home, Role::Dispatcher, watched, output).await,
        Serve::Worker(worker) => alone(home, Role::Worker(worker.backends), worker.watched, output).await,
        Serve::Validator(watched) if Service::is_for(&home)? => {
            alone(home, Role::Validator, watched, output).await
        }
        Serve::Validator(Watched { health: None }) => validator(home, output).await,
        Serve::Validator(_) => {
            let what = "--health is for a fleet's validator; leave it out, or set [database] url to a PostgreSQL server";
            Err(Usage(what.to_owned()).into())
        }
    }
}

/// A role of a fleet: told to be ready when it does its work, which may be long after it was started.
async fn alone(home: Home, role: Role, watched: Watched, output: &Output) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::new()?;
    let name = name(&role);
    let mut service = Service::start(home, role, watched.health.map(|address| address.to_string())).await?;
    match service.health() {
        Some(address) => output.note(&format!("health on http://{address}/readyz")),
        None => output.note("nobody can ask for its health; --health ADDR changes that"),
    }
    tokio::select! {
        () = interrupts.next() => {}
        ended = up_to(&mut service, name, output) => ended?,
    }
    n2s_telemetry::stopping();
    service.stop().await?;
    output.answer("stopped", &json!({ "stopped": true }));
    Ok(ExitCode::SUCCESS)
}

/// The role's whole life; returns only when it ends by itself.
async fn up_to(service: &mut Service, name: &str, output: &Output) -> anyhow::Result<()> {
    service.ready().await?;
    n2s_telemetry::ready();
    output.note(&format!("{name} at work; stop with Ctrl-C"));
    service.ended().await?;
    anyhow::bail!("the {name} ended by itself; its log says why")
}

fn name(role: &Role) -> &'static str {
    match role {
        Role::Dispatcher => "dispatcher",
        Role::Worker(_) => "worker",
        Role::Validator => "validator",
    }
}

/// A home's own validator, whose damaged copies are replaced by whoever runs the home's engine.
async fn validator(home: Home, output: &Output) -> anyhow::Result<ExitCode> {
    let node = super::open(home).await?;
    let mut interrupts = Interrupts::new()?;
    let validation = Validation::start(&node).ok_or(n2s_assembly::AssemblyError::ValidatorOff)?;
    output.note("validating; damaged copies are replaced by whoever runs the engine, such as `n2s up`");
    n2s_telemetry::ready();
    interrupts.next().await;
    n2s_telemetry::stopping();
    validation.stop().await;
    output.answer("stopped", &json!({ "stopped": true }));
    Ok(ExitCode::SUCCESS)
}
