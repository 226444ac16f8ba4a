//! Refusals and failures: `application/problem+json` (RFC 9457), one `code` per way a caller can react.

use n2s_domain::{ChangesetId, ContentHash};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::seam::SeamError;

/// The media type.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal or failure, for the caller. Causes are in the server's log under the same request id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The HTTP status, repeated.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What was wrong, where, and what to do.
    pub detail: String,
    /// Which request; the server's log has it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// The code and what belongs to it.
    #[serde(flatten)]
    pub refusal: Refusal,
}

/// The codes. Programs decide by them; new ones may be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// Nothing is called that.
    Unknown {
        /// `project`, `dataset`, `version`, …
        what: String,
        /// What was asked for.
        name: String,
        /// What there is instead.
        hint: String,
    },
    /// The project is sealed with another vault.
    WrongVault,
    /// Another push of the dataset is open, or being undone.
    Held {
        /// True while one is being undone: ask again in a moment.
        undoing: bool,
    },
    /// The push no longer holds its dataset.
    LeaseLost {
        /// Which.
        #[schema(value_type = Uuid)]
        changeset: ChangesetId,
    },
    /// These contents must be sent again.
    Unsourced {
        /// Which.
        #[schema(value_type = Vec<String>)]
        contents: Vec<ContentHash>,
    },
    /// The request cannot be served as it is.
    Invalid,
    /// No intact copy of a blob is left.
    NoIntactCopy {
        /// The blob.
        #[schema(value_type = String)]
        content: ContentHash,
        /// Each place that was tried, and what it said.
        tried: String,
    },
    /// Copies of a blob may be intact, but none of them can be read now.
    OutOfReach {
        /// The blob.
        #[schema(value_type = String)]
        content: ContentHash,
        /// Each place that was tried, and what it said.
        tried: String,
    },
    /// No token, or none that is valid.
    Unauthenticated,
    /// The token does not allow it. Says nothing of whether the thing exists.
    Forbidden,
    /// The body is longer than it may be.
    TooLarge,
    /// Too much is under way; `Retry-After` says when to come back.
    Busy,
    /// The server is going down, or its catalog or staging cannot be reached.
    Unavailable,
    /// The request was not complete in time.
    TooSlow,
    /// No such endpoint, or no such method there.
    NoSuchEndpoint,
    /// The server failed.
    Failed,
}

impl Refusal {
    /// The HTTP status, and it in words.
    pub const fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Invalid => (400, "Bad Request"),
            Self::Unauthenticated => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::Unknown { .. } | Self::NoSuchEndpoint => (404, "Not Found"),
            Self::TooSlow => (408, "Request Timeout"),
            Self::WrongVault | Self::Held { .. } | Self::LeaseLost { .. } | Self::Unsourced { .. } => {
                (409, "Conflict")
            }
            Self::NoIntactCopy { .. } => (410, "Gone"),
            Self::TooLarge => (413, "Content Too Large"),
            Self::Busy => (429, "Too Many Requests"),
            Self::Failed => (500, "Internal Server Error"),
            Self::Unavailable | Self::OutOfReach { .. } => (503, "Service Unavailable"),
        }
    }
}

impl Problem {
    /// A problem of this kind, in these words.
    pub fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        let (status, title) = refusal.status();
        Self { status, title: title.to_owned(), detail: detail.into(), request_id: None, refusal }
    }
}

