//! Reading, looking and listing.

use std::ops::Range;
use std::sync::atomic::Ordering;

use anyhow::anyhow;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use bytes::{Bytes, BytesMut};
use n2s_domain::limits::SEALED_BYTES_MAX;
use n2s_domain::{FailureKind, Timestamp};
use n2s_storage::{Get, Listed, ObjectKey, Stat, StorageError, Stored};

use super::Inner;
use super::failure::Failure;
use super::put::stored;

/// An object, or a part of one.
#[derive(Debug)]
pub(super) struct Read {
    pub bytes: Bytes,
    pub stored: Stored,
}

/// One page of a listing, and what to ask for the next one with.
pub(super) struct Page {
    pub listed: Vec<Listed>,
    pub next: Option<String>,
}

impl Inner {
    pub(super) async fn get(&self, get: Get) -> Result<Bytes, StorageError> {
        let read = self.read(&get.key, get.range).await;
        read.map(|read| read.bytes).map_err(|failure| self.error("retrieve", Some(&get.key), failure))
    }

    pub(super) async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Read, Failure> {
        if range.as_ref().is_some_and(Range::is_empty) {
            // HTTP has no word for no bytes.
            return Ok(Read { bytes: Bytes::new(), stored: Stored::default() });
        }
        match self.send(|| self.read_once(key, range.clone())).await {
            Err(failure) if failure.kind == FailureKind::NotFound => {
                self.look_for_bucket().await?;
                Err(failure)
            }
            settled => settled,
        }
    }

    async fn read_once(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Read, Failure> {
        let header = range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let name = self.addresses.name(key);
        let get = self.client.get_object().bucket(&self.options.bucket).key(&name);
        let answer = get.set_range(header).send().await.map_err(|error| Failure::of(&error))?;
        let stored = stored(name, answer.e_tag(), answer.version_id());
        // A server that does not know ranges sends everything.
        let ranged = answer.content_range().is_some();
        let bytes = collect(answer).await?;
        match range {
            None => Ok(Read { bytes, stored }),
            Some(range) => Ok(Read { bytes: cut_out(&bytes, &range, ranged)?, stored }),
        }
    }

    pub(super) async fn stat(&self, key: &ObjectKey) -> Result<Option<Stat>, Failure> {
        let head = async || {
            let head = self.client.head_object().bucket(&self.options.bucket).key(self.addresses.name(key));
            head.send().await.map_err(|error| Failure::of(&error))
        };
        match self.send(head).await {
            Ok(answer) => {
                self.saw_bucket();
                Ok(Some(Stat { size: answer.content_length().and_then(|n| n.try_into().ok()).unwrap_or(0) }))
            }
            Err(failure) if failure.kind == FailureKind::NotFound => {
                self.look_for_bucket().await.map(|()| None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// An answer to HEAD has no body, so the absence of the bucket looks like that of the object, and some servers do not tell them apart
    /// on GET either. Asked until the bucket was seen once.
    async fn look_for_bucket(&self) -> Result<(), Failure> {
        if self.bucket_seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        let head = async || {
            self.client
                .head_bucket()
                .bucket(&self.options.bucket)
                .send()
                .await
                .map_err(|error| Failure::of(&error))
        };
        match self.send(head).await {
            Err(failure) if failure.kind == FailureKind::NotFound => {
                let cause = failure.cause.context("there is no such bucket: make it, or correct bucket");
                Err(Failure { kind: FailureKind::Misconfigured, cause, ..failure })
            }
            // It may be looked into, though not at: the absence of the object was said by somebody who could see it.
            Err(failure) if failure.kind != FailureKind::Denied => Err(failure),
            _ => {
                self.saw_bucket();
                Ok(())
            }
        }
    }

    pub(super) fn saw_bucket(&self) {
        self.bucket_seen.store(true, Ordering::Relaxed);
    }

    pub(super) async fn page(&self, prefix: &str, from: Option<String>) -> Result<Page, StorageError> {
        let list = async || {
            let list = self.client.list_objects_v2().bucket(&self.options.bucket).prefix(prefix);
            list.set_continuation_token(from.clone()).send().await.map_err(|error| Failure::of(&error))
        };
        let page = match self.send(list).await {
            Ok(answer) => self.listed(&answer, from.as_deref()),
            Err(failure) => Err(failure),
        };
        page.map_err(|failure| self.error("list", None, failure))
    }

    fn listed(&self, answer: &ListObjectsV2Output, from: Option<&str>) -> Result<Page, Failure> {
        let next = answer.next_continuation_token().filter(|_| answer.is_truncated() == Some(true));
        if answer.is_truncated() == Some(true) && (next.is_none() || next == from) {
            let cause = anyhow!("the listing goes on, but the server does not say from where");
            return Err(Failure::new(FailureKind::Unavailable, cause));
        }
        let listed = answer.contents().iter().filter_map(|object| {
            Some(Listed {
                key: self.addresses.parse(object.key()?)?,
                size: u64::try_from(object.size()?).ok()?,
                modified: object.last_modified().and_then(|at| {
                    let micros = at.as_nanos() / 1_000;
                    i64::try_from(micros).ok().map(Timestamp::from_micros)
                }),
            })
        });
        Ok(Page { listed: listed.collect(), next: next.map(str::to_owned) })
    }
}

/// The bytes of a body, at most as many as an object can have.
async fn collect(answer: GetObjectOutput) -> Result<Bytes, Failure> {
    let length = answer.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut body = answer.body;
    let mut bytes = BytesMut::with_capacity(length.min(SEALED_BYTES_MAX));
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Failure::of_body(&error))?;
        if bytes.len() + chunk.len() > SEALED_BYTES_MAX {
            let cause = anyhow!("it is longer than any object n2s writes ({SEALED_BYTES_MAX} bytes)");
            return Err(Failure::new(FailureKind::Corrupt, cause));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn cut_out(bytes: &Bytes, range: &Range<u64>, ranged: bool) -> Result<Bytes, Failure> {
    let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let start = if ranged { 0 } else { usize::try_from(range.start).unwrap_or(usize::MAX) };
    match start.checked_add(wanted) {
        Some(end) if end <= bytes.len() && (!ranged || end == bytes.len()) => Ok(bytes.slice(start..end)),
        _ => {
            let cause = anyhow!("{} bytes came for a range of {wanted}: the object is shorter", bytes.len());
            Err(Failure::new(FailureKind::Corrupt, cause))
        }
    }
}
