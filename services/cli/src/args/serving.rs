//! The flags of `serve` and `token`.

use std::net::SocketAddr;

use clap::{Args as ClapArgs, Subcommand};
use n2s_domain::{BackendName, ProjectName, Scope, TokenId};

/// `serve`. Except for intake and validator, roles of their own need a catalog in PostgreSQL and a queue in RabbitMQ; then there may be any
/// number of each.
#[derive(Debug, Subcommand)]
pub enum Serve {
    /// The API that clients push to and pull from; dispatches, too, where nobody else does
    Intake,
    /// Give due jobs to the workers, sweep and count: one for each store does it, the others stand by
    Dispatcher(Watched),
    /// Take jobs and bring blobs to the stores; needs neither keys nor the right to read names
    Worker(Worker),
    /// Prove everything on every store, as [validator] in the configuration says
    Validator(Watched),
}

/// What every role without an API takes.
#[derive(Debug, Default, ClapArgs)]
pub struct Watched {
    /// Answer GET /healthz, /readyz and /metrics there [default: [health] listen in the configuration, else nowhere]
    #[arg(long, value_name = "ADDR")]
    pub health: Option<SocketAddr>,
}

/// `serve worker`.
#[derive(Debug, ClapArgs)]
pub struct Worker {
    #[command(flatten)]
    pub watched: Watched,
    /// Serve only this store; repeatable [default: all]
    #[arg(long = "backend", value_name = "NAME")]
    pub backends: Vec<BackendName>,
}

/// `token`.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token; it is shown once
    Create {
        /// Who or what will hold it
        #[arg(long)]
        name: String,
        /// What it allows: push, pull, operate or admin; repeatable
        #[arg(long = "scope", required = true)]
        scopes: Vec<Scope>,
        /// Only in this project; repeatable [default: all, those to come included]
        #[arg(long = "project", value_name = "PROJECT")]
        projects: Vec<ProjectName>,
        /// Days until it ends [default: it lasts until revoked]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
    },
    /// List every token that ever was
    List,
    /// End a token
    Revoke {
        /// Its id
        #[arg(value_parser = token_id)]
        id: TokenId,
    },
}

fn token_id(text: &str) -> Result<TokenId, String> {
    text.parse().map(TokenId).map_err(|_| "it is the number that `n2s token list` shows".to_owned())
}
