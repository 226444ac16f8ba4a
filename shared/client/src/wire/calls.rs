//! Envelopes of calls whose arguments or answers are more than one record.

use n2s_domain::limits::SEALED_BYTES_MAX;
use n2s_domain::{BackendName, ContentHash, Epoch, SealedHash, VaultId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::frames::Head;
use super::problem::Problem;
use crate::seam::{BadCopy, FileBlob, FirstSeen, NewGroup, ProofProgress, SealedRef, ValidateReport};

/// What a client must know first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct CatalogInfo {
    /// The catalog's own id; manifests carry it.
    pub catalog: Uuid,
}

/// A vault's public objects, as they lie on every store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultObjects {
    /// `n2s.json`, in hex.
    pub marker: String,
    /// `keys/<epoch>`: the epoch and its wrapped secret in hex, ascending.
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    pub epochs: Vec<(Epoch, String)>,
}

/// Contents on offer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferCall {
    /// BLAKE3 of each plaintext.
    #[schema(value_type = Vec<String>)]
    pub contents: Vec<ContentHash>,
}

/// The answer to each, in order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OfferAnswer {
    /// The accepted sealing of what is there; null for what must be sent.
    #[schema(value_type = Vec<Option<String>>)]
    pub held: Vec<Option<SealedHash>>,
}

/// The head of a blob that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlobHead {
    /// BLAKE3 of the plaintext.
    #[schema(value_type = String)]
    pub content_hash: ContentHash,
    /// Plaintext bytes.
    pub size: u64,
    /// BLAKE3 of the object.
    #[schema(value_type = String)]
    pub sealed_hash: SealedHash,
    /// The epoch that sealed it.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
    /// Bytes of the object.
    pub length: u64,
}

impl Head for BlobHead {
    fn length(&self) -> u64 {
        self.length
    }
}

/// What is accepted, in order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SendAnswer {
    /// The sealing that counts for each blob: the first accepted one, not always the one just sent.
    #[schema(value_type = Vec<String>)]
    pub accepted: Vec<SealedHash>,
}

/// Groups of a manifest.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupsCall {
    /// They replace those of an earlier call.
    pub groups: Vec<NewGroup>,
}

/// Sealings that were replaced.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplacedAnswer {
    /// Old, new.
    #[schema(value_type = Vec<Vec<String>>)]
    pub replaced: Vec<(SealedHash, SealedHash)>,
}

/// The head of a manifest's header, which comes first, and of its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestHead {
    /// BLAKE3 of the object.
    #[schema(value_type = String)]
    pub sealed_hash: SealedHash,
    /// Bytes of the object.
    pub length: u64,
}

impl Head for ManifestHead {
    fn length(&self) -> u64 {
        self.length
    }
}

/// Blobs to fetch.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchCall {
    /// As a tree listed them.
    pub blobs: Vec<FileBlob>,
    /// The store to ask first.
    #[schema(value_type = Option<String>)]
    pub from: Option<BackendName>,
    /// Whether the server opens them: the objects are then plaintext.
    #[serde(default)]
    pub open: bool,
}

/// The head of a fetched blob, in the order asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FetchedHead {
    /// Bytes of the object; 0 beside a problem.
    pub length: u64,
    /// Stores that could not give it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_copies: Vec<BadCopy>,
    /// Why there is no object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Head for FetchedHead {
    fn length(&self) -> u64 {
        self.length
    }
}

/// Why a store is paused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseCall {
    /// In words, for whoever looks at the store next.
    pub reason: String,
}

/// What a running validation tells, one a line; the last is its report, or a problem.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValidateEvent {
    /// How far it is.
    Progress(ProofProgress),
    /// What it found.
    Report(ValidateReport),
    /// Why there is no report.
    Problem(Problem),
}

/// The head of a content that the server seals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlainHead {
    /// BLAKE3 of the object, which is the plaintext.
    #[schema(value_type = String)]
    pub content_hash: ContentHash,
    /// Bytes of the object.
    pub length: u64,
    /// Where it was seen.
    #[serde(flatten)]
    pub seen: FirstSeen,
}

impl Head for PlainHead {
    fn length(&self) -> u64 {
        self.length
    }
}

/// What became of each content, in order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SealedAnswer {
    /// Its sealing.
    pub sealed: Vec<SealedRef>,
}

/// The head of an unsealed manifest's header, which comes first, and of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlainManifestHead {
    /// Bytes of the object.
    pub length: u64,
}

impl Head for PlainManifestHead {
    fn length(&self) -> u64 {
        self.length
    }
}

/// What a vault registers as.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct VaultPath {
    /// 16 hex digits.
    #[schema(value_type = String)]
    pub vault: VaultId,
}

/// A blob fits a body of its own with room for its head.
const _: () = assert!(SEALED_BYTES_MAX + 4096 < super::BLOBS_BODY_MAX);
