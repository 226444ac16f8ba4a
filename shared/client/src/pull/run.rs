//! The pull from version to metadata.

use std::fs::DirEntry;
use std::io;
use std::path::Path;
use std::sync::Arc;

use n2s_domain::{ChangesetId, Content, ContentHash, PathSpan, RelPath};
use n2s_failpoints::{Point, failpoint};

use super::options::{PullDeps, PullError, PullOptions, PullReport};
use super::restore::{MEMORY_KIB, Shared};
use super::select::Selection;
use super::target::{Found, Target};
use super::writing::{Writing, note};
use crate::budget::Budget;
use crate::seam::{FileRow, Page, SeamError, VersionRef};
use crate::tree::Root;

/// Rows of one page.
const PAGE: u32 = 4_000;
/// What an interrupted pull leaves in its target, so that it can go on without `--force`.
const MARKER: &str = ".n2s-pull";

/// Pulls a version, or what of it matches.
pub async fn pull(deps: &PullDeps, options: &PullOptions) -> Result<PullReport, PullError> {
    let selection = Selection::new(&options.globs)?;
    let version = deps.reader.version(&options.project, &options.dataset, &options.selector).await?;
    if let Some(own) = deps.vault.as_ref().map(|vault| vault.id()).filter(|own| *own != version.vault) {
        return Err(PullError::WrongVault { found: version.vault, own });
    }
    if let Some(from) = &options.from {
        // An unknown store is told before anything is written.
        if let Some(Err(error)) = deps.reader.fetch(&[probe()], Some(from)).await.pop()
            && matches!(error, crate::seam::SeamError::Unknown { what: "backend", .. })
        {
            return Err(error.into());
        }
    }
    let mut report = PullReport {
        changeset: version.changeset,
        version: version.version,
        files: 0,
        dirs: 0,
        links: 0,
        bytes: 0,
        kept: 0,
        problems: Vec::new(),
        lost: Vec::new(),
        bad_copies: Vec::new(),
    };
    if options.dry_run || !selection.is_all() {
        count_only(deps, &version, &selection, &mut report).await?;
        if !selection.is_all() && report.files + report.dirs + report.links == 0 {
            return Err(PullError::NoMatch(options.globs.join(" ")));
        }
    }
    if !options.dry_run {
        if selection.is_all() {
            deps.progress.total(version.file_count, version.total_size);
        } else {
            deps.progress.total(report.files, report.bytes);
        }
        (report.files, report.dirs, report.links, report.bytes) = (0, 0, 0, 0);
        write(deps, options, &version, &selection, &mut report).await?;
    }
    Ok(report)
}

/// A blob nobody has.
fn probe() -> crate::seam::FileBlob {
    let (content_hash, sealed_hash) = (ContentHash([0; 32]), n2s_domain::SealedHash([0; 32]));
    crate::seam::FileBlob { id: 0, content_hash, sealed_hash, encrypted_size: 0 }
}

async fn count_only(
    deps: &PullDeps,
    version: &VersionRef,
    selection: &Selection,
    report: &mut PullReport,
) -> Result<(), PullError> {
    for span in selection.spans() {
        let mut after = None;
        loop {
            let page = deps.reader.entries(version, span, &Page { after, limit: PAGE }).await?;
            for entry in page.iter().filter(|entry| selection.wants(&entry.path)) {
                match entry.content {
                    Content::Directory => report.dirs += 1,
                    Content::Symlink { .. } => report.links += 1,
                    Content::File { .. } => report.files += 1,
                }
                report.bytes += entry.size();
            }
            after = page.last().map(|entry| entry.path.clone());
            if page.len() < PAGE as usize {
                break;
            }
        }
    }
    Ok(())
}

