//! Which names of an archive are hard links of which.

use std::collections::{HashMap, VecDeque};

use n2s_domain::{Content, ContentHash, FileEntry, FileMeta, RelPath};

/// Names remembered, in bytes. Beyond, the oldest are forgotten, and their other names come as files of their own.
const NAMES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a name costs beside its bytes.
const NAME_COST: usize = 128;

type Same = (ContentHash, FileMeta);

/// The first path of each group of hard links.
#[derive(Debug, Default)]
pub(super) struct Links {
    first: HashMap<u64, (Same, RelPath)>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Links {
    /// The path that `entry` is another name of; remembers it when it is the first. As in a pull, names of a group are one file when
    /// content and metadata agree.
    pub(super) fn first(&mut self, entry: &FileEntry) -> Option<RelPath> {
        let group = entry.link_group?;
        let same = match &entry.content {
            Content::Directory => return None,
            Content::Symlink { target } => (n2s_envelope::content_hash(target), entry.meta),
            Content::File { hash, .. } => (*hash, entry.meta),
        };
        if let Some((known, path)) = self.first.get(&group) {
            return (*known == same).then(|| path.clone());
        }
        self.bytes += entry.path.as_bytes().len() + NAME_COST;
        self.first.insert(group, (same, entry.path.clone()));
        self.order.push_back(group);
        while self.bytes > NAMES_BYTES_MAX {
            let oldest = self.order.pop_front().and_then(|oldest| self.first.remove(&oldest));
            let Some((_, path)) = oldest else { break };
            self.bytes -= path.as_bytes().len() + NAME_COST;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::FileTime;

    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let meta = FileMeta { mode: 0o644, uid: 0, gid: 0, mtime: FileTime { secs: 0, nanos: 0 } };
        let entry = |group: u64, name: &str| FileEntry {
            path: RelPath::new(format!("{}{name}", "long/".repeat(2_000))).unwrap(),
            meta,
            content: Content::Symlink { target: b"x".to_vec() },
            link_group: Some(group),
        };
        let mut links = Links::default();
        assert_eq!(links.first(&entry(0, "a")), None);
        assert_eq!(links.first(&entry(0, "b")), Some(entry(0, "a").path));
        let other = FileEntry { content: Content::Symlink { target: b"y".to_vec() }, ..entry(0, "c") };
        assert_eq!(
            links.first(&other),
            None,
            "names of one group with other contents are files of their own"
        );
        for group in 1..5_000 {
            links.first(&entry(group, "a"));
        }
        assert!(links.bytes <= NAMES_BYTES_MAX && links.first.len() == links.order.len());
        assert_eq!(links.first(&entry(0, "b")), None);
        assert_eq!(links.first(&entry(4_999, "b")), Some(entry(4_999, "a").path));
    }
}
