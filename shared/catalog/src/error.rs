//! What a catalog can answer besides what was asked for.

use n2s_domain::{ChangesetId, ContentHash, Timestamp, VaultId};

/// Who holds a dataset's write lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The open changeset.
    pub changeset: ChangesetId,
    /// The client that opened it.
    pub client_id: String,
    /// Until when, by the database's clock; in the past when the lease lapsed and only its client may resume.
    pub until: Timestamp,
    /// Whether it lapsed.
    pub lapsed: bool,
}

/// A catalog's refusal or failure. The variant decides what the caller does; `Database` carries the driver's cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Nothing is called that.
    #[error("there is no {what} '{name}'{hint}")]
    Unknown {
        /// `project`, `dataset`, `version`, `snapshot`, `changeset` or `backend`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// Empty, or `; there are: …`.
        hint: String,
    },
    /// The project belongs to another vault.
    #[error("project '{project}' is sealed with vault {registered}, not with vault {given}")]
    WrongVault {
        /// The project's name.
        project: String,
        /// Its vault.
        registered: VaultId,
        /// The caller's.
        given: VaultId,
    },
    /// Another push of this dataset is open.
    #[error("another push of this dataset is open: changeset {} by {}, {} {}", .0.changeset, .0.client_id, if .0.lapsed { "idle since" } else { "held until" }, .0.until)]
    Held(Held),
    /// An abandoned push of this dataset is still being undone.
    #[error("an abandoned push of this dataset ({0}) is still being undone; try again in a moment")]
    Undoing(ChangesetId),
    /// The lease token is not, or no longer, that of the open push.
    #[error("the write lease of changeset {0} is gone: it was abandoned, taken over or committed")]
    LeaseLost(ChangesetId),
    /// The dataset's stores were fixed at its first push and are others.
    #[error(
        "this dataset's stores are {}, fixed at its first push, not {}; leave --backend out, or add a store with `n2s backends sync`",
        .fixed.join(", "), .given.join(", ")
    )]
    BackendsFixed {
        /// The dataset's.
        fixed: Vec<String>,
        /// The caller's.
        given: Vec<String>,
    },
    /// No store is configured.
    #[error("no backend is known; add one with `n2s backends add`")]
    NoBackends,
    /// These blobs are neither staged nor completed anywhere: send them again.
    #[error("{} blobs are neither staged nor stored anywhere and must be sent again", .0.len())]
    Unsourced(Vec<ContentHash>),
    /// The dataset's head is not the version this push was opened on.
    #[error("the dataset moved on since this push was opened")]
    HeadMoved,
    /// Not all batches of entries have arrived.
    #[error("{arrived} of {announced} batches of entries have arrived")]
    BatchesMissing {
        /// Recorded here.
        arrived: u64,
        /// What the commit announced.
        announced: u64,
    },
    /// The database is of another version than this program.
    #[error("the catalog's schema is version {found}, this n2s knows {known}; {advice}")]
    Schema {
        /// In the database.
        found: i64,
        /// In the program.
        known: i64,
        /// What to do.
        advice: &'static str,
    },
    /// A row that this program cannot have written.
    #[error("the catalog is damaged: {table}.{column} of row {row} cannot be read")]
    Inconsistent {
        /// Where.
        table: &'static str,
        /// Which column.
        column: &'static str,
        /// Which row.
        row: String,
    },
    /// The disk under the database is full.
    #[error(
        "the catalog's disk is full: {place}; free space and run the command again, nothing acknowledged was lost"
    )]
    Full {
        /// File or server.
        place: String,
    },
    /// The database cannot be written.
    #[error("the catalog is read-only: {place}")]
    ReadOnly {
        /// File or server.
        place: String,
    },
    /// The database's server cannot be reached, is silent, starting or stopping, or too busy to end what it was asked in time. That may be done or
    /// not: ask again later.
    #[error("the catalog's server is away; it was to {op}")]
    Away {
        /// The method, in words.
        op: &'static str,
        /// The driver's error.
        #[source]
        source: anyhow::Error,
    },
    /// The database failed.
    #[error("the catalog failed while it was to {op}")]
    Database {
        /// The method, in words.
        op: &'static str,
        /// The driver's error.
        #[source]
        source: anyhow::Error,
    },
}

impl CatalogError {
    /// Nothing is called that; `hint` is empty, or begins with `; `.
    pub fn unknown(what: &'static str, name: &impl ToString, hint: &str) -> Self {
        Self::Unknown { what, name: name.to_string(), hint: hint.to_owned() }
    }

    /// The same, naming some of what there is instead.
    pub fn unknown_among(what: &'static str, name: &impl ToString, known: &[String]) -> Self {
        if known.is_empty() {
            return Self::unknown(what, name, "; there is none yet");
        }
        Self::unknown(what, name, &format!("; there are: {}", known.join(", ")))
    }

    /// A column that this program cannot have written.
    pub fn unreadable(column: &'static str) -> Self {
        Self::Inconsistent { table: "a query", column, row: "of its answer".to_owned() }
    }
}