/// What the caller hears of an error. The cause of a failure stays behind.
impl From<&SeamError> for Problem {
    fn from(error: &SeamError) -> Self {
        let refusal = match error {
            SeamError::Unknown { what, name, hint } => {
                Refusal::Unknown { what: (*what).to_owned(), name: name.clone(), hint: hint.clone() }
            }
            SeamError::WrongVault(_) => Refusal::WrongVault,
            SeamError::Held { undoing, .. } => Refusal::Held { undoing: *undoing },
            SeamError::LeaseLost(changeset) => Refusal::LeaseLost { changeset: *changeset },
            SeamError::Unsourced(contents) => Refusal::Unsourced { contents: contents.clone() },
            SeamError::Invalid(_) => Refusal::Invalid,
            SeamError::NoIntactCopy { content, tried } => {
                Refusal::NoIntactCopy { content: *content, tried: tried.clone() }
            }
            SeamError::OutOfReach { content, tried } => {
                Refusal::OutOfReach { content: *content, tried: tried.clone() }
            }
            SeamError::Denied(_) => Refusal::Forbidden,
            SeamError::Unavailable { .. } => Refusal::Unavailable,
            SeamError::Other { .. } => Refusal::Failed,
        };
        Self::new(refusal, error.to_string())
    }
}

/// Words that errors are made of; what an unknown server calls by another is a `thing`.
const THINGS: [&str; 10] =
    ["project", "dataset", "version", "snapshot", "changeset", "backend", "token", "blob", "vault", "page"];

/// The same error as on the other side, so that it has the same consequences and the same exit code.
impl From<Problem> for SeamError {
    fn from(problem: Problem) -> Self {
        let request = problem.request_id.map(|id| format!(" (request {id})")).unwrap_or_default();
        match problem.refusal {
            Refusal::Unknown { what, name, hint } => {
                let what = THINGS.into_iter().find(|thing| *thing == what).unwrap_or("thing");
                Self::Unknown { what, name, hint }
            }
            Refusal::WrongVault => Self::WrongVault(problem.detail),
            Refusal::Held { undoing } => Self::Held { message: problem.detail, undoing },
            Refusal::LeaseLost { changeset } => Self::LeaseLost(changeset),
            Refusal::Unsourced { contents } => Self::Unsourced(contents),
            Refusal::Invalid | Refusal::TooLarge => Self::Invalid(problem.detail),
            Refusal::NoIntactCopy { content, tried } => Self::NoIntactCopy { content, tried },
            Refusal::OutOfReach { content, tried } => Self::OutOfReach { content, tried },
            Refusal::Unauthenticated | Refusal::Forbidden => Self::Denied(problem.detail),
            Refusal::Busy
            | Refusal::Unavailable
            | Refusal::TooSlow
            | Refusal::NoSuchEndpoint
            | Refusal::Failed => Self::Other {
                doing: "the server's part",
                source: anyhow::anyhow!("{}{request}", problem.detail),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors() -> Vec<SeamError> {
        let hash = ContentHash([7; 32]);
        vec![
            SeamError::Unknown { what: "dataset", name: "d".into(), hint: "; there are: e".into() },
            SeamError::WrongVault("another vault".into()),
            SeamError::Held { message: "held".into(), undoing: false },
            SeamError::Held { message: "undoing".into(), undoing: true },
            SeamError::LeaseLost(ChangesetId(Uuid::from_u128(7))),
            SeamError::Unsourced(vec![hash]),
            SeamError::Invalid("bad".into()),
            SeamError::NoIntactCopy { content: hash, tried: "one: gone".into() },
            SeamError::OutOfReach { content: hash, tried: "one: nobody answers".into() },
            SeamError::Denied("no".into()),
        ]
    }

    #[test]
    fn every_error_comes_out_as_it_went_in() {
        for error in errors() {
            let sent = serde_json::to_string(&Problem::from(&error)).unwrap();
            let received: Problem = serde_json::from_str(&sent).unwrap();
            let error_again = SeamError::from(received);
            assert_eq!(format!("{error:?}"), format!("{error_again:?}"), "{sent}");
        }
    }

    #[test]
    fn causes_stay_behind() {
        let secret = SeamError::Other { doing: "staging", source: anyhow::anyhow!("/srv/secret is full") };
        assert!(!serde_json::to_string(&Problem::from(&secret)).unwrap().contains("secret"));
        let away = SeamError::Unavailable { doing: "staging", source: anyhow::anyhow!("secret.example") };
        let told = Problem::from(&away);
        assert_eq!(told.status, 503);
        assert!(!serde_json::to_string(&told).unwrap().contains("secret"));
    }
}
