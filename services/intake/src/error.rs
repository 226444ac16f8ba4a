//! The catalog's and the stores' errors, as clients hear them. Converted here and nowhere else.

use n2s_catalog::CatalogError;
use n2s_client::seam::SeamError;
use n2s_domain::FailureKind;
use n2s_storage::StorageError;

/// The client's view of a catalog error.
pub(crate) fn catalog(error: CatalogError) -> SeamError {
    match error {
        CatalogError::Unknown { what, name, hint } => SeamError::Unknown { what, name, hint },
        CatalogError::WrongVault { .. } => SeamError::WrongVault(format!(
            "{error}; use the vault the project was made with, or another project name"
        )),
        CatalogError::Held(ref held) => {
            let advice = if held.lapsed {
                "its client can resume it; --take-over gives it up and undoes it"
            } else {
                "wait for it, or run it again with --take-over to give it up and undo it"
            };
            SeamError::Held { message: format!("{error}; {advice}"), undoing: false }
        }
        CatalogError::Undoing(_) => SeamError::Held { message: error.to_string(), undoing: true },
        CatalogError::LeaseLost(changeset) => SeamError::LeaseLost(changeset),
        CatalogError::Unsourced(contents) => SeamError::Unsourced(contents),
        CatalogError::BackendsFixed { .. } | CatalogError::NoBackends => {
            SeamError::Invalid(error.to_string())
        }
        CatalogError::Away { .. } => {
            SeamError::Unavailable { doing: "the catalog's part", source: error.into() }
        }
        other => SeamError::Other { doing: "the catalog's part", source: other.into() },
    }
}

/// The client's view of a failure to stage.
pub(crate) fn staging(error: StorageError) -> SeamError {
    let doing = match error.kind {
        FailureKind::Denied => "writing to staging (it may not be written)",
        _ => "writing to staging",
    };
    // Whatever is wrong with staging, a disk that is not mounted or a credential that has expired, is not the request's fault, and passes.
    if error.kind.is_an_outage() || error.kind == FailureKind::Throttled {
        return SeamError::Unavailable { doing, source: error.into() };
    }
    SeamError::Other { doing, source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_can_be_asked_again_and_what_fails_cannot() {
        let source = || anyhow::anyhow!("it said so");
        let away = catalog(CatalogError::Away { op: "look", source: source() });
        assert!(matches!(away, SeamError::Unavailable { .. }), "{away:?}");
        let failed = catalog(CatalogError::Database { op: "look", source: source() });
        assert!(matches!(failed, SeamError::Other { .. }), "{failed:?}");
        let staged = |kind| {
            let (backend, retry_after) = ("@staging".into(), None);
            staging(StorageError { kind, op: "store", backend, key: None, retry_after, source: source() })
        };
        for kind in [
            FailureKind::Unavailable,
            FailureKind::Throttled,
            FailureKind::Denied,
            FailureKind::Misconfigured,
        ] {
            assert!(matches!(staged(kind), SeamError::Unavailable { .. }), "{kind}");
        }
        assert!(matches!(staged(FailureKind::Corrupt), SeamError::Other { .. }));
    }
}
