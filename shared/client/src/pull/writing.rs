//! A pull's rows on their way: directories and symbolic links at once, files in batches of which several are restored at a time.
//!
//! A batch ends where a directory does, if it can: two threads that make files in one directory wait for each other at every
//! file, and the kernel makes them wait on a core. Rejected: a queue per directory, which would write a single large directory
//! with one thread.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use n2s_domain::{Content, ContentHash, FileEntry, FileMeta, RelPath};
use tokio::task::{JoinError, JoinHandle};

use super::options::PullReport;
use super::passed_over;
use super::restore::{Done, Shared, restore};
use crate::cpu::cores;
use crate::seam::FileRow;

/// Files of a batch where its directory goes on, and where it ends; and bytes.
const FILES_MAX: usize = 256;
const FILES_MIN: usize = 64;
const BYTES_MAX: u64 = 8 * 1024 * 1024;

/// See the module. What is taken is not all in place before [`Writing::finish`].
pub(super) struct Writing<'a> {
    shared: &'a Arc<Shared>,
    report: &'a mut PullReport,
    batch: Batch,
    under_way: FuturesUnordered<JoinHandle<Done>>,
    groups: Groups,
    /// Further names of files, with the first.
    links: Vec<(FileRow, RelPath)>,
}

#[derive(Debug, Default)]
struct Batch {
    rows: Vec<FileRow>,
    bytes: u64,
}

impl Batch {
    /// Whether it goes before `row` comes: it is full, or long enough and the row begins another directory.
    fn ends_before(&self, row: &FileRow) -> bool {
        let Some(last) = self.rows.last() else { return false };
        let full = self.rows.len() >= FILES_MAX || self.bytes + row.entry.size() > BYTES_MAX;
        full || (self.rows.len() >= FILES_MIN && last.entry.path.parent() != row.entry.path.parent())
    }
}

impl<'a> Writing<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, report: &'a mut PullReport) -> Self {
        let (groups, under_way) = (Groups::default(), FuturesUnordered::new());
        Self { shared, report, batch: Batch::default(), under_way, groups, links: Vec::new() }
    }

    /// Takes rows, in path order.
    pub(super) async fn take(&mut self, rows: Vec<FileRow>) {
        for row in rows {
            self.take_one(row).await;
        }
        // What they are names of may still be on its way.
        if !self.links.is_empty() {
            self.finish().await;
        }
    }

    async fn take_one(&mut self, row: FileRow) {
        let path = &row.entry.path;
        match &row.entry.content {
            Content::Directory => {
                self.report.dirs += 1;
                note(self.report, path.clone(), self.shared.target.make_dir(path));
            }
            Content::Symlink { target } => {
                self.report.links += 1;
                let made = match self.groups.first(&row.entry) {
                    Some(first) => self.shared.target.hard_link(path, &first),
                    None => self.shared.target.symlink(path, target, &row.entry.meta),
                };
                note(self.report, path.clone(), made);
            }
            Content::File { .. } => match self.groups.first(&row.entry) {
                Some(first) => self.links.push((row, first)),
                None => self.add(row).await,
            },
        }
    }

    async fn add(&mut self, row: FileRow) {
        if self.batch.ends_before(&row) {
            self.send().await;
        }
        self.batch.bytes += row.entry.size();
        self.batch.rows.push(row);
    }

    /// One more than there are cores, so that each has a batch to open while another one is fetched.
    async fn send(&mut self) {
        while self.under_way.len() > cores() {
            let done = self.under_way.next().await;
            self.settle(done);
        }
        let batch = std::mem::take(&mut self.batch);
        self.under_way.push(tokio::spawn(restore(Arc::clone(self.shared), batch.rows)));
    }

    /// Waits until everything is in place.
    pub(super) async fn finish(&mut self) {
        if !self.batch.rows.is_empty() {
            self.send().await;
        }
        while let Some(done) = self.under_way.next().await {
            self.settle(Some(done));
        }
        self.link().await;
    }

    /// Further names of files; where the first could not be written, they are restored by themselves.
    async fn link(&mut self) {
        let mut alone = Vec::new();
        for (row, first) in std::mem::take(&mut self.links) {
            let (path, target) = (&row.entry.path, &self.shared.target);
            match target.hard_link(path, &first) {
                Err(_) if !matches!(target.stat(&first), Ok(Some(_))) => alone.push(row),
                made => {
                    self.report.links += 1;
                    note(self.report, path.clone(), made);
                }
            }
        }
        if !alone.is_empty() {
            let done = restore(Arc::clone(self.shared), alone).await;
            self.settle(Some(Ok(done)));
        }
    }

    fn settle(&mut self, done: Option<Result<Done, JoinError>>) {
        let Some(done) = done else { return };
        let done = done.expect("restoring does not panic");
        self.report.files += done.files;
        self.report.bytes += done.bytes;
        self.report.kept += done.kept;
        self.report.problems.extend(done.problems);
        self.report.lost.extend(done.lost);
        for copy in done.bad_copies {
            passed_over::add(&mut self.report.bad_copies, copy);
        }
    }
}

/// The first path restored of each group of hard links.
#[derive(Debug, Default)]
struct Groups(HashMap<u64, (bool, ContentHash, FileMeta, RelPath)>);

impl Groups {
    /// The path to link to, if one of the same file has been restored; otherwise this one is remembered.
    fn first(&mut self, entry: &FileEntry) -> Option<RelPath> {
        let group = entry.link_group?;
        let (link, hash) = match &entry.content {
            Content::File { hash, .. } => (false, *hash),
            Content::Symlink { target } => (true, n2s_envelope::content_hash(target)),
            Content::Directory => return None,
        };
        let known = self.0.entry(group).or_insert_with(|| (link, hash, entry.meta, entry.path.clone()));
        let same = (known.0, known.1, known.2) == (link, hash, entry.meta) && known.3 != entry.path;
        same.then(|| known.3.clone())
    }
}

/// Writes down what could not be done to a path.
pub(super) fn note(report: &mut PullReport, path: RelPath, done: io::Result<()>) {
    if let Err(error) = done {
        report.problems.push((path, format!("it could not be written: {error}")));
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::FileTime;

    use super::*;

    fn row(path: &str, size: u64) -> FileRow {
        let mtime = FileTime { secs: 0, nanos: 0 };
        let meta = FileMeta { mode: 0o600, uid: 0, gid: 0, mtime };
        let content = Content::File { size, hash: ContentHash([0; 32]), chunks: Vec::new() };
        let entry = FileEntry { path: RelPath::new(path).unwrap(), meta, content, link_group: None };
        FileRow { entry, blobs: Vec::new() }
    }

    #[test]
    fn a_batch_ends_with_its_directory_if_it_is_long_enough() {
        let of = |rows: Vec<FileRow>| Batch { bytes: rows.iter().map(|row| row.entry.size()).sum(), rows };
        let some = |count: usize| of((0..count).map(|number| row(&format!("a/{number}"), 1)).collect());
        assert!(!some(FILES_MIN - 1).ends_before(&row("b/1", 1)));
        assert!(some(FILES_MIN).ends_before(&row("b/1", 1)));
        assert!(!some(FILES_MAX - 1).ends_before(&row("a/x", 1)));
        assert!(some(FILES_MAX).ends_before(&row("a/x", 1)));
        assert!(some(1).ends_before(&row("a/x", BYTES_MAX)));
        assert!(!Batch::default().ends_before(&row("a/x", 2 * BYTES_MAX)), "it would never be taken");
    }
}
