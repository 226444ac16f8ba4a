//! A version as a tar archive, for whoever has no n2s at hand. Opened here, so the server must have the vault.
//!
//! The archive is made while it is sent: some pages of the catalog and some blobs are in memory, whatever the version's size. It ends
//! with its end marker only when all of it was there: a blob without an intact copy ends the stream with an error, so that the
//! connection is cut and what arrived is no archive. Rejected: leaving such a file out, or filling it with zeros, which nobody would notice.

mod links;
mod pax;

use bytes::{Bytes, BytesMut};
use n2s_client::pull::Selection;
use n2s_client::seam::{FileBlob, FileRow, Page, Reader as _, SeamError, VersionRef};
use n2s_domain::limits::{BLOB_BYTES_MAX, SEALED_BYTES_MAX};
use n2s_domain::{Content, FileEntry};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::Intake;
use links::Links;
use pax::{BLOCK, Kind};

/// Rows of a page.
const PAGE: u32 = 250;
/// Blobs read from the stores at a time.
const GROUP_BYTES: u64 = 8 * 1024 * 1024;
const GROUP_BLOBS: usize = 64;
/// Headers and blobs that wait for each other.
const PIECES: usize = 512;
/// Small pieces go out together.
const BUFFER: usize = 256 * 1024;
/// What an archive has in memory at most, about: a group sealed, opened, and on its way.
pub(crate) const ARCHIVE_BYTES: u64 = (SEALED_BYTES_MAX + 2 * BLOB_BYTES_MAX) as u64;

/// The archive's bytes. An empty piece says that this is all; an error, or no more pieces without that word, that it is not.
pub(crate) type Pieces = Receiver<Result<Bytes, SeamError>>;

impl Intake {
    /// Begins an archive of what `globs` select of a version; of everything without any. The first piece tells whether it can be made.
    pub(crate) fn archive(&self, version: VersionRef, globs: &[String]) -> Result<Pieces, SeamError> {
        self.may_open(&version)?;
        let selection = Selection::new(globs).map_err(|error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
            SeamError::Invalid(format!("{error}{why}"))
        })?;
        let (out, pieces) = channel(1);
        let (changeset, intake) = (version.changeset, self.clone());
        let mut archive = Archive {
            intake,
            version,
            selection,
            out,
            links: Links::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_blobs: 0,
            buffer: BytesMut::new(),
        };
        tokio::spawn(async move {
            match archive.write().await {
                Ok(()) => drop(archive.out.send(Ok(Bytes::new())).await),
                Err(Stop::Gone) => tracing::debug!(%changeset, "an archive's reader went away"),
                Err(Stop::Failed(error)) => {
                    tracing::warn!(%changeset, %error, "an archive ends before its end");
                    drop(archive.out.send(Err(error)).await);
                }
            }
        });
        Ok(pieces)
    }

    fn may_open(&self, version: &VersionRef) -> Result<(), SeamError> {
        let Ok(keys) = self.keys() else {
            return Err(SeamError::Invalid(
                "this server does not have the vault, so it cannot open what an archive holds: pull with `n2s pull` where the vault is, or let \
                 the server have it"
                    .to_owned(),
            ));
        };
        if keys.0.id() == version.vault {
            return Ok(());
        }
        Err(SeamError::WrongVault(format!(
            "the project is sealed with vault {}, and this server has {}; pull with `n2s pull` where that vault is",
            version.vault,
            keys.0.id()
        )))
    }
}

/// Why an archive ends early.
enum Stop {
    Failed(SeamError),
    /// Nobody reads it any more.
    Gone,
}

impl From<SeamError> for Stop {
    fn from(error: SeamError) -> Self {
        Self::Failed(error)
    }
}

/// What comes next in the archive.
enum Piece {
    Bytes(Bytes),
    /// An opened blob of so many bytes.
    Blob(FileBlob, u32),
}

struct Archive {
    intake: Intake,
    version: VersionRef,
    selection: Selection,
    out: Sender<Result<Bytes, SeamError>>,
    links: Links,
    waiting: Vec<Piece>,
    waiting_bytes: u64,
    waiting_blobs: usize,
    buffer: BytesMut,
}

fn damaged(entry: &FileEntry) -> SeamError {
    let source = anyhow::anyhow!("the catalog does not know all pieces of '{}'", entry.path);
    SeamError::Other { doing: "making an archive", source }
}

impl Archive {
    async fn write(&mut self) -> Result<(), Stop> {
        let mut any = false;
        for span in self.selection.spans().to_vec() {
            let mut after = None;
            loop {
                let page = Page { after, limit: PAGE };
                let rows = self.intake.tree(&self.version, &span, &page).await?;
                after = rows.last().map(|row| row.entry.path.clone());
                let full = rows.len() == PAGE as usize;
                for row in rows {
                    if self.selection.wants(&row.entry.path) {
                        any = true;
                        self.row(row).await?;
                    }
                }
                if !full {
                    break;
                }
            }
        }
        if !any && !self.selection.is_all() {
            let hint = "; no path of the version matches".to_owned();
            return Err(SeamError::Unknown { what: "path", name: "asked for".to_owned(), hint }.into());
        }
        self.wait(Piece::Bytes(Bytes::from_static(&[0; 2 * BLOCK])));
        self.release().await?;
        self.flush().await
    }

