//! What a server's answer, or the lack of one, means for the job, and what a person can do about it.
//!
//! Nothing here repeats a request's headers or a server's whole answer: both can hold signatures. Of an answer only its code and
//! message are kept.

use std::error::Error;
use std::time::Duration;

use anyhow::anyhow;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStreamError;
use n2s_domain::FailureKind;

use super::retry_after::retry_after;
use super::verdict::{Answer, judge};

/// How much of a server's message is kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// One request's failure.
#[derive(Debug)]
pub(super) struct Failure {
    pub kind: FailureKind,
    /// The answer's status, where there was an answer.
    pub status: Option<u16>,
    pub retry_after: Option<Duration>,
    /// Whether the connection failed, so that the same request may be sent again at once.
    pub cut: bool,
    pub cause: anyhow::Error,
}

impl Failure {
    /// A failure that no answer stands behind.
    pub fn new(kind: FailureKind, cause: anyhow::Error) -> Self {
        Self { kind, status: None, retry_after: None, cut: false, cause }
    }

    fn cut(cause: anyhow::Error) -> Self {
        Self { cut: true, ..Self::new(FailureKind::Unavailable, cause) }
    }

    /// The same for another object of the request.
    pub fn again(&self) -> Self {
        let cause = anyhow!("{:#}", self.cause);
        Self { cause, kind: self.kind, status: self.status, retry_after: self.retry_after, cut: self.cut }
    }

    /// What the SDK says of a request.
    pub fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let Some(credentials) = find::<CredentialsError>(error) {
            return no_credentials(credentials);
        }
        match error {
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                answered(service.raw(), meta.code(), meta.message())
            }
            SdkError::ResponseError(response) if !response.raw().status().is_success() => {
                answered(response.raw(), None, None)
            }
            SdkError::ResponseError(_) => Self::cut(anyhow!("the answer cannot be read: {}", chain(error))),
            SdkError::DispatchFailure(failure) if failure.is_user() => {
                Self::new(FailureKind::Misconfigured, anyhow!("{}", chain(error)))
            }
            SdkError::ConstructionFailure(_) => {
                let advice = "the request cannot be made; look at bucket, region and endpoint";
                Self::new(FailureKind::Misconfigured, anyhow!("{}", chain(error)).context(advice))
            }
            _ => unreachable(error),
        }
    }

    /// A body that broke off, or whose bytes are not those of the checksum the server keeps.
    pub fn of_body(error: &ByteStreamError) -> Self {
        let text = chain(error);
        if text.contains("checksum") {
            return Self::new(FailureKind::Corrupt, anyhow!("the bytes are not those stored: {text}"));
        }
        Self::cut(anyhow!("the answer broke off: {text}"))
    }
}

fn answered(raw: &HttpResponse, code: Option<&str>, message: Option<&str>) -> Failure {
    let header = |name: &str| raw.headers().get(name);
    let status = raw.status().as_u16();
    let region = header("x-amz-bucket-region").map(str::to_owned).or_else(|| region_in(raw.body().bytes()?));
    let answer = Answer { status, code: code.unwrap_or_default(), region: region.as_deref() };
    let (kind, advice) = judge(&answer);
    let message: String = message.unwrap_or_default().chars().take(MESSAGE_CHARS_MAX).collect();
    let said = format!("the server answered {status} {} {message}", answer.code);
    let cause = anyhow!("{}", said.trim_end());
    Failure {
        kind,
        status: Some(status),
        retry_after: header("retry-after").and_then(|after| retry_after(after, header("date"))),
        cut: false,
        cause: match advice {
            Some(advice) => cause.context(advice),
            None => cause,
        },
    }
}

/// The region an answer in XML names.
fn region_in(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let region = text.split_once("<Region>")?.1.split_once("</Region>")?.0;
    (region.len() < 64).then(|| region.to_owned())
}

fn unreachable<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> Failure {
    let text = chain(error);
    let cause = anyhow!("{text}");
    if text.contains("certificate") {
        let advice = "the server's certificate is not trusted here; add its authority to the system's certificates, or correct endpoint";
        return Failure::new(FailureKind::Misconfigured, cause.context(advice));
    }
    if text.contains("dns error") {
        let advice = "the server's name is not known; look at endpoint, and set path_style = true where buckets have no names of their own";
        return Failure::cut(cause.context(advice));
    }
    Failure::cut(cause.context("the server cannot be reached"))
}

/// Not retried at once: the chain asks services of its own, with its own patience.
fn no_credentials(error: &CredentialsError) -> Failure {
    let (kind, advice) = match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => (
            FailureKind::Misconfigured,
            "there are no credentials: set access_key_id and secret_access_key, or give the environment some of AWS's default chain",
        ),
        _ => (FailureKind::Unavailable, "the default chain cannot get credentials now"),
    };
    Failure::new(kind, anyhow!("{}", chain(error)).context(advice))
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    text
}
