//! The flags of `serve` and `token`.

use clap::Subcommand;
use n2s_domain::{ProjectName, Scope, TokenId};

/// `serve`.
#[derive(Debug, Subcommand)]
pub enum Serve {
    /// The API that clients push to and pull from
    Intake,
    /// Prove everything on every store, as [validator] in the configuration says
    Validator,
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
