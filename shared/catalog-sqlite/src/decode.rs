//! Columns of SQLite's rows, and words to bulk parameters.
//!
//! Times are integers (microseconds), UUIDs blobs of 16 bytes, and what a statement gathers into a list is JSON.

use data_encoding::{HEXLOWER, HEXUPPER};
use n2s_catalog::CatalogError;
use n2s_catalog::rows::Columns;
use n2s_domain::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::Fail;

impl Columns<Fail> for SqliteRow {
    fn damaged(error: CatalogError) -> Fail {
        error.into()
    }

    fn int_opt(&self, name: &'static str) -> Result<Option<i64>, Fail> {
        Ok(self.try_get(name)?)
    }

    fn flag(&self, name: &'static str) -> Result<bool, Fail> {
        Ok(self.try_get(name)?)
    }

    fn text_opt(&self, name: &'static str) -> Result<Option<&str>, Fail> {
        Ok(self.try_get(name)?)
    }

    fn bytes_opt(&self, name: &'static str) -> Result<Option<&[u8]>, Fail> {
        Ok(self.try_get(name)?)
    }

    fn uuid_opt(&self, name: &'static str) -> Result<Option<Uuid>, Fail> {
        let bytes = self.bytes_opt(name)?;
        bytes.map(|bytes| Uuid::from_slice(bytes).map_err(|_| Self::unreadable(name))).transpose()
    }

    fn time_opt(&self, name: &'static str) -> Result<Option<Timestamp>, Fail> {
        Ok(self.int_opt(name)?.map(Timestamp::from_micros))
    }

    fn json_opt(&self, name: &'static str) -> Result<Option<&str>, Fail> {
        self.text_opt(name)
    }

    fn int_list(&self, name: &'static str) -> Result<Vec<i64>, Fail> {
        self.json(name)
    }

    fn text_list(&self, name: &'static str) -> Result<Vec<String>, Fail> {
        self.json(name)
    }
}

/// The rows in the first column of a query's one row, a JSON array of arrays. Each row of an answer passes from the connection's
/// thread to whoever asked, with a wake-up and a copy of every column: rows by the hundred come as one instead. They have places
/// and no names, so their reading stays beside their statement.
pub(crate) fn rows<T: DeserializeOwned>(row: &SqliteRow) -> Result<Vec<T>, Fail> {
    serde_json::from_str(row.try_get(0)?).map_err(|_| SqliteRow::unreadable("rows"))
}

/// What `hex()` gave for 32, or as many, bytes.
pub(crate) fn unhex<const N: usize>(text: &str) -> Result<[u8; N], Fail> {
    let bytes = HEXUPPER.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| SqliteRow::unreadable("a hash"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// A bulk parameter for `json_each`.
pub(crate) fn json(rows: &impl Serialize) -> String {
    serde_json::to_string(rows).expect("numbers, text and arrays of them serialise")
}
