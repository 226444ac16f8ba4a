//! Rows to records, once for every database.
//!
//! An implementation writes its statements itself, and in full. What they answer with has the same columns everywhere, and what is
//! made of a column is no matter of a dialect: that a hash has 32 bytes, that a kind is a known word, that a version without a
//! parent has no parent's files. So it stands here, a function per record, and an implementation only says in [`Columns`] how its
//! driver's row gives up a number, a time or a list. The functions are generic over the row, so nothing is boxed or copied on the way.
//!
//! The statements stay twice, even where they look alike: each is tuned to its planner and its locks and tested by itself, and one
//! that is put together for two databases can be read in neither. Rejected for the rows: a driver-neutral row (`sqlx::Any`), which
//! knows neither times nor UUIDs nor lists, and derives of the driver, which would bring it into this crate and make a row type per
//! record and database.

pub mod backends;
pub mod completion;
pub mod files;
pub mod jobs;
pub mod library;
pub mod manifests;
pub mod operate;
pub mod pushes;
pub mod staging;
pub mod tokens;
pub mod validation;
pub mod vaults;

use std::str::FromStr;

use n2s_domain::{
    BackendId, BlobId, ChangesetId, ContentHash, FailureKind, RelPath, SealedHash, Timestamp, VaultId,
    Version,
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::CatalogError;

/// A row of an answer. The first methods are a driver's; the others follow from them. NULL where a value is needed, and a value
/// that this program cannot have written, are [`CatalogError::Inconsistent`].
///
/// The error is a parameter, not a type of the trait's own: with an error of its own an implementation may implement this for its
/// driver's row, which is not its own.
pub trait Columns<E> {
    /// The error of a row that this program cannot have written.
    fn damaged(error: CatalogError) -> E;

    /// A whole number.
    fn int_opt(&self, name: &'static str) -> Result<Option<i64>, E>;
    /// The answer to a comparison.
    fn flag(&self, name: &'static str) -> Result<bool, E>;
    /// Text.
    fn text_opt(&self, name: &'static str) -> Result<Option<&str>, E>;
    /// Bytes.
    fn bytes_opt(&self, name: &'static str) -> Result<Option<&[u8]>, E>;
    /// A UUID.
    fn uuid_opt(&self, name: &'static str) -> Result<Option<Uuid>, E>;
    /// An instant.
    fn time_opt(&self, name: &'static str) -> Result<Option<Timestamp>, E>;
    /// JSON, in a column of text or of its own kind.
    fn json_opt(&self, name: &'static str) -> Result<Option<&str>, E>;
    /// A list of numbers that a statement has gathered.
    fn int_list(&self, name: &'static str) -> Result<Vec<i64>, E>;
    /// A list of texts that a statement has gathered.
    fn text_list(&self, name: &'static str) -> Result<Vec<String>, E>;

    /// The error of a column.
    fn unreadable(column: &'static str) -> E {
        Self::damaged(CatalogError::unreadable(column))
    }

    /// A whole number.
    fn int(&self, name: &'static str) -> Result<i64, E> {
        self.int_opt(name)?.ok_or_else(|| Self::unreadable(name))
    }

    /// A count or size; the schema never holds a negative one.
    fn count(&self, name: &'static str) -> Result<u64, E> {
        u64::try_from(self.int(name)?).map_err(|_| Self::unreadable(name))
    }

    /// A small count.
    fn small(&self, name: &'static str) -> Result<u32, E> {
        u32::try_from(self.int(name)?).map_err(|_| Self::unreadable(name))
    }

    /// Text.
    fn text(&self, name: &'static str) -> Result<&str, E> {
        self.text_opt(name)?.ok_or_else(|| Self::unreadable(name))
    }

    /// Text to keep.
    fn string(&self, name: &'static str) -> Result<String, E> {
        self.text(name).map(ToOwned::to_owned)
    }

    /// Text to keep.
    fn string_opt(&self, name: &'static str) -> Result<Option<String>, E> {
        Ok(self.text_opt(name)?.map(ToOwned::to_owned))
    }

    /// Text that stands for a word of the domain.
    fn word<T: FromStr>(&self, name: &'static str) -> Result<T, E> {
        self.word_opt(name)?.ok_or_else(|| Self::unreadable(name))
    }

    /// See [`Columns::word`].
    fn word_opt<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, E> {
        self.text_opt(name)?.map(|text| text.parse().map_err(|_| Self::unreadable(name))).transpose()
    }

    /// A list of them.
    fn words<T: FromStr>(&self, name: &'static str) -> Result<Vec<T>, E> {
        self.text_list(name)?.iter().map(|text| text.parse().map_err(|_| Self::unreadable(name))).collect()
    }

    /// What JSON says.
    fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, E> {
        let text = self.json_opt(name)?.ok_or_else(|| Self::unreadable(name))?;
        serde_json::from_str(text).map_err(|_| Self::unreadable(name))
    }

    /// Bytes.
    fn bytes(&self, name: &'static str) -> Result<&[u8], E> {
        self.bytes_opt(name)?.ok_or_else(|| Self::unreadable(name))
    }

    /// So many bytes.
    fn array<const N: usize>(&self, name: &'static str) -> Result<[u8; N], E> {
        self.bytes(name)?.try_into().map_err(|_| Self::unreadable(name))
    }

    /// BLAKE3 of a content.
    fn content(&self, name: &'static str) -> Result<ContentHash, E> {
        self.array(name).map(ContentHash)
    }

    /// BLAKE3 of a content, where there is one.
    fn content_opt(&self, name: &'static str) -> Result<Option<ContentHash>, E> {
        self.bytes_opt(name)?.map(|_| self.content(name)).transpose()
    }

    /// BLAKE3 of sealed bytes.
    fn sealed(&self, name: &'static str) -> Result<SealedHash, E> {
        self.array(name).map(SealedHash)
    }

    /// A path.
    fn path(&self, name: &'static str) -> Result<RelPath, E> {
        let bytes = self.bytes(name)?;
        let damaged = |_| {
            let row = format!("'{}'", n2s_domain::path::escape(bytes));
            Self::damaged(CatalogError::Inconsistent { table: "files", column: name, row })
        };
        RelPath::new(bytes).map_err(damaged)
    }

    /// A path, where there is one.
    fn path_opt(&self, name: &'static str) -> Result<Option<RelPath>, E> {
        self.bytes_opt(name)?.map(|_| self.path(name)).transpose()
    }

    /// An instant.
    fn time(&self, name: &'static str) -> Result<Timestamp, E> {
        self.time_opt(name)?.ok_or_else(|| Self::unreadable(name))
    }

    /// A UUID.
    fn uuid(&self, name: &'static str) -> Result<Uuid, E> {
        self.uuid_opt(name)?.ok_or_else(|| Self::unreadable(name))
    }

    /// A changeset by its UUID, which every statement calls `uuid` unless it names two.
    fn changeset(&self, name: &'static str) -> Result<ChangesetId, E> {
        self.uuid(name).map(ChangesetId)
    }

    /// The store of the row, `backend_id`.
    fn backend(&self) -> Result<BackendId, E> {
        self.int("backend_id").map(BackendId)
    }

    /// A blob's row.
    fn blob(&self, name: &'static str) -> Result<BlobId, E> {
        self.int(name).map(BlobId)
    }

    /// A version's number.
    fn version(&self, name: &'static str) -> Result<Version, E> {
        self.count(name).map(Version)
    }

    /// The project's vault, `vault_id`.
    fn vault(&self) -> Result<VaultId, E> {
        self.array("vault_id").map(VaultId)
    }

    /// The last failure, `error_kind` and `error_message`.
    fn failure(&self) -> Result<Option<(FailureKind, String)>, E> {
        let Some(kind) = self.word_opt("error_kind")? else { return Ok(None) };
        Ok(Some((kind, self.string_opt("error_message")?.unwrap_or_default())))
    }
}

/// One number of each row.
pub fn column<E, R: Columns<E>>(rows: &[R], name: &'static str) -> Result<Vec<i64>, E> {
    rows.iter().map(|row| row.int(name)).collect()
}

/// Two numbers of each row.
pub fn pairs<E, R: Columns<E>, C: FromIterator<(i64, i64)>>(
    rows: &[R],
    [first, second]: [&'static str; 2],
) -> Result<C, E> {
    rows.iter().map(|row| Ok((row.int(first)?, row.int(second)?))).collect()
}

/// A number for a database, whose integers are signed. Nothing we count reaches 2^63.
pub fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
