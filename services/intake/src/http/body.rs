//! Bodies and other arguments, bounded before they are read.
//!
//! A body takes its share of the bytes that may be in flight before its first byte is read, by its announced length or, without one, by
//! the most it may have: a server under pressure answers 429 at once instead of growing. It must then arrive within a time that
//! follows from its length, so that a client that stops sending gives its share back.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use n2s_client::wire::CONTROL_BODY_MAX;
use n2s_client::wire::problem::Refusal;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::answer::{Answer, Refused};

/// A body arrives within this long, and a second more for each of so many bytes.
const BODY_TIME: Duration = Duration::from_secs(30);
const SLOWEST_BYTES_PER_SEC: u64 = 64 * 1024;

/// A share of the bytes in flight.
pub(super) fn share(api: &Api, bytes: u64) -> Answer<OwnedSemaphorePermit> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, api.in_flight_kib);
    Arc::clone(&api.in_flight)
        .try_acquire_many_owned(kib)
        .map_err(|_| Refused::busy("too many bytes are under way; come back in a moment"))
}

/// A whole body of at most `MOST` bytes, with its share of what may be in flight.
#[derive(Debug)]
pub(super) struct Whole<const MOST: usize> {
    pub(super) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl<const MOST: usize> FromRequest<Arc<Api>> for Whole<MOST> {
    type Rejection = Refused;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refused> {
        let announced =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let length: u64 = announced.unwrap_or(MOST as u64);
        let too_large =
            || Refused::new(Refusal::TooLarge, format!("a body may have at most {MOST} bytes here"));
        if length > MOST as u64 {
            return Err(too_large());
        }
        let share = share(api, length)?;
        let time = BODY_TIME + Duration::from_secs(length / SLOWEST_BYTES_PER_SEC);
        let body = Limited::new(request.into_body(), MOST).collect();
        match tokio::time::timeout(time, body).await {
            Ok(Ok(body)) => Ok(Self { bytes: body.to_bytes(), _share: share }),
            Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
            Ok(Err(_)) => Err(Refused::invalid("the body ended before its announced length")),
            Err(_) => Err(Refused::new(Refusal::TooSlow, "the body did not arrive in time; send it again")),
        }
    }
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refused> {
        let body = Whole::<CONTROL_BODY_MAX>::from_request(request, api).await?;
        let read = serde_json::from_slice(&body.bytes);
        read.map(Self).map_err(|error| Refused::invalid(format!("the body cannot be read: {error}")))
    }
}

/// Query parameters.
#[derive(Debug)]
pub(super) struct Args<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Args<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(args)| Self(args)).map_err(|error| Refused::invalid(error.body_text()))
    }
}

/// Parts of the path.
#[derive(Debug)]
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(at)| Self(at)).map_err(|error| Refused::invalid(error.body_text()))
    }
}
