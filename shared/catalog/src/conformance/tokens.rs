//! Promises of [`crate::Tokens`].

use n2s_domain::{Grants, Scope, TokenId};

use super::World;
use super::world::{HOUR, MINUTE};
use crate::{CatalogError, NewToken, TokenHash};

fn token(n: u8) -> NewToken {
    let grants =
        Grants { scopes: vec![Scope::Push, Scope::Pull], projects: Some(vec!["p".parse().unwrap()]) };
    NewToken { hash: TokenHash([n; 32]), name: format!("token {n}"), grants, expires_in: None }
}

/// What was kept is what is found; not a moment longer than it lives.
pub async fn a_token_is_found_by_its_hash_until_it_expires(w: &World) {
    let kept = w.catalog.add_token(&token(1)).await.unwrap();
    let mut brief = token(2);
    brief.expires_in = Some(HOUR);
    brief.grants.projects = None;
    let brief = w.catalog.add_token(&brief).await.unwrap();
    assert_eq!((&kept.name[..], kept.grants.clone()), ("token 1", token(1).grants));
    assert_eq!(kept.expires_at, None);
    assert_eq!(brief.grants.projects, None);
    assert_eq!(w.other.valid_token(&TokenHash([1; 32])).await.unwrap().as_ref(), Some(&kept));
    assert_eq!(w.other.valid_token(&TokenHash([2; 32])).await.unwrap().as_ref(), Some(&brief));
    assert_eq!(w.catalog.valid_token(&TokenHash([3; 32])).await.unwrap(), None);
    w.advance(59 * MINUTE).await;
    assert!(w.catalog.valid_token(&TokenHash([2; 32])).await.unwrap().is_some());
    w.advance(2 * MINUTE).await;
    assert_eq!(w.catalog.valid_token(&TokenHash([2; 32])).await.unwrap(), None);
    assert!(w.catalog.valid_token(&TokenHash([1; 32])).await.unwrap().is_some());
}

/// Revoked is revoked, for every handle, and the time of the first call stays.
pub async fn a_revoked_token_stays_revoked(w: &World) {
    let kept = w.catalog.add_token(&token(1)).await.unwrap();
    let first = w.catalog.revoke_token(kept.id).await.unwrap();
    assert!(first.revoked_at.is_some());
    assert_eq!(w.other.valid_token(&TokenHash([1; 32])).await.unwrap(), None);
    w.advance(HOUR).await;
    assert_eq!(w.catalog.revoke_token(kept.id).await.unwrap(), first);
    let absent = w.catalog.revoke_token(TokenId(kept.id.0 + 1)).await;
    assert!(matches!(absent, Err(CatalogError::Unknown { what: "token", .. })), "{absent:?}");
}

/// Expired and revoked ones included.
pub async fn tokens_are_listed_newest_first(w: &World) {
    assert_eq!(w.catalog.tokens().await.unwrap(), []);
    let mut made = Vec::new();
    for n in 1..=3 {
        made.push(w.catalog.add_token(&token(n)).await.unwrap());
    }
    made[1] = w.catalog.revoke_token(made[1].id).await.unwrap();
    made.reverse();
    assert_eq!(w.other.tokens().await.unwrap(), made);
}
