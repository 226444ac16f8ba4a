//! Columns of SQLite's rows, and words to bulk parameters.
//!
//! Times are integers (microseconds), UUIDs blobs of 16 bytes, and what a statement gathers into a list is JSON.

use data_encoding::HEXLOWER;
use n2s_catalog::CatalogError;
use n2s_catalog::rows::Columns;
use n2s_domain::Timestamp;
use serde::Serialize;
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

pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// A bulk parameter for `json_each`.
pub(crate) fn json(rows: &impl Serialize) -> String {
    serde_json::to_string(rows).expect("numbers, text and arrays of them serialise")
}
