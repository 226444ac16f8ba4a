//! Tokens: 256 random bits behind a prefix that scanners for leaked secrets can look for. Only their BLAKE3 is kept; a slow
//! password hash would cost every request and add nothing, because nobody guesses 256 bits.

use std::time::Duration;

use n2s_catalog::{NewToken, TokenHash, TokenRecord};
use n2s_client::seam::{Moment, SeamError, TokenRequest, TokenStatus};
use n2s_domain::{Entropy, Grants};

const PREFIX: &str = "n2s_";
/// A token's name.
const NAME_BYTES_MAX: usize = 200;

/// The text of a new token.
pub(crate) fn fresh(entropy: &dyn Entropy) -> String {
    let mut random = [0; 32];
    entropy.fill(&mut random);
    format!("{PREFIX}{}", blake3::Hash::from_bytes(random).to_hex())
}

/// What a token is found by.
pub(crate) fn hash(text: &str) -> TokenHash {
    TokenHash(*blake3::hash(text.as_bytes()).as_bytes())
}

/// Checks a request.
pub(crate) fn new(request: &TokenRequest, text: &str) -> Result<NewToken, SeamError> {
    let invalid = |why: &str| Err(SeamError::Invalid(why.to_owned()));
    if request.name.trim().is_empty() || request.name.len() > NAME_BYTES_MAX {
        return invalid("a token needs a name of at most 200 bytes that says who holds it");
    }
    if request.scopes.is_empty() {
        return invalid("a token needs a scope: push, pull, operate or admin");
    }
    if request.projects.as_ref().is_some_and(Vec::is_empty) {
        return invalid("a token without projects could do nothing; leave them out to mean every project");
    }
    if request.expires_secs == Some(0) {
        return invalid("a token that has expired already could do nothing");
    }
    let mut scopes = request.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    Ok(NewToken {
        hash: hash(text),
        name: request.name.clone(),
        grants: Grants { scopes, projects: request.projects.clone() },
        expires_in: request.expires_secs.map(Duration::from_secs),
    })
}

pub(crate) fn token_status(row: TokenRecord) -> TokenStatus {
    TokenStatus {
        id: row.id,
        name: row.name,
        scopes: row.grants.scopes,
        projects: row.grants.projects,
        created_at: Moment(row.created_at),
        expires_at: row.expires_at.map(Moment),
        revoked_at: row.revoked_at.map(Moment),
    }
}
