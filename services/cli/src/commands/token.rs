//! `n2s token`.

use std::process::ExitCode;

use n2s_client::seam::{Operator, TokenRequest, TokenStatus};
use serde_json::json;

use crate::args::Token;
use crate::output::{Output, table};

pub async fn run(operator: &dyn Operator, args: Token, output: &Output) -> anyhow::Result<ExitCode> {
    match args {
        Token::Create { name, scopes, projects, expires_days } => {
            let request = TokenRequest {
                name,
                scopes,
                projects: (!projects.is_empty()).then_some(projects),
                expires_secs: expires_days.map(|days| u64::from(days) * 86_400),
            };
            let made = operator.create_token(&request).await?;
            output.note("keep it: this token is shown only now; whoever has it may do what it allows");
            output.answer(&made.token, &json!(made));
        }
        Token::List => {
            let tokens = operator.tokens().await?;
            let header = ["id", "name", "scopes", "projects", "created", "state"];
            let text = table(&header, tokens.iter().map(row).collect());
            output.answer(&text, &json!({ "tokens": tokens }));
        }
        Token::Revoke { id } => {
            let token = operator.revoke_token(id).await?;
            output.answer(&format!("revoked token {id}, {}", token.name), &json!(token));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(token: &TokenStatus) -> Vec<String> {
    let list = |names: Vec<String>| names.join(" ");
    let projects = token.projects.as_ref();
    vec![
        token.id.to_string(),
        token.name.clone(),
        list(token.scopes.iter().map(ToString::to_string).collect()),
        projects
            .map_or_else(|| "all".to_owned(), |names| list(names.iter().map(ToString::to_string).collect())),
        token.created_at.to_string(),
        match (token.revoked_at, token.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("expires {at}"),
            (None, None) => "valid".to_owned(),
        },
    ]
}