async fn write(
    deps: &PullDeps,
    options: &PullOptions,
    version: &VersionRef,
    selection: &Selection,
    report: &mut PullReport,
) -> Result<(), PullError> {
    let io = |source| PullError::Io { path: options.target.clone(), source };
    let found = prepare(&options.target, version, options.force)?;
    failpoint(Point::PullBegun);
    let shared = Arc::new(Shared {
        reader: Arc::clone(&deps.reader),
        opener: deps.vault.as_ref().map(|vault| vault.opener()),
        target: Target::new(Root::open(&options.target).map_err(io)?, version.changeset, found),
        from: options.from.clone(),
        verify: options.verify,
        memory: Budget::new(MEMORY_KIB),
        progress: Arc::clone(&deps.progress),
    });
    let mut writing = Writing::new(&shared, report);
    for span in selection.spans() {
        let mut page = page_after(deps, version, span, None).await?;
        loop {
            let last = page.last().filter(|_| page.len() == PAGE as usize).map(|row| row.entry.path.clone());
            let wanted = page.into_iter().filter(|row| selection.wants(&row.entry.path)).collect();
            let Some(last) = last else {
                writing.take(wanted).await;
                break;
            };
            // The catalog reads on while this page is written.
            let (next, ()) = tokio::join!(page_after(deps, version, span, Some(last)), writing.take(wanted));
            page = next?;
        }
    }
    writing.finish().await;
    failpoint(Point::PullFiles);
    finish_dirs(&shared, version, selection, report).await?;
    if report.lost.is_empty() && report.problems.is_empty() {
        let marker = options.target.join(MARKER);
        // A version may hold that name, too: then it is the version's by now.
        if marked(&marker) == Some(version.changeset) {
            std::fs::remove_file(marker).map_err(io)?;
        }
        failpoint(Point::PullEnded);
        // The marker's coming and going moved the root's mtime.
        finish_root(&shared, version, selection, report).await?;
    }
    Ok(())
}

async fn page_after(
    deps: &PullDeps,
    version: &VersionRef,
    span: &PathSpan,
    after: Option<RelPath>,
) -> Result<Vec<FileRow>, SeamError> {
    deps.reader.tree(version, span, &Page { after, limit: PAGE }).await
}

/// An empty or new directory, one that an interrupted pull of this version left, or any with `--force`.
fn prepare(target: &Path, version: &VersionRef, force: bool) -> Result<Found, PullError> {
    let io = |source| PullError::Io { path: target.to_owned(), source };
    if std::fs::metadata(target).is_ok_and(|found| !found.is_dir()) {
        let what = "it is no directory; choose one, or a path where nothing is yet";
        return Err(io(io::Error::new(io::ErrorKind::NotADirectory, what)));
    }
    std::fs::create_dir_all(target).map_err(io)?;
    let marker = target.join(MARKER);
    let died = marked(&marker);
    let resumed = died == Some(version.changeset);
    // With nothing beside it, a marker may be one that a pull did not live to write.
    let others = |entry: io::Result<DirEntry>| entry.map_or(true, |entry| entry.file_name() != MARKER);
    let empty = match std::fs::read_dir(target) {
        Ok(mut entries) => !entries.any(others),
        Err(_) if resumed || force => false,
        Err(error) => return Err(io(error)),
    };
    if !resumed && !force && !empty {
        return Err(PullError::NotEmpty(target.to_owned()));
    }
    if !resumed {
        write_marker(&marker, version).map_err(io)?;
    }
    Ok(Found { died, empty })
}

/// The changeset a marker names.
fn marked(marker: &Path) -> Option<ChangesetId> {
    std::fs::symlink_metadata(marker).ok().filter(std::fs::Metadata::is_file)?;
    std::fs::read_to_string(marker).ok()?.parse().ok()
}

/// Always a new file: one that is there may be a link, of either kind, to one outside of the target.
fn write_marker(marker: &Path, version: &VersionRef) -> io::Result<()> {
    use std::io::Write as _;
    match std::fs::remove_file(marker) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::File::create_new(marker)?;
    failpoint(Point::PullMarking);
    file.write_all(version.changeset.to_string().as_bytes())
}

/// Children before their parents, because closing a directory to its owner closes what is below it.
async fn finish_dirs(
    shared: &Shared,
    version: &VersionRef,
    selection: &Selection,
    report: &mut PullReport,
) -> Result<(), PullError> {
    for span in selection.spans().iter().rev() {
        let mut after = None;
        loop {
            let page =
                shared.reader.directories_last_first(version, span, &Page { after, limit: PAGE }).await?;
            for dir in page.iter().filter(|dir| selection.wants(&dir.path) && !dir.path.is_root()) {
                note(report, dir.path.clone(), shared.target.finish_dir(&dir.path, &dir.meta));
            }
            after = page.last().map(|dir| dir.path.clone());
            if page.len() < PAGE as usize {
                break;
            }
        }
    }
    Ok(())
}

async fn finish_root(
    shared: &Shared,
    version: &VersionRef,
    selection: &Selection,
    report: &mut PullReport,
) -> Result<(), PullError> {
    if !selection.is_all() {
        return Ok(());
    }
    let first = shared
        .reader
        .entries(version, &PathSpan::At(RelPath::root()), &Page { after: None, limit: 1 })
        .await?;
    for root in first.iter().filter(|entry| entry.path.is_root()) {
        note(report, root.path.clone(), shared.target.finish_dir(&root.path, &root.meta));
    }
    Ok(())
}
