//! Columns to words, and words to bulk parameters. A column that this program cannot have written is `Inconsistent`.

use data_encoding::{HEXLOWER, HEXUPPER};
use n2s_catalog::CatalogError;
use n2s_domain::{ContentHash, FailureKind, RelPath, SealedHash, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, Row as _, Sqlite, Type};

use crate::error::Fail;

/// Reads a column of a row.
pub(crate) fn col<'r, T>(row: &'r SqliteRow, name: &'static str) -> Result<T, Fail>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
    &'static str: ColumnIndex<SqliteRow>,
{
    Ok(row.try_get(name)?)
}

/// The rows in the first column of a query's one row, a JSON array of arrays. Each row of an answer passes from the connection's
/// thread to whoever asked, with a wake-up and a copy of every column: rows by the hundred come as one instead.
pub(crate) fn rows<T: DeserializeOwned>(row: &SqliteRow) -> Result<Vec<T>, Fail> {
    serde_json::from_str(row.try_get(0)?).map_err(|_| bad("rows"))
}

/// What `hex()` gave for 32, or as many, bytes.
pub(crate) fn unhex<const N: usize>(text: &str) -> Result<[u8; N], Fail> {
    let bytes = HEXUPPER.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| bad("a hash"))
}

fn bad(column: &'static str) -> Fail {
    CatalogError::Inconsistent { table: "a query", column, row: "of its answer".to_owned() }.into()
}

pub(crate) fn content(row: &SqliteRow, name: &'static str) -> Result<ContentHash, Fail> {
    ContentHash::from_slice(col::<&[u8]>(row, name)?).ok_or_else(|| bad(name))
}

pub(crate) fn sealed(row: &SqliteRow, name: &'static str) -> Result<SealedHash, Fail> {
    SealedHash::from_slice(col::<&[u8]>(row, name)?).ok_or_else(|| bad(name))
}

pub(crate) fn array<const N: usize>(row: &SqliteRow, name: &'static str) -> Result<[u8; N], Fail> {
    col::<&[u8]>(row, name)?.try_into().map_err(|_| bad(name))
}

pub(crate) fn path(row: &SqliteRow, name: &'static str) -> Result<RelPath, Fail> {
    let bytes = col::<&[u8]>(row, name)?;
    let row = || format!("'{}'", n2s_domain::path::escape(bytes));
    let damaged = |_| CatalogError::Inconsistent { table: "files", column: name, row: row() }.into();
    RelPath::new(bytes).map_err(damaged)
}

pub(crate) fn time(row: &SqliteRow, name: &'static str) -> Result<Timestamp, Fail> {
    col::<i64>(row, name).map(Timestamp::from_micros)
}

pub(crate) fn time_opt(row: &SqliteRow, name: &'static str) -> Result<Option<Timestamp>, Fail> {
    Ok(col::<Option<i64>>(row, name)?.map(Timestamp::from_micros))
}

/// A count or size; the schema never holds a negative one.
pub(crate) fn count(row: &SqliteRow, name: &'static str) -> Result<u64, Fail> {
    u64::try_from(col::<i64>(row, name)?).map_err(|_| bad(name))
}

pub(crate) fn small(row: &SqliteRow, name: &'static str) -> Result<u32, Fail> {
    u32::try_from(col::<i64>(row, name)?).map_err(|_| bad(name))
}

/// Text that stands for a word of the domain.
pub(crate) fn word<T: std::str::FromStr>(row: &SqliteRow, name: &'static str) -> Result<T, Fail> {
    col::<&str>(row, name)?.parse().map_err(|_| bad(name))
}

/// The error columns of a placement.
pub(crate) fn failure(row: &SqliteRow) -> Result<Option<(FailureKind, String)>, Fail> {
    let Some(kind) = col::<Option<&str>>(row, "error_kind")? else { return Ok(None) };
    let kind = kind.parse().map_err(|_| bad("error_kind"))?;
    Ok(Some((kind, col::<Option<String>>(row, "error_message")?.unwrap_or_default())))
}

/// A number for SQLite, whose integers are signed. Nothing we count reaches 2^63.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// A bulk parameter for `json_each`.
pub(crate) fn json(rows: &impl Serialize) -> String {
    serde_json::to_string(rows).expect("numbers, text and arrays of them serialise")
}
