//! Pushing and pulling without the vault: the other side has it, seals what it is sent, and opens what it is asked for.
//!
//! Cutting needs the vault's seed all the same, so that one content is cut alike wherever it is pushed from; whoever may push to a
//! project may have it.

use bytes::Bytes;
use n2s_domain::{ContentHash, FileTime, RelPath, SealedHash, StoreKey, VaultId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a client without the vault must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlainTerms {
    /// The vault that will seal.
    #[schema(value_type = String)]
    pub vault: VaultId,
    /// The dataset's name on stores.
    #[schema(value_type = String)]
    pub store_key: StoreKey,
    /// Cuts large files.
    pub chunk_seed: u64,
}

/// Where a content was first seen: a hint for disaster recovery, sealed with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirstSeen {
    /// The path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub filepath: Option<RelPath>,
    /// Its mtime then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub mtime: Option<FileTime>,
    /// Its permission bits then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Where in the file the content begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The file's size when it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}

/// A content to be sealed and staged.
#[derive(Clone, Debug)]
pub struct PlainBlob {
    /// BLAKE3 of `bytes`; checked on arrival.
    pub content_hash: ContentHash,
    /// Where it was seen.
    pub seen: FirstSeen,
    /// The plaintext.
    pub bytes: Bytes,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealedRef {
    /// The sealing that counts.
    #[schema(value_type = String)]
    pub sealed_hash: SealedHash,
    /// Sealed bytes; absent where it was there already.
    pub encrypted_size: Option<u64>,
}

/// What a commit without the vault says.
#[derive(Clone, Debug)]
pub struct PlainCommit {
    /// Distinct batches of entries sent, over all resumptions.
    pub batches: u64,
    /// The manifest's header as JSON; what it says of the body is put right by the side that seals it.
    pub header: Bytes,
    /// The manifest's body as JSON.
    pub body: Bytes,
}
