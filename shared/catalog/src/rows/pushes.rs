//! Open pushes, and what their calls find.

use n2s_domain::{BackendName, ChangesetId, ContentHash, SealedHash, Timestamp};

use super::Columns;
use crate::{OpenPush, OpenedPush, Parent, PushLease};

/// An open push, as its calls find it.
#[derive(Clone, Debug)]
pub struct OpenRow {
    /// Its changeset's row.
    pub id: i64,
    /// Its dataset's.
    pub dataset: i64,
    /// Its project's.
    pub project: i64,
    /// Its version.
    pub version: i64,
    /// The changeset's row it builds on.
    pub parent: Option<i64>,
    /// Copies that make it safe.
    pub min_copies: i64,
    /// Its stores' rows.
    pub backends: Vec<i64>,
}

/// `id, dataset_id, project_id, version, parent_id, min_copies`.
pub fn open_row<E, R: Columns<E>>(row: &R, backends: Vec<i64>) -> Result<OpenRow, E> {
    Ok(OpenRow {
        id: row.int("id")?,
        dataset: row.int("dataset_id")?,
        project: row.int("project_id")?,
        version: row.int("version")?,
        parent: row.int_opt("parent_id")?,
        min_copies: row.int("min_copies")?,
        backends,
    })
}

/// The push that a dataset has open when another begins.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its changeset's row.
    pub id: i64,
    /// Its id.
    pub changeset: ChangesetId,
    /// Whether it is being undone.
    pub abandoned: bool,
    /// Who pushes.
    pub client_id: String,
    /// Until when; absent once it is abandoned.
    pub until: Option<Timestamp>,
}

/// `id, uuid, abandoned_at, client_id, lease_until`.
pub fn pending<E, R: Columns<E>>(row: &R) -> Result<Pending, E> {
    Ok(Pending {
        id: row.int("id")?,
        changeset: row.changeset("uuid")?,
        abandoned: row.time_opt("abandoned_at")?.is_some(),
        client_id: row.string("client_id")?,
        until: row.time_opt("lease_until")?,
    })
}

/// What an interrupted push had recorded.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// The highest batch.
    pub highest: u64,
    /// How many.
    pub batches: u64,
}

/// `batch, batches`.
pub fn recorded<E, R: Columns<E>>(row: &R) -> Result<Recorded, E> {
    Ok(Recorded { highest: row.count("batch")?, batches: row.count("batches")? })
}

/// `uuid, version, lease_until, parent_version, parent_uuid, parent_files`.
pub fn opened<E, R: Columns<E>>(
    row: &R,
    open: &OpenPush,
    resumed: Option<Recorded>,
    (backends, resend): (Vec<BackendName>, Vec<ContentHash>),
) -> Result<OpenedPush, E> {
    Ok(OpenedPush {
        lease: PushLease { changeset: row.changeset("uuid")?, token: open.token },
        version: row.version("version")?,
        parent: row.int_opt("parent_version")?.map(|_| parent(row)).transpose()?,
        resumed: resumed.map(|recorded| recorded.highest),
        recorded: resumed.map_or(0, |recorded| recorded.batches),
        backends,
        resend,
        lease_until: row.time("lease_until")?,
    })
}

fn parent<E, R: Columns<E>>(row: &R) -> Result<Parent, E> {
    Ok(Parent {
        version: row.version("parent_version")?,
        changeset: row.changeset("parent_uuid")?,
        file_count: row.count("parent_files")?,
    })
}

/// `content_hash` of each row.
pub fn contents<E, R: Columns<E>, C: FromIterator<ContentHash>>(rows: &[R]) -> Result<C, E> {
    rows.iter().map(|row| row.content("content_hash")).collect()
}

/// A content the catalog knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its row.
    pub id: i64,
    /// Its accepted sealing.
    pub sealed: SealedHash,
    /// Whether it can be read from somewhere.
    pub sourced: bool,
}

/// `id, content_hash, sealed_hash, sourced`.
pub fn known<E, R: Columns<E>>(row: &R) -> Result<(ContentHash, Known), E> {
    let known =
        Known { id: row.int("id")?, sealed: row.sealed("sealed_hash")?, sourced: row.flag("sourced")? };
    Ok((row.content("content_hash")?, known))
}

/// `id, content_hash`.
pub fn sourced<E, R: Columns<E>>(row: &R) -> Result<(ContentHash, i64), E> {
    Ok((row.content("content_hash")?, row.int("id")?))
}

/// The row a change finds open at its path.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Its row.
    pub id: i64,
    /// Whether the push itself made it.
    pub own: bool,
    /// Bytes.
    pub size: i64,
}

/// `id, filepath, own, size`.
pub fn before<E, R: Columns<E>>(row: &R) -> Result<(Vec<u8>, Before), E> {
    let before = Before { id: row.int("id")?, own: row.flag("own")?, size: row.int("size")? };
    Ok((row.bytes("filepath")?.to_vec(), before))
}
