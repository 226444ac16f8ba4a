//! What is sent in parcels: sealed blobs, and contents that the server seals.
//!
//! After a doubtful end the server is asked which of a parcel it has, and gets the rest: no accepted blob is sent twice.

use std::collections::BTreeMap;

use bytes::BytesMut;
use n2s_domain::ContentHash;
use reqwest::Method;

use super::Remote;
use super::call::{Call, Line, Miss, read};
use super::producer::{incomplete, push};
use crate::seam::{Lease, Offered, PlainBlob, Producer as _, SealedRef, SeamError, SendBlob};
use crate::wire::calls::{BlobHead, PlainHead, SealedAnswer, SendAnswer};
use crate::wire::{BLOBS_BODY_WANTED, FRAMES, SEALED, frames};

/// One of a parcel.
pub(super) trait Sent: Sync {
    fn content(&self) -> ContentHash;
    fn length(&self) -> usize;
    /// The request that sends these.
    fn sending(lease: &Lease, blobs: &[&Self]) -> Call;
    /// What the answer says of each.
    fn stored(blobs: &[&Self], body: &[u8]) -> Result<Vec<SealedRef>, SeamError>;
}

impl Sent for SendBlob {
    fn content(&self) -> ContentHash {
        self.content_hash
    }

    fn length(&self) -> usize {
        self.bytes.len()
    }

    /// One blob is a body as it is; several are framed.
    fn sending(lease: &Lease, blobs: &[&Self]) -> Call {
        if let [blob] = blobs {
            return push(Method::PUT, lease, &format!("/blobs/{}", blob.content_hash))
                .header("n2s-size", blob.size)
                .header("n2s-sealed-hash", blob.sealed_hash)
                .header("n2s-epoch", blob.epoch)
                .body(SEALED, blob.bytes.clone());
        }
        let mut body = BytesMut::with_capacity(size_of_body(blobs));
        for blob in blobs {
            let head = BlobHead {
                content_hash: blob.content_hash,
                size: blob.size,
                sealed_hash: blob.sealed_hash,
                epoch: blob.epoch,
                length: blob.bytes.len() as u64,
            };
            body.extend_from_slice(&frames::head(&head));
            body.extend_from_slice(&blob.bytes);
        }
        push(Method::POST, lease, "/blobs").body(FRAMES, body.freeze())
    }

    fn stored(blobs: &[&Self], body: &[u8]) -> Result<Vec<SealedRef>, SeamError> {
        let answer: SendAnswer = read(body)?;
        let stored = answer.accepted.into_iter().zip(blobs);
        let stored = stored.map(|(sealed_hash, blob)| SealedRef {
            sealed_hash,
            encrypted_size: Some(blob.bytes.len() as u64),
        });
        Ok(stored.collect())
    }
}

impl Sent for PlainBlob {
    fn content(&self) -> ContentHash {
        self.content_hash
    }

    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn sending(lease: &Lease, blobs: &[&Self]) -> Call {
        let mut body = BytesMut::with_capacity(size_of_body(blobs));
        for blob in blobs {
            let (content_hash, length) = (blob.content_hash, blob.bytes.len() as u64);
            body.extend_from_slice(&frames::head(&PlainHead {
                content_hash,
                length,
                seen: blob.seen.clone(),
            }));
            body.extend_from_slice(&blob.bytes);
        }
        push(Method::POST, lease, "/plain").body(FRAMES, body.freeze())
    }

    fn stored(_: &[&Self], body: &[u8]) -> Result<Vec<SealedRef>, SeamError> {
        let answer: SealedAnswer = read(body)?;
        Ok(answer.sealed)
    }
}

/// What a body of frames takes, or little less: one that grew would be copied each time.
fn size_of_body<T: Sent>(blobs: &[&T]) -> usize {
    const HEAD: usize = 256;
    blobs.iter().map(|blob| blob.length() + HEAD).sum()
}

/// Requests of a size that a lost connection does not make expensive.
pub(super) fn parcels<T: Sent>(blobs: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = blobs;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |blob: &&T| {
            bytes += blob.length();
            bytes <= BLOBS_BODY_WANTED
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (parcel, after) = rest.split_at(count);
        rest = after;
        (!parcel.is_empty()).then_some(parcel)
    })
}

impl Remote {
    /// Sends one parcel; answers in the order given.
    pub(super) async fn send_parcel<T: Sent>(
        &self,
        lease: &Lease,
        blobs: &[T],
    ) -> Result<Vec<SealedRef>, SeamError> {
        let mut stored: BTreeMap<ContentHash, SealedRef> = BTreeMap::new();
        let mut pace = Line::pace();
        loop {
            let missing: Vec<_> = blobs.iter().filter(|blob| !stored.contains_key(&blob.content())).collect();
            if missing.is_empty() {
                break;
            }
            let contents: Vec<_> = missing.iter().map(|blob| blob.content()).collect();
            match self.line.once(&T::sending(lease, &missing)).await {
                Ok(body) => {
                    stored.extend(contents.into_iter().zip(T::stored(&missing, &body)?));
                    break;
                }
                Err(Miss::Never(error)) => return Err(error),
                Err(Miss::Later(after, error)) => self.line.wait(&mut pace, after, error).await?,
            }
            let held = self.offer(lease, &contents).await?;
            stored.extend(contents.into_iter().zip(held).filter_map(|(content, held)| match held {
                Offered::Held(sealed_hash) => {
                    Some((content, SealedRef { sealed_hash, encrypted_size: None }))
                }
                Offered::Missing => None,
            }));
        }
        let answer = |blob: &T| stored.get(&blob.content()).copied();
        blobs.iter().map(answer).collect::<Option<_>>().ok_or_else(incomplete)
    }
}
