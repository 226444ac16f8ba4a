//! Offers and batches of changes: what they need, what they add up to, what searches find of them.

use std::collections::{BTreeMap, BTreeSet};

use n2s_domain::{ContentHash, EntryChange, FileEntry};
use unicode_normalization::UnicodeNormalization as _;

use crate::rows::int;
use crate::rows::pushes::{Before, Known};
use crate::{CatalogError, Offered};

/// The answers to offered contents, in their order.
pub fn answers(contents: &[ContentHash], known: &BTreeMap<ContentHash, Known>) -> Vec<Offered> {
    let answer = |hash: &ContentHash| match known.get(hash) {
        Some(known) if known.sourced => Offered::Held(known.sealed),
        _ => Offered::Missing,
    };
    contents.iter().map(answer).collect()
}

/// The contents that changes need, each once.
pub fn contents(changes: &[EntryChange]) -> Vec<ContentHash> {
    let chunks = puts(changes).flat_map(FileEntry::chunks).map(|chunk| chunk.hash);
    chunks.collect::<BTreeSet<_>>().into_iter().collect()
}

/// `Unsourced` names the contents that were not found.
pub fn all_sourced(
    contents: &[ContentHash],
    found: BTreeMap<ContentHash, i64>,
) -> Result<BTreeMap<ContentHash, i64>, CatalogError> {
    let missing: Vec<_> = contents.iter().filter(|hash| !found.contains_key(hash)).copied().collect();
    if missing.is_empty() { Ok(found) } else { Err(CatalogError::Unsourced(missing)) }
}

/// The entries among changes.
pub fn puts(changes: &[EntryChange]) -> impl Iterator<Item = &FileEntry> {
    changes.iter().filter_map(|change| match change {
        EntryChange::Put(entry) => Some(entry),
        EntryChange::Remove(_) => None,
    })
}

/// What a batch adds to its changeset's counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Paths in the version.
    pub files: i64,
    /// Bytes of all files of the version.
    pub bytes: i64,
    /// Blobs its own rows reference.
    pub blobs: i64,
    /// Paths added.
    pub added: i64,
    /// Paths changed.
    pub modified: i64,
    /// Paths removed.
    pub removed: i64,
}

impl Tally {
    /// Of changes, and the rows that were open at their paths.
    pub fn of(changes: &[EntryChange], before: &BTreeMap<Vec<u8>, Before>) -> Self {
        let mut tally = Self::default();
        for change in changes {
            let old = before.get(change.path().as_bytes());
            tally.bytes -= old.map_or(0, |old| old.size);
            match (change, old) {
                (EntryChange::Put(entry), old) => {
                    tally.bytes += int(entry.size());
                    tally.blobs += i64::try_from(entry.chunks().len()).unwrap_or(i64::MAX);
                    *(if old.is_some() { &mut tally.modified } else { &mut tally.added }) += 1;
                    tally.files += i64::from(old.is_none());
                }
                (EntryChange::Remove(_), Some(_)) => {
                    tally.removed += 1;
                    tally.files -= 1;
                }
                (EntryChange::Remove(_), None) => {}
            }
        }
        tally
    }
}

/// The text that searches look in, where it differs from the path: one Unicode form, one case.
pub fn search_text(path: &[u8]) -> Option<String> {
    let text = fold(&String::from_utf8_lossy(path));
    (text.as_bytes() != path).then_some(text)
}

/// The pattern, for `LIKE … ESCAPE '\'`, of paths that hold a text.
pub fn search_pattern(text: &str) -> String {
    let escaped = fold(text).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// One Unicode form, one case.
fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_know_no_case_and_no_wildcards() {
        assert_eq!(search_text(b"plain"), None);
        assert_eq!(search_text("Caf\u{65}\u{301}".as_bytes()).as_deref(), Some("caf\u{e9}"));
        assert_eq!(search_pattern("50%_\\A"), "%50\\%\\_\\\\a%");
    }
}
