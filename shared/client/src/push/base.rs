//! What is known of the last version, in path order: the stat cache where it describes exactly that version, else the catalog.

use std::collections::VecDeque;
use std::sync::Arc;

use n2s_domain::RelPath;

use super::error::PushError;
use super::stat_cache::{CacheReader, Seen};
use crate::seam::{Page, Reader, VersionRef};

const PAGE: u32 = 5_000;

/// A stream of known paths.
pub(super) enum Base {
    /// There is no earlier version.
    Empty,
    /// The cache.
    Cache(CacheReader),
    /// The catalog; nothing of it can be trusted without reading the files.
    Rows {
        reader: Arc<dyn Reader>,
        version: Box<VersionRef>,
        after: Option<RelPath>,
        page: VecDeque<Seen>,
        ended: bool,
    },
}

impl Base {
    pub(super) fn rows(reader: Arc<dyn Reader>, version: VersionRef) -> Self {
        Self::Rows { reader, version: Box::new(version), after: None, page: VecDeque::new(), ended: false }
    }

    /// The next known path.
    pub(super) async fn next(&mut self) -> Result<Option<Seen>, PushError> {
        match self {
            Self::Empty => Ok(None),
            Self::Cache(cache) => {
                cache.next().map_err(|source| PushError::Io { doing: "reading the stat cache", source })
            }
            Self::Rows { reader, version, after, page, ended } => {
                if page.is_empty() && !*ended {
                    let rows = reader.entries(version, &Page { after: after.take(), limit: PAGE }).await?;
                    *ended = rows.len() < PAGE as usize;
                    *after = rows.last().map(|entry| entry.path.clone());
                    page.extend(rows.into_iter().map(|entry| Seen { entry, trusted: None }));
                }
                Ok(page.pop_front())
            }
        }
    }
}
