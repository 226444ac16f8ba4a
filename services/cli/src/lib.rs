#![doc = include_str!("../README.md")]

mod args;
mod commands;
mod exit;
mod interrupts;
mod memory;
mod output;
mod progress;
mod side;

use std::process::ExitCode;

use clap::Parser as _;
use n2s_domain::{Clock as _, SystemClock};

use crate::args::Args;
use crate::output::Output;

/// Runs the command that the arguments of the process ask for.
pub fn main() -> ExitCode {
    memory::one_arena();
    let args = Args::parse();
    let filter = std::env::var("N2S_LOG").unwrap_or_else(|_| "warn".to_owned());
    n2s_telemetry::init(n2s_telemetry::LogFormat::Text, &filter);
    n2s_telemetry::metrics::families::started(SystemClock.now(), env!("CARGO_PKG_VERSION"));
    raise_file_limit();
    let output = Output::new(args.output, args.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(&output, &error.into()),
    };
    let ended = runtime.block_on(async {
        let ended = Box::pin(commands::run(args, &output)).await;
        n2s_telemetry::trace::flush().await;
        ended
    });
    // A blocked thread, such as one that waits for a dead network disk, does not hold the process.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(error) => exit::fail(&output, &error),
    }
}

/// A tree is read through many open directories and files.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Failing leaves the limit as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
