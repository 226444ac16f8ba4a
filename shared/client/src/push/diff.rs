//! The merge of a walk with what is known of the last version: what to read, what to record, what to leave alone.

use std::cmp::Ordering;

use n2s_domain::{Content, EntryChange, FileEntry, RelPath};

use super::scope::Scope;
use super::stat_cache::Seen;
use crate::tree::{Kind, Stat, Walked};

/// What became of one path.
#[derive(Debug)]
pub(super) enum Step {
    /// As it was: nothing to record.
    Unchanged(Seen),
    /// A directory or link that is new or changed: nothing to read.
    Put(Seen),
    /// A file to read; `known` is what the last version had there.
    Read { path: RelPath, stat: Stat, known: Option<Box<FileEntry>> },
    /// It is gone.
    Removed(EntryChange),
    /// It could not be looked at; what the last version has there stays.
    Carried(Seen),
    /// Something to tell the user.
    Problem { path: RelPath, what: String, serious: bool },
}

/// How to compare.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) scope: Scope,
    /// Read every file, whatever the cache says.
    pub(super) checksum: bool,
    /// Contents that must be sent again; sorted.
    pub(super) resend: Vec<n2s_domain::ContentHash>,
}

/// The state of the merge: the directory whose contents are being carried forward, if any.
#[derive(Debug)]
pub(super) struct Merge {
    rules: Rules,
    carried: Option<RelPath>,
}

impl Merge {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, carried: None }
    }

    /// Which side comes first. `None` stands for the end of a stream.
    pub(super) fn order(walked: Option<&Walked>, known: Option<&Seen>) -> Option<Ordering> {
        match (walked, known) {
            (None, None) => None,
            (None, Some(_)) => Some(Ordering::Greater),
            (Some(Walked::Entry { path, .. }), Some(known)) => Some(path.cmp(&known.entry.path)),
            // News about a directory concern what lies below it: they come before any path there.
            (Some(_), _) => Some(Ordering::Less),
        }
    }

    /// A path that only the last version has.
    pub(super) fn only_known(&self, known: Seen) -> Step {
        let path = &known.entry.path;
        let carried = self.carried.as_ref().is_some_and(|dir| path.is_within(dir) && path != dir);
        if carried || path.is_root() || !self.rules.scope.holds(path) {
            return Step::Carried(known);
        }
        Step::Removed(EntryChange::Remove(known.entry.path))
    }

    /// Something the walk met, with what the last version has at the same path.
    pub(super) fn walked(&mut self, walked: Walked, known: Option<Seen>) -> Step {
        match walked {
            Walked::Entry { path, stat, target } => self.entry(path, stat, target, known),
            Walked::Skipped { path, why } => Step::Problem { path, what: why, serious: false },
            Walked::Unreadable { dir, error } => {
                let what = format!(
                    "its contents could not be read ({error}); what the last version has there is kept"
                );
                self.carried = Some(dir.clone());
                Step::Problem { path: dir, what, serious: true }
            }
        }
    }

    fn entry(&self, path: RelPath, stat: Stat, target: Option<Vec<u8>>, known: Option<Seen>) -> Step {
        let content = match (stat.kind, target) {
            (Kind::Directory, _) => Content::Directory,
            (Kind::Symlink, Some(target)) => Content::Symlink { target },
            _ => return self.file(path, stat, known),
        };
        let entry = FileEntry { path, meta: stat.meta, content, link_group: stat.link_group() };
        let seen = Seen { trusted: Some(stat.identity), entry };
        if known.is_some_and(|known| known.entry == seen.entry) {
            Step::Unchanged(seen)
        } else {
            Step::Put(seen)
        }
    }

    fn file(&self, path: RelPath, stat: Stat, known: Option<Seen>) -> Step {
        let Some(known) = known else { return Step::Read { path, stat, known: None } };
        if !self.rules.checksum && self.untouched(&known, &stat) {
            return Step::Unchanged(known);
        }
        Step::Read { path, stat, known: Some(Box::new(known.entry)) }
    }

    fn untouched(&self, known: &Seen, stat: &Stat) -> bool {
        let Content::File { size, .. } = &known.entry.content else { return false };
        let lost = |seen: &Seen| {
            seen.entry.chunks().iter().any(|chunk| self.rules.resend.binary_search(&chunk.hash).is_ok())
        };
        known.trusted == Some(stat.identity)
            && *size == stat.size
            && known.entry.meta == stat.meta
            && known.entry.link_group == stat.link_group()
            && (self.rules.resend.is_empty() || !lost(known))
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::{ContentHash, FileMeta, FileTime};

    use super::*;
    use crate::tree::Identity;

    fn stat(ctime: i64) -> Stat {
        let time = |secs| FileTime { secs, nanos: 0 };
        Stat {
            kind: Kind::File,
            meta: FileMeta { mode: 0o644, uid: 0, gid: 0, mtime: time(1) },
            size: 3,
            identity: Identity { dev: 1, ino: 2, ctime: time(ctime) },
            links: 1,
        }
    }

    fn known(path: &str, trusted: bool) -> Seen {
        let content = Content::File { size: 3, hash: ContentHash([1; 32]), chunks: vec![] };
        let entry =
            FileEntry { path: RelPath::new(path).unwrap(), meta: stat(5).meta, content, link_group: None };
        Seen { entry, trusted: trusted.then_some(stat(5).identity) }
    }

    fn merge(scope: Scope) -> Merge {
        Merge::new(Rules { scope, checksum: false, resend: vec![] })
    }

    fn meet(merge: &mut Merge, stat: Stat, known: Option<Seen>) -> Step {
        merge.walked(Walked::Entry { path: RelPath::new("f").unwrap(), stat, target: None }, known)
    }

    #[test]
    fn reads_a_file_unless_nothing_at_all_has_changed() {
        let mut merge = merge(Scope::Everything);
        assert!(matches!(meet(&mut merge, stat(5), Some(known("f", true))), Step::Unchanged(_)));
        assert!(
            matches!(meet(&mut merge, stat(6), Some(known("f", true))), Step::Read { .. }),
            "the ctime moved"
        );
        assert!(
            matches!(meet(&mut merge, stat(5), Some(known("f", false))), Step::Read { .. }),
            "it was too recent"
        );
        assert!(matches!(meet(&mut merge, stat(5), None), Step::Read { known: None, .. }));
        let mut always = Merge::new(Rules { scope: Scope::Everything, checksum: true, resend: vec![] });
        assert!(matches!(meet(&mut always, stat(5), Some(known("f", true))), Step::Read { .. }));
    }

    #[test]
    fn keeps_what_lies_below_an_unreadable_directory_or_outside_the_named_paths() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let mut all = merge(Scope::Everything);
        let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let told = all.walked(Walked::Unreadable { dir: path("d"), error }, None);
        assert!(matches!(told, Step::Problem { serious: true, .. }));
        assert!(matches!(all.only_known(known("d/x/y", true)), Step::Carried(_)));
        assert!(matches!(all.only_known(known("dx", true)), Step::Removed(_)));
        let below = merge(Scope::Below(vec![path("a/b")]));
        assert!(matches!(below.only_known(known("a/c", true)), Step::Carried(_)));
        assert!(matches!(below.only_known(known("a/b/c", true)), Step::Removed(_)));
    }
}
