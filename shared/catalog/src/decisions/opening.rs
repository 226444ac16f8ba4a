//! Opening a push: its project's vault, its stores, and what becomes of the one that is open already.

use n2s_domain::{BackendName, ProjectName, VaultId};

use crate::rows::pushes::Pending;
use crate::{CatalogError, Held, OpenPush, TakeOver};

/// A project keeps the vault of its first push.
pub fn check_vault(project: &ProjectName, given: VaultId, registered: VaultId) -> Result<(), CatalogError> {
    if registered == given {
        return Ok(());
    }
    Err(CatalogError::WrongVault { project: project.to_string(), registered, given })
}

/// A dataset keeps the stores of its first push: a later one gives the same, or none.
pub fn check_fixed(fixed: &[BackendName], given: &[BackendName]) -> Result<(), CatalogError> {
    let same = given.iter().all(|name| fixed.contains(name)) && fixed.iter().all(|name| given.contains(name));
    if given.is_empty() || same {
        return Ok(());
    }
    let text = |names: &[BackendName]| names.iter().map(ToString::to_string).collect();
    Err(CatalogError::BackendsFixed { fixed: text(fixed), given: text(given) })
}

/// The stores of a dataset's first push: those given, or all that are known.
pub fn first_stores(known: &[(i64, BackendName)], given: &[BackendName]) -> Result<Vec<i64>, CatalogError> {
    if known.is_empty() {
        return Err(CatalogError::NoBackends);
    }
    if let Some(unknown) = given.iter().find(|name| !known.iter().any(|(_, known)| known == *name)) {
        let names: Vec<_> = known.iter().map(|(_, name)| name.to_string()).collect();
        return Err(CatalogError::unknown_among("backend", unknown, &names));
    }
    let chosen = known.iter().filter(|(_, name)| given.is_empty() || given.contains(name));
    Ok(chosen.map(|(id, _)| *id).collect())
}

/// Copies that make a changeset safe: all, or as many as asked for, but at least one and no more than there are stores.
pub fn min_copies(open: &OpenPush, stores: usize) -> i64 {
    let copies = open.min_copies.map_or(stores, |copies| (copies as usize).clamp(1, stores));
    i64::try_from(copies).unwrap_or(1)
}

/// What becomes of the push that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on, with a new token.
    Resumed,
    /// It is given up, and undone before another begins.
    Abandoned,
}

/// Whether the caller may have the open push, or its end. `lapsed` by the database's clock.
pub fn fate(open: &OpenPush, found: &Pending, lapsed: bool) -> Result<Fate, CatalogError> {
    let changeset = found.changeset;
    if found.abandoned {
        return Err(CatalogError::Undoing(changeset));
    }
    if open.take_over == TakeOver::Abandon {
        return Ok(Fate::Abandoned);
    }
    let until = found.until.ok_or_else(|| CatalogError::unreadable("lease_until"))?;
    let client_id = found.client_id.clone();
    if client_id != open.client_id || (open.take_over == TakeOver::IfLapsed && !lapsed) {
        return Err(CatalogError::Held(Held { changeset, client_id, until, lapsed }));
    }
    Ok(Fate::Resumed)
}
