//! Laying deltas over a base: a k-way merge of sorted lists, in memory of one line per list.

use n2s_domain::{EntryChange, FileEntry, RelPath};

/// A list that cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// Its lines are not in order.
    #[error("the manifest's list is out of order at '{0}'")]
    OutOfOrder(RelPath),
    /// A segment could not be fetched, opened or read.
    #[error("the manifest's list cannot be read")]
    Source(#[source] anyhow::Error),
}

type Lines<'a> = Box<dyn Iterator<Item = Result<EntryChange, MergeError>> + 'a>;

/// Merges lists, oldest first: of several lines for one path the newest counts, and a removal drops the path.
pub fn merge_list<'a>(lists: Vec<Lines<'a>>) -> impl Iterator<Item = Result<FileEntry, MergeError>> + 'a {
    let mut heads: Vec<Head<'a>> =
        lists.into_iter().map(|lines| Head { lines, next: None, last: None }).collect();
    let mut failed = false;
    std::iter::from_fn(move || {
        loop {
            if failed {
                return None;
            }
            match newest_of_lowest(&mut heads) {
                Ok(None) => return None,
                Ok(Some(EntryChange::Remove(_))) => {}
                Ok(Some(EntryChange::Put(entry))) => return Some(Ok(entry)),
                Err(error) => {
                    failed = true;
                    return Some(Err(error));
                }
            }
        }
    })
}

struct Head<'a> {
    lines: Lines<'a>,
    next: Option<EntryChange>,
    last: Option<RelPath>,
}

impl Head<'_> {
    fn fill(&mut self) -> Result<(), MergeError> {
        if self.next.is_none() {
            self.next = self.lines.next().transpose()?;
            let path = self.next.as_ref().map(|change| change.path().clone());
            if let (Some(last), Some(path)) = (&self.last, &path)
                && path <= last
            {
                return Err(MergeError::OutOfOrder(path.clone()));
            }
            self.last = path;
        }
        Ok(())
    }
}

fn newest_of_lowest(heads: &mut [Head<'_>]) -> Result<Option<EntryChange>, MergeError> {
    for head in heads.iter_mut() {
        head.fill()?;
    }
    let lowest = heads.iter().filter_map(|head| head.next.as_ref()).map(EntryChange::path).min().cloned();
    let Some(lowest) = lowest else { return Ok(None) };
    let mut newest = None;
    for head in heads {
        if head.next.as_ref().is_some_and(|change| *change.path() == lowest) {
            newest = head.next.take();
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use n2s_domain::{Content, FileMeta, FileTime};
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str, mode: u32) -> FileEntry {
        let meta = FileMeta { mode, uid: 0, gid: 0, mtime: FileTime { secs: 0, nanos: 0 } };
        FileEntry { path: RelPath::new(path).unwrap(), meta, content: Content::Directory, link_group: None }
    }

    proptest! {
        #[test]
        fn gives_what_applying_the_deltas_in_order_gives(
            lists in proptest::collection::vec(proptest::collection::btree_map("[a-d]{1,2}", proptest::option::of(0u32..8), 0..12), 1..5)
        ) {
            let mut model = BTreeMap::new();
            for (path, mode) in lists.iter().flatten() {
                match mode {
                    Some(mode) => model.insert(path.clone(), *mode),
                    None => model.remove(path),
                };
            }
            let lines = |list: &BTreeMap<String, Option<u32>>| -> Lines<'static> {
                let changes: Vec<_> = list.iter().map(|(path, mode)| Ok(match mode {
                    Some(mode) => EntryChange::Put(entry(path, *mode)),
                    None => EntryChange::Remove(RelPath::new(path.as_str()).unwrap()),
                })).collect();
                Box::new(changes.into_iter())
            };
            let merged: Vec<_> = merge_list(lists.iter().map(lines).collect()).map(Result::unwrap).collect();
            let expected: Vec<_> = model.iter().map(|(path, mode)| entry(path, *mode)).collect();
            prop_assert_eq!(merged, expected);
        }
    }

    #[test]
    fn refuses_a_list_that_is_out_of_order() {
        let lines: Lines<'static> =
            Box::new(["b", "a"].map(|path| Ok(EntryChange::Put(entry(path, 0)))).into_iter());
        assert!(matches!(merge_list(vec![lines]).last(), Some(Err(MergeError::OutOfOrder(_)))));
    }
}
