//! Pages of proofs: what a page's rows ask for, and where the next page begins.

use std::collections::BTreeMap;

use n2s_domain::BackendId;
use uuid::Uuid;

use crate::rows::Columns;
use crate::rows::validation::{DOUBT, blob_proof, manifest_proof};
use crate::{DatasetScope, ProofPage, Vouched};

/// Copies by kind, each with its store, in the order in which they are locked.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// Blobs' rows.
    pub blobs: Vec<(i64, i64)>,
    /// Changesets' ids.
    pub manifests: Vec<(Uuid, i64)>,
}

impl Copies {
    /// Sorts them.
    pub fn new(copies: impl Iterator<Item = (Vouched, BackendId)>) -> Self {
        let mut sorted: Vec<_> = copies.collect();
        sorted.sort_unstable();
        let mut found = Self::default();
        for (object, backend) in sorted {
            match object {
                Vouched::Blob(blob) => found.blobs.push((blob.0, backend.0)),
                Vouched::Manifest(changeset) => found.manifests.push((changeset.0, backend.0)),
            }
        }
        found
    }
}

/// A scope in rows.
#[derive(Clone, Copy, Debug)]
pub struct ScopeRows {
    /// The dataset's.
    pub dataset: i64,
    /// The store's; `None` for all.
    pub backend: Option<i64>,
    /// Which proof counts.
    pub reads_bytes: bool,
}

impl ScopeRows {
    /// Of a scope whose dataset was found.
    pub fn new(dataset: i64, scope: &DatasetScope) -> Self {
        let backend = scope.backend.map(|backend| backend.0);
        Self { dataset, backend, reads_bytes: scope.level.reads_bytes() }
    }
}

/// Where a page of a dataset's copies begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterInDataset {
    /// This file row of this version.
    File(i64, i64),
    /// This group.
    Group(i64),
    /// This version.
    Version(i64),
}

impl AfterInDataset {
    /// What cannot be read begins anew, which costs time and nothing else.
    pub fn parse(text: Option<&str>) -> Self {
        let parse = |text: &str| {
            let (kind, place) = text.split_at_checked(1)?;
            match kind {
                "f" => {
                    let (version, id) = place.split_once('.')?;
                    Some(Self::File(version.parse().ok()?, id.parse().ok()?))
                }
                "g" => Some(Self::Group(place.parse().ok()?)),
                "v" => Some(Self::Version(place.parse().ok()?)),
                _ => None,
            }
        };
        text.and_then(parse).unwrap_or(Self::File(0, 0))
    }

    /// For the caller to hand back.
    pub fn text(self) -> String {
        match self {
            Self::File(version, id) => format!("f{version}.{id}"),
            Self::Group(id) => format!("g{id}"),
            Self::Version(version) => format!("v{version}"),
        }
    }
}

/// Blobs, each with the first row of the page that needs it.
pub type Firsts = BTreeMap<i64, i64>;

/// `id, blob_id, size` of files: the blobs of those that have one, and the rows of those that have several.
pub fn blobs_of_files<E, R: Columns<E>>(files: &[R]) -> Result<(Firsts, Vec<i64>), E> {
    let (mut singles, mut several) = (Firsts::new(), Vec::new());
    for file in files {
        let id = file.int("id")?;
        match file.int_opt("blob_id")? {
            Some(blob) => {
                singles.entry(blob).or_insert(id);
            }
            None if file.int("size")? > 0 => several.push(id),
            None => {}
        }
    }
    Ok((singles, several))
}

/// `id, blob_id` of groups' segments, and where the next page begins.
pub fn blobs_of_groups<E, R: Columns<E>>(segments: &[R]) -> Result<(Firsts, AfterInDataset), E> {
    let (mut blobs, mut last) = (Firsts::new(), None);
    for row in segments {
        let group = row.int("id")?;
        last = last.max(Some(group));
        if let Some(blob) = row.int_opt("blob_id")? {
            let first = blobs.entry(blob).or_insert(group);
            *first = group.min(*first);
        }
    }
    Ok((blobs, last.map_or(AfterInDataset::Version(0), AfterInDataset::Group)))
}

/// Where a page of a store's oldest proofs begins: after this time and row, among manifests or blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterOnStore {
    /// Manifests come first.
    pub blobs: bool,
    /// Microseconds.
    pub proven_at: i64,
    /// A changeset's or a blob's.
    pub row: i64,
}

impl AfterOnStore {
    const fn start(blobs: bool) -> Self {
        Self { blobs, proven_at: DOUBT.as_micros(), row: i64::MIN }
    }

    /// What cannot be read begins anew, which costs time and nothing else.
    pub fn parse(text: Option<&str>) -> Self {
        let parse = |text: &str| {
            let (blobs, place) = match text.split_at_checked(1)? {
                ("m", place) => (false, place),
                ("b", place) => (true, place),
                _ => return None,
            };
            let (proven_at, row) = place.split_once('.')?;
            Some(Self { blobs, proven_at: proven_at.parse().ok()?, row: row.parse().ok()? })
        };
        text.and_then(parse).unwrap_or(Self::start(false))
    }

    fn text(self) -> String {
        format!("{}{}.{}", if self.blobs { 'b' } else { 'm' }, self.proven_at, self.row)
    }

    /// The page that begins here, from its rows: those of proofs, and `row`.
    pub fn page<E, R: Columns<E>>(self, rows: &[R], limit: u32) -> Result<ProofPage, E> {
        let read = if self.blobs { blob_proof } else { manifest_proof };
        let proofs = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let next = match rows.last().filter(|_| rows.len() == limit as usize) {
            Some(row) => {
                let (proven_at, row) = (row.time("proven_at")?.as_micros(), row.int("row")?);
                Some(Self { proven_at, row, ..self })
            }
            None => (!self.blobs).then_some(Self::start(true)),
        };
        Ok(ProofPage { proofs, next: next.map(Self::text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_where_the_last_one_said() {
        for after in [AfterInDataset::File(3, 9), AfterInDataset::Group(i64::MAX), AfterInDataset::Version(0)]
        {
            assert_eq!(AfterInDataset::parse(Some(&after.text())), after);
        }
        let after = AfterOnStore { blobs: true, proven_at: -5, row: 7 };
        assert_eq!(AfterOnStore::parse(Some(&after.text())), after);
    }

    #[test]
    fn what_cannot_be_read_begins_anew() {
        for text in ["", "f", "f1", "x3", "é", "m1.x"] {
            assert_eq!(AfterInDataset::parse(Some(text)), AfterInDataset::File(0, 0), "{text}");
            assert_eq!(AfterOnStore::parse(Some(text)), AfterOnStore::start(false), "{text}");
        }
    }
}
