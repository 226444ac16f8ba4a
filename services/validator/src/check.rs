//! One look at some objects of a store: there and whole, missing or wrong, or no answer.

use std::sync::Arc;

use bytes::Bytes;
use n2s_catalog::{Proof, ProofTarget, Vouched};
use n2s_domain::{FailureKind, ProofLevel, SealedHash};
use n2s_envelope::{Expect, Kind, Opener};
use n2s_storage::{Get, ObjectKey, Storage, StorageError, layout};

/// A copy and what to look for.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) proof: Proof,
    pub(crate) target: ProofTarget,
}

/// What a look said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is what the catalog says.
    Intact,
    /// It is missing or wrong: the object, the kind, in words.
    Damaged(ObjectKey, FailureKind, String),
    /// The store did not say.
    Unknown(String),
}

/// An object of an item.
struct Part {
    key: ObjectKey,
    digest: SealedHash,
    bytes: u64,
    expect: Expect,
}

impl Item {
    /// The digest that a recorded damage names.
    pub(crate) fn sealed_hash(&self) -> SealedHash {
        match &self.target {
            ProofTarget::Blob { sealed_hash, .. } => *sealed_hash,
            ProofTarget::Manifest { header, .. } => header.0,
        }
    }

    fn parts(&self) -> Vec<Part> {
        match &self.target {
            ProofTarget::Blob { content_hash, sealed_hash, bytes } => vec![Part {
                key: layout::blob(*sealed_hash),
                digest: *sealed_hash,
                bytes: *bytes,
                expect: Expect::Blob(*content_hash),
            }],
            ProofTarget::Manifest { project, dataset, version, store_key, header, body } => {
                let changeset = match self.proof.object {
                    Vouched::Manifest(changeset) => Some(changeset),
                    Vouched::Blob(_) => None,
                };
                let part = |key, (digest, bytes): (SealedHash, u64), kind| {
                    let (project, dataset) = (project.clone(), dataset.clone());
                    let expect = Expect::Manifest { kind, project, dataset, version: *version, changeset };
                    Part { key, digest, bytes, expect }
                };
                vec![
                    part(layout::manifest_body(*store_key, *version), *body, Kind::ManifestBody),
                    part(layout::manifest_header(*store_key, *version), *header, Kind::ManifestHeader),
                ]
            }
        }
    }
}

/// Looks at items in one call of the store; answers in their order.
pub(crate) async fn check(
    storage: &dyn Storage,
    level: ProofLevel,
    opener: Option<&Arc<Opener>>,
    items: &[Item],
) -> Vec<Verdict> {
    let parts: Vec<Vec<Part>> = items.iter().map(Item::parts).collect();
    let verdicts = if level.reads_bytes() {
        read(storage, opener.filter(|_| level == ProofLevel::Content), parts).await
    } else {
        ask(storage, parts).await
    };
    verdicts.into_iter().map(worst).collect()
}

/// An item is what its worst part is.
fn worst(verdicts: Vec<Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Intact => 0,
        Verdict::Unknown(_) => 1,
        Verdict::Damaged(..) => 2,
    };
    verdicts.into_iter().max_by_key(rank).unwrap_or(Verdict::Intact)
}

async fn ask(storage: &dyn Storage, parts: Vec<Vec<Part>>) -> Vec<Vec<Verdict>> {
    let keys: Vec<ObjectKey> = parts.iter().flatten().map(|part| part.key.clone()).collect();
    let mut answers = storage.stat(&keys).await.into_iter();
    let judge = |part: Part| match answers.next().expect("one answer per question") {
        Ok(Some(found)) if found.size == part.bytes => Verdict::Intact,
        Ok(Some(found)) => {
            let text = format!("{} is {} bytes long, not {}", part.key, found.size, part.bytes);
            Verdict::Damaged(part.key, FailureKind::Corrupt, text)
        }
        Ok(None) => missing(part.key),
        Err(error) => failed(part.key, &error),
    };
    let mut judge = judge;
    parts.into_iter().map(|parts| parts.into_iter().map(&mut judge).collect()).collect()
}

async fn read(
    storage: &dyn Storage,
    opener: Option<&Arc<Opener>>,
    parts: Vec<Vec<Part>>,
) -> Vec<Vec<Verdict>> {
    let gets = parts.iter().flatten().map(|part| Get { key: part.key.clone(), range: None });
    let answers = storage.retrieve(gets.collect()).await;
    let opener = opener.cloned();
    // Digests and ciphers of megabytes do not belong on the threads that wait for others.
    let judged = tokio::task::spawn_blocking(move || {
        let mut answers = answers.into_iter();
        let mut judge = |part: Part| match answers.next().expect("one answer per question") {
            Ok(bytes) => prove(opener.as_deref(), part, &bytes),
            Err(error) => failed(part.key, &error),
        };
        parts.into_iter().map(|parts| parts.into_iter().map(&mut judge).collect()).collect()
    });
    judged.await.expect("hashing and opening do not panic")
}

fn prove(opener: Option<&Opener>, part: Part, bytes: &Bytes) -> Verdict {
    if blake3::hash(bytes).as_bytes() != part.digest.as_bytes() {
        let text = format!("{} holds {} other bytes", part.key, bytes.len());
        return Verdict::Damaged(part.key, FailureKind::Corrupt, text);
    }
    match opener.map(|opener| opener.open(bytes, &part.expect)) {
        None | Some(Ok(_)) => Verdict::Intact,
        Some(Err(error)) => {
            let text = format!("{} has the right bytes, which do not open: {error}", part.key);
            Verdict::Damaged(part.key, FailureKind::Corrupt, text)
        }
    }
}

fn failed(key: ObjectKey, error: &StorageError) -> Verdict {
    match error.kind {
        FailureKind::NotFound => missing(key),
        FailureKind::Corrupt => {
            let text = format!("{key}: {:#}", error.source);
            Verdict::Damaged(key, FailureKind::Corrupt, text)
        }
        _ => Verdict::Unknown(error.report()),
    }
}

fn missing(key: ObjectKey) -> Verdict {
    let text = format!("{key} is not there");
    Verdict::Damaged(key, FailureKind::NotFound, text)
}
