//! The key objects and the marker: few, small, and without them nothing of a store can be read.
//!
//! They are constants that the catalog holds itself, so what is damaged is put right here and now. Rejected: a job, as for
//! blobs, which would look for a source that needs no looking for. Only what the catalog says was placed is replaced: a
//! foreign `keys/<epoch>` where ours never was is another machine's, and overwriting it would lose that machine's blobs.

use bytes::Bytes;
use n2s_domain::{FailureKind, SealedHash};
use n2s_storage::{Body, ObjectKey, Put, StorageExt as _, layout};

use crate::deps::StoreDeps;
use crate::identity::Identity;
use crate::report::{Found, StoreReport, What};

/// Looks at every key object and at the marker, whatever the level: they are a few dozen bytes each.
pub(crate) async fn check(store: &StoreDeps, identity: &Identity, report: &mut StoreReport) {
    if identity.marker_damaged {
        let message = "it is not what was written".to_owned();
        let marker = (layout::marker(), FailureKind::Corrupt, message);
        replace(store, marker, &identity.objects.marker, report).await;
    } else {
        counted(report, &identity.objects.marker);
    }
    for (epoch, wrapped) in &identity.objects.epochs {
        if !identity.placed.contains(epoch) {
            continue;
        }
        let key = layout::epoch(*epoch);
        match store.storage.get(key.clone()).await {
            Ok(found) if found == *wrapped => counted(report, wrapped),
            Ok(found) => {
                let message = format!("the store gave {} other bytes", found.len());
                replace(store, (key, FailureKind::Corrupt, message), wrapped, report).await;
            }
            Err(error) if matches!(error.kind, FailureKind::NotFound | FailureKind::Corrupt) => {
                replace(store, (key, error.kind, error.report()), wrapped, report).await;
            }
            Err(error) => {
                report.unchecked += 1;
                report.unchecked_why.get_or_insert_with(|| error.report());
            }
        }
    }
}

fn counted(report: &mut StoreReport, bytes: &[u8]) {
    report.checked += 1;
    report.bytes += bytes.len() as u64;
}

async fn replace(
    store: &StoreDeps,
    (key, kind, message): (ObjectKey, FailureKind, String),
    right: &[u8],
    report: &mut StoreReport,
) {
    let digest = SealedHash(*blake3::hash(right).as_bytes());
    let name = key.to_string();
    let body = Body::Bytes(Bytes::copy_from_slice(right));
    let message = match store.storage.put(Put { key, body, digest, overwrite: true }).await {
        Ok(_) => message,
        Err(error) => {
            let why = error.report();
            report.unchecked += 1;
            report.unchecked_why.get_or_insert_with(|| format!("{name} could not be replaced: {why}"));
            format!("{message}; it could not be replaced: {why}")
        }
    };
    tracing::warn!(backend.name = %store.name, object = name, message, "damaged");
    report.checked += 1;
    report.found(Found {
        what: What::Key,
        object: None,
        store: store.id,
        key: name,
        kind,
        message,
        affected: Vec::new(),
    });
}
