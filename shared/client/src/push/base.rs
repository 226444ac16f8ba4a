//! What is known of the last version, in path order.
//!
//! For a whole tree that is the stat cache, put right by what the catalog has recorded since: reading 50 million unchanged rows
//! would cost more than the walk. For some paths it is the catalog's rows of those paths, which the cache may vouch for.

use std::collections::VecDeque;
use std::sync::Arc;

use n2s_domain::{EntryChange, PathSpan, RelPath, Version};

use super::error::PushError;
use super::stat_cache::{CacheReader, Seen};
use crate::seam::{Lease, Page, Producer, Reader, VersionRef};

const PAGE: u32 = 5_000;

/// A stream of known paths.
#[derive(Debug)]
pub(super) enum Base {
    /// There is no earlier version.
    Empty,
    /// The cache and the changes since.
    Cached(Box<Cached>),
    /// The catalog.
    Rows(Box<Rows>),
}

impl Base {
    /// The next known path.
    pub(super) async fn next(&mut self) -> Result<Option<Seen>, PushError> {
        match self {
            Self::Empty => Ok(None),
            Self::Cached(cached) => cached.next().await,
            Self::Rows(rows) => rows.next().await,
        }
    }
}

fn unreadable(source: std::io::Error) -> PushError {
    PushError::Cache(source)
}

/// A cache and the changes since.
#[derive(Debug)]
pub(super) struct Cached {
    cache: CacheReader,
    known: Option<Seen>,
    changes: Changes,
    change: Option<EntryChange>,
    begun: bool,
}

impl Cached {
    pub(super) fn new(cache: CacheReader, changes: Changes) -> Self {
        Self { cache, known: None, changes, change: None, begun: false }
    }

    async fn next(&mut self) -> Result<Option<Seen>, PushError> {
        if !std::mem::replace(&mut self.begun, true) {
            self.advance(true, true).await?;
        }
        loop {
            let (known, change) = (self.known.as_ref(), self.change.as_ref());
            let order = match (known, change) {
                (_, None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(known), Some(change)) => known.entry.path.cmp(change.path()),
            };
            let known = if order.is_le() { self.known.take() } else { None };
            let change = if order.is_ge() { self.change.take() } else { None };
            self.advance(order.is_le(), order.is_ge()).await?;
            match (known, change) {
                (known, None) => return Ok(known),
                (_, Some(EntryChange::Remove(_))) => {}
                (known, Some(EntryChange::Put(entry))) => {
                    // Changed and changed back: what was seen then is what is there now.
                    let trusted = known.filter(|known| known.entry == entry).and_then(|known| known.trusted);
                    return Ok(Some(Seen { entry, trusted }));
                }
            }
        }
    }

    async fn advance(&mut self, cache: bool, changes: bool) -> Result<(), PushError> {
        if cache {
            self.known = self.cache.next().map_err(unreadable)?;
        }
        if changes {
            self.change = self.changes.next().await?;
        }
        Ok(())
    }
}

/// What the catalog has recorded since a version, this push's own rows included.
#[derive(Debug)]
pub(super) struct Changes {
    producer: Arc<dyn Producer>,
    lease: Lease,
    since: Version,
    page: VecDeque<EntryChange>,
    after: Option<RelPath>,
    ended: bool,
}

impl Changes {
    pub(super) fn since(producer: Arc<dyn Producer>, lease: Lease, since: Version) -> Self {
        Self { producer, lease, since, page: VecDeque::new(), after: None, ended: false }
    }

    async fn next(&mut self) -> Result<Option<EntryChange>, PushError> {
        if self.page.is_empty() && !self.ended {
            let after = self.after.take();
            let page = self.producer.manifest_changes(&self.lease, self.since, after.as_ref(), PAGE).await?;
            self.ended = page.is_empty();
            self.after = page.last().map(|change| change.path().clone());
            self.page.extend(page);
        }
        Ok(self.page.pop_front())
    }
}

/// The catalog's rows of some spans.
#[derive(Debug)]
pub(super) struct Rows {
    reader: Arc<dyn Reader>,
    version: VersionRef,
    spans: VecDeque<PathSpan>,
    /// Vouches for what it knows exactly so, below directories.
    cache: Option<CacheReader>,
    hint: Option<Seen>,
    after: Option<RelPath>,
    page: VecDeque<Seen>,
}

impl Rows {
    pub(super) fn new(
        reader: Arc<dyn Reader>,
        version: VersionRef,
        spans: Vec<PathSpan>,
        cache: Option<CacheReader>,
    ) -> Self {
        let (spans, page) = (spans.into(), VecDeque::new());
        Self { reader, version, spans, cache, hint: None, after: None, page }
    }

    async fn next(&mut self) -> Result<Option<Seen>, PushError> {
        while self.page.is_empty() {
            let Some(span) = self.spans.front() else { return Ok(None) };
            let after = self.after.take();
            if after.is_none() && matches!(span, PathSpan::Below(_)) {
                self.hint = None;
                if let Some(cache) = &mut self.cache {
                    cache.seek(&span.bounds().0).map_err(unreadable)?;
                }
            }
            let rows = self.reader.entries(&self.version, span, &Page { after, limit: PAGE }).await?;
            if rows.len() < PAGE as usize {
                self.spans.pop_front();
            } else {
                self.after = rows.last().map(|entry| entry.path.clone());
            }
            self.page.extend(rows.into_iter().map(|entry| Seen { entry, trusted: None }));
        }
        let Some(mut seen) = self.page.pop_front() else { return Ok(None) };
        self.vouch(&mut seen).map_err(unreadable)?;
        Ok(Some(seen))
    }

    fn vouch(&mut self, seen: &mut Seen) -> std::io::Result<()> {
        let Some(cache) = &mut self.cache else { return Ok(()) };
        while self.hint.as_ref().is_none_or(|hint| hint.entry.path < seen.entry.path) {
            match cache.next()? {
                Some(hint) => self.hint = Some(hint),
                None => return Ok(()),
            }
        }
        if let Some(hint) = self.hint.as_ref().filter(|hint| hint.entry == seen.entry) {
            seen.trusted = hint.trusted;
        }
        Ok(())
    }
}
