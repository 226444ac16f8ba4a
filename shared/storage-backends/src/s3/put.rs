//! Writing.
//!
//! Always in one request. Multipart pays from about 100 MB, and needs three requests at least, with parts of 5 MiB or more; a sealed object
//! is at most 17.25 MiB, many go at once anyway, and uploads nobody completed would lie about and cost money. One PUT is all or
//! nothing on every server that was tried, also when the connection is cut.
//!
//! An object that is there already is read back and compared. Sizes and ETags would be cheaper and prove nothing: an ETag
//! is an MD5 on some servers, of parts on others, and of what was once written on all. It happens when an acknowledgement was lost.

use anyhow::anyhow;
use aws_sdk_s3::config::{Config, RequestChecksumCalculation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::StorageClass;
use bytes::Bytes;
use n2s_domain::FailureKind;
use n2s_storage::{ObjectKey, Put, StorageError, Stored, layout};

use super::Inner;
use super::failure::Failure;
use super::habits::Proof;

/// What health checks and probes write.
pub(super) const PROBE: &[u8] = b"n2s probe\n";

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub key: ObjectKey,
    pub bytes: Bytes,
    pub proof: Proof,
    /// Only when nothing has the name yet, on servers that know how.
    pub if_absent: bool,
    pub storage_class: Option<StorageClass>,
}

impl Request {
    /// `bytes` under `probe`, in the default class: archive classes cannot be read back.
    pub fn probe(bytes: &'static [u8]) -> Self {
        Self {
            key: layout::probe(),
            bytes: Bytes::from_static(bytes),
            proof: Proof::Crc32,
            if_absent: false,
            storage_class: None,
        }
    }
}

impl Inner {
    pub(super) async fn put(&self, put: Put) -> Result<Stored, StorageError> {
        let key = put.key.clone();
        self.put_once(put).await.map_err(|failure| self.error("store", Some(&key), failure))
    }

    async fn put_once(&self, put: Put) -> Result<Stored, Failure> {
        let habits = self.habits().await?;
        let mut request = Request {
            key: put.key,
            bytes: put.body.bytes().clone(),
            proof: habits.proof,
            if_absent: false,
            storage_class: None,
        };
        if put.overwrite {
            return self.write(request).await;
        }
        request.storage_class = self.options.storage_class.as_deref().map(StorageClass::from);
        request.if_absent = habits.conditional;
        // Between this look and the write another writer can come, which is why the condition is used where it holds. Objects are
        // named for their bytes, or written under a lease: two writers that differ are a mistake elsewhere.
        if !habits.conditional && self.stat(&request.key).await?.is_some() {
            return self.compare(&request).await;
        }
        match self.write(request.clone()).await {
            Err(failure) if request.if_absent && matches!(failure.status, Some(409 | 412)) => {
                self.compare(&request).await
            }
            settled => settled,
        }
    }

    /// The answer for a name that is taken: the same bytes count as stored.
    async fn compare(&self, request: &Request) -> Result<Stored, Failure> {
        let there = match self.read(&request.key, None).await {
            // It went away meanwhile, or is only just coming.
            Err(failure) if failure.kind == FailureKind::NotFound => {
                return Err(Failure { kind: FailureKind::Unavailable, ..failure });
            }
            other => other?,
        };
        if there.bytes == request.bytes {
            return Ok(there.stored);
        }
        let cause = anyhow!("the name holds {} other bytes, which are left as they are", there.bytes.len());
        Err(Failure::new(FailureKind::Corrupt, cause))
    }

    pub(super) async fn write(&self, request: Request) -> Result<Stored, Failure> {
        let stored = self.send(|| self.write_once(request.clone())).await?;
        self.saw_bucket();
        Ok(stored)
    }

    async fn write_once(&self, request: Request) -> Result<Stored, Failure> {
        let key = self.addresses.name(&request.key);
        let put = self
            .client
            .put_object()
            .bucket(&self.options.bucket)
            .key(&key)
            .set_if_none_match(request.if_absent.then(|| "*".to_owned()))
            .set_storage_class(request.storage_class)
            .set_checksum_crc32((request.proof == Proof::WrongCrc32).then(|| "AAAAAA==".to_owned()))
            .body(ByteStream::from(request.bytes))
            .customize();
        let put = match request.proof {
            Proof::Crc32 | Proof::WrongCrc32 => put.disable_payload_signing(),
            Proof::Sha256 => {
                let without = RequestChecksumCalculation::WhenRequired;
                put.config_override(Config::builder().request_checksum_calculation(without))
            }
        };
        let answer = put.send().await.map_err(|error| Failure::of(&error))?;
        Ok(stored(key, answer.e_tag(), answer.version_id()))
    }
}

/// The acknowledgement. Servers without versions say `null` or nothing.
pub(super) fn stored(key: String, etag: Option<&str>, version: Option<&str>) -> Stored {
    Stored {
        key: Some(key),
        location: None,
        etag: etag.map(|etag| etag.trim_matches('"').to_owned()),
        version: version.filter(|version| *version != "null").map(str::to_owned),
    }
}
