//! Manifests, as they come out of sealed objects: headers, bodies, lists with deltas over them, maps.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Component, Path};

use n2s_domain::{EntryChange, FileEntry, RelPath};
use n2s_envelope::manifest::{Body, ListLine, ManifestHeader, MapLine, MergeError, merge_list, read_lines};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::split;

/// `0` a header; `1` a body; `2` lists of lines, base first, with a line `--` between them; `3` a segment of a map.
pub fn manifest(bytes: &[u8]) {
    match split(bytes, 4) {
        (0, json) => document::<ManifestHeader>(json),
        (1, json) => document::<Body>(json),
        (2, lists) => merged(lists),
        (_, segment) => {
            read_lines::<MapLine>(segment).map_while(Result::ok).for_each(|line| comes_back(&line));
        }
    }
}

fn document<T: Serialize + DeserializeOwned + Debug + PartialEq>(json: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(json) {
        comes_back(&read);
    }
}

fn comes_back<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T) {
    let text = serde_json::to_vec(value).expect("it was JSON");
    assert_eq!(&serde_json::from_slice::<T>(&text).expect("it was just written"), value);
}

/// The lists, as far as each can be read.
fn lists(bytes: &[u8]) -> Vec<Vec<EntryChange>> {
    let text = String::from_utf8_lossy(bytes);
    let change = |line: ListLine| {
        comes_back(&line);
        let change = line.into_change()?;
        let again = ListLine::from(&change).into_change();
        assert_eq!(again.as_ref(), Some(&change));
        Some(change)
    };
    let read = |list: &str| {
        read_lines::<ListLine>(list.as_bytes()).map_while(Result::ok).map_while(change).collect()
    };
    text.split("--\n").take(8).map(read).collect()
}

/// Reading the merged lists equals applying the deltas one after the other; a list out of order is refused.
fn merged(bytes: &[u8]) {
    let lists = lists(bytes);
    let sorted = lists.iter().all(|list| list.is_sorted_by(|a, b| a.path() < b.path()));
    let mut model: BTreeMap<RelPath, FileEntry> = BTreeMap::new();
    for change in lists.iter().flatten() {
        match change {
            EntryChange::Put(entry) => model.insert(entry.path.clone(), entry.clone()),
            EntryChange::Remove(path) => model.remove(path),
        };
    }
    let lines = |list: Vec<EntryChange>| -> Box<dyn Iterator<Item = Result<EntryChange, MergeError>>> {
        Box::new(list.into_iter().map(Ok))
    };
    let merged: Result<Vec<FileEntry>, MergeError> =
        merge_list(lists.into_iter().map(lines).collect()).collect();
    match merged {
        Ok(entries) => {
            assert!(sorted, "a list out of order was merged");
            assert!(entries.iter().eq(model.values()));
            entries.iter().for_each(harmless);
        }
        Err(MergeError::OutOfOrder(_)) => assert!(!sorted),
        Err(error) => panic!("{error}"),
    }
}

/// What a pull would write stays below its target, and is all of the file.
fn harmless(entry: &FileEntry) {
    let path = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
    assert!(Path::new(&path).components().all(|part| matches!(part, Component::Normal(_))), "{path}");
    let end = entry.chunks().iter().fold(0, |end, chunk| {
        assert_eq!(chunk.offset, end);
        end + u64::from(chunk.size)
    });
    assert_eq!(end, entry.size());
    assert!(entry.meta.mode <= 0o7777 && entry.meta.mtime.nanos < 1_000_000_000);
}