    async fn row(&mut self, row: FileRow) -> Result<(), Stop> {
        // Directories and empty files bring no blobs, and wait for none.
        if self.waiting.len() >= PIECES {
            self.release().await?;
        }
        let FileRow { entry, blobs } = row;
        let mut name = entry.path.as_bytes().to_vec();
        if entry.path.is_root() {
            name.push(b'.');
        }
        let first = self.links.first(&entry);
        let kind = match (&first, &entry.content) {
            (Some(first), _) => Kind::Link(first.as_bytes()),
            (None, Content::Symlink { target }) => Kind::Symlink(target),
            (None, Content::File { size, .. }) => Kind::File(*size),
            (None, Content::Directory) => {
                name.push(b'/');
                Kind::Directory
            }
        };
        self.wait(Piece::Bytes(pax::header(&name, kind, &entry.meta).freeze()));
        let Kind::File(size) = kind else { return Ok(()) };
        let chunks = entry.chunks();
        if chunks.len() != blobs.len()
            || chunks.iter().map(|chunk| u64::from(chunk.size)).sum::<u64>() != size
        {
            return Err(damaged(&entry).into());
        }
        for (blob, chunk) in blobs.into_iter().zip(chunks) {
            let full = self.waiting_blobs >= GROUP_BLOBS
                || self.waiting_blobs > 0 && self.waiting_bytes + u64::from(chunk.size) > GROUP_BYTES;
            if full {
                self.release().await?;
            }
            self.wait(Piece::Blob(blob, chunk.size));
        }
        self.wait(Piece::Bytes(Bytes::from_static(&[0; BLOCK]).slice(..pax::padding(size))));
        Ok(())
    }

    fn wait(&mut self, piece: Piece) {
        if let Piece::Blob(_, size) = piece {
            self.waiting_bytes += u64::from(size);
            self.waiting_blobs += 1;
        }
        self.waiting.push(piece);
    }

    /// Fetches the blobs that wait, and sends everything up to them.
    async fn release(&mut self) -> Result<(), Stop> {
        (self.waiting_bytes, self.waiting_blobs) = (0, 0);
        let pieces = std::mem::take(&mut self.waiting);
        let blob = |piece: &Piece| if let Piece::Blob(blob, _) = piece { Some(*blob) } else { None };
        let mut blobs: Vec<_> = pieces.iter().filter_map(blob).collect();
        // A sparse file repeats one blob of zeros.
        blobs.dedup();
        let opened = if blobs.is_empty() { Vec::new() } else { self.intake.fetch_opened(&blobs, None).await };
        let mut opened = blobs.into_iter().zip(opened);
        let mut at: Option<(FileBlob, Bytes)> = None;
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => self.put(bytes).await?,
                Piece::Blob(blob, size) => {
                    if at.as_ref().is_none_or(|(known, _)| *known != blob) {
                        let (asked, answer) = opened.next().expect("one answer per question");
                        at = Some((asked, answer?.bytes));
                    }
                    let bytes = at.as_ref().map(|(_, bytes)| bytes.clone()).expect("it was just set");
                    if bytes.len() != size as usize {
                        let tried = format!("it opened to {} bytes instead of {size}", bytes.len());
                        return Err(SeamError::NoIntactCopy { content: blob.content_hash, tried }.into());
                    }
                    self.put(bytes).await?;
                }
            }
        }
        Ok(())
    }

    async fn put(&mut self, bytes: Bytes) -> Result<(), Stop> {
        if bytes.len() >= BUFFER {
            self.flush().await?;
            return self.send(bytes).await;
        }
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() >= BUFFER { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = self.buffer.split().freeze();
        self.send(bytes).await
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Stop> {
        self.out.send(Ok(bytes)).await.map_err(|_| Stop::Gone)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use n2s_catalog_sqlite::SqliteCatalog;
    use n2s_domain::{ChangesetId, Clock, SystemClock, SystemEntropy, VaultId, Version};
    use n2s_storage::Staging;
    use n2s_storage_backends::LocalStore;

    use super::*;
    use crate::IntakeDeps;

    #[tokio::test]
    async fn without_the_vault_it_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, entropy): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let path = dir.path().join("catalog.db");
        let catalog = SqliteCatalog::open(&path, Arc::clone(&clock), entropy.clone()).await.unwrap();
        let version = VersionRef {
            dataset: 1,
            version: Version(1),
            changeset: ChangesetId::new(&*clock, &*entropy),
            snapshot: None,
            file_count: 0,
            total_size: 0,
            vault: VaultId([0; 8]),
        };
        let intake = Intake::new(IntakeDeps {
            catalog: Arc::new(catalog),
            staging: Staging::new(Arc::new(LocalStore::new("staging", dir.path()))),
            stores: BTreeMap::new(),
            ring: Arc::new(|| {}),
            clock,
            entropy,
            vault: None,
            prover: None,
            min_copies: None,
        });
        let refused = intake.archive(version, &[]).unwrap_err().to_string();
        assert!(refused.contains("does not have the vault") && refused.contains("n2s pull"), "{refused}");
    }
}
