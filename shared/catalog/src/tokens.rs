//! Tokens of the HTTP API: made, found by hash, listed, revoked.
//!
//! The catalog never sees a token, only its BLAKE3. Projects are kept by name, not by row: a token for a project may be made before
//! the first push makes the project.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::{Grants, Timestamp, TokenId};

use crate::CatalogError;

/// BLAKE3 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// Kept out of logs, though it opens nothing.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A token to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it will be found by.
    pub hash: TokenHash,
    /// For people: who or what holds it.
    pub name: String,
    /// What it allows.
    pub grants: Grants,
    /// How long it lives; `None` is until revoked.
    pub expires_in: Option<Duration>,
}

/// A token, without what would let anybody use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// What it allows.
    pub grants: Grants,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Tokens.
#[async_trait]
pub trait Tokens {
    /// Keeps a new token. The hash is of 256 random bits, so it is nobody else's.
    async fn add_token(&self, token: &NewToken) -> Result<TokenRecord, CatalogError>;

    /// The token with this hash, if it is neither expired, by the database's clock, nor revoked.
    async fn valid_token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, CatalogError>;

    /// Every token that ever was, newest first.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, CatalogError>;

    /// Ends a token. A second call changes nothing; `Unknown` when there is none.
    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, CatalogError>;
}
