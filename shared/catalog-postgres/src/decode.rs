//! Columns to words, and words to bulk parameters. A column that this program cannot have written is `Inconsistent`.

use std::time::Duration;

use n2s_catalog::CatalogError;
use n2s_domain::{ContentHash, FailureKind, RelPath, SealedHash, Timestamp};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{ColumnIndex, Decode, Postgres, Row as _, Type};

use crate::error::Fail;

/// Reads a column of a row.
pub(crate) fn col<'r, T>(row: &'r PgRow, name: &'static str) -> Result<T, Fail>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
    &'static str: ColumnIndex<PgRow>,
{
    Ok(row.try_get(name)?)
}

fn bad(column: &'static str) -> Fail {
    CatalogError::Inconsistent { table: "a query", column, row: "of its answer".to_owned() }.into()
}

pub(crate) fn content(row: &PgRow, name: &'static str) -> Result<ContentHash, Fail> {
    ContentHash::from_slice(col::<&[u8]>(row, name)?).ok_or_else(|| bad(name))
}

pub(crate) fn sealed(row: &PgRow, name: &'static str) -> Result<SealedHash, Fail> {
    SealedHash::from_slice(col::<&[u8]>(row, name)?).ok_or_else(|| bad(name))
}

pub(crate) fn array<const N: usize>(row: &PgRow, name: &'static str) -> Result<[u8; N], Fail> {
    col::<&[u8]>(row, name)?.try_into().map_err(|_| bad(name))
}

pub(crate) fn path(row: &PgRow, name: &'static str) -> Result<RelPath, Fail> {
    let bytes = col::<&[u8]>(row, name)?;
    let row = || format!("'{}'", n2s_domain::path::escape(bytes));
    let damaged = |_| CatalogError::Inconsistent { table: "files", column: name, row: row() }.into();
    RelPath::new(bytes).map_err(damaged)
}

pub(crate) fn time(row: &PgRow, name: &'static str) -> Result<Timestamp, Fail> {
    col::<Instant>(row, name).map(|at| at.0)
}

pub(crate) fn time_opt(row: &PgRow, name: &'static str) -> Result<Option<Timestamp>, Fail> {
    Ok(col::<Option<Instant>>(row, name)?.map(|at| at.0))
}

/// A count or size; the schema never holds a negative one.
pub(crate) fn count(row: &PgRow, name: &'static str) -> Result<u64, Fail> {
    u64::try_from(col::<i64>(row, name)?).map_err(|_| bad(name))
}

pub(crate) fn small(row: &PgRow, name: &'static str) -> Result<u32, Fail> {
    u32::try_from(col::<i64>(row, name)?).map_err(|_| bad(name))
}

/// Text that stands for a word of the domain.
pub(crate) fn word<T: std::str::FromStr>(row: &PgRow, name: &'static str) -> Result<T, Fail> {
    col::<&str>(row, name)?.parse().map_err(|_| bad(name))
}

/// An array of text that stands for words of the domain.
pub(crate) fn words<T: std::str::FromStr>(row: &PgRow, name: &'static str) -> Result<Vec<T>, Fail> {
    col::<Vec<String>>(row, name)?.iter().map(|text| text.parse().map_err(|_| bad(name))).collect()
}

/// The error columns of a placement.
pub(crate) fn failure(row: &PgRow) -> Result<Option<(FailureKind, String)>, Fail> {
    let Some(kind) = col::<Option<&str>>(row, "error_kind")? else { return Ok(None) };
    let kind = kind.parse().map_err(|_| bad("error_kind"))?;
    Ok(Some((kind, col::<Option<String>>(row, "error_message")?.unwrap_or_default())))
}

/// A number for PostgreSQL, whose integers are signed. Nothing we count reaches 2^63.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A delay for `$n * interval '1 microsecond'`; at most a century, which the server can still add to any time.
pub(crate) fn micros(delay: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 86_400 * 1_000_000;
    i64::try_from(delay.as_micros()).unwrap_or(CENTURY).min(CENTURY)
}

/// Text for PostgreSQL, which cannot hold NUL.
pub(crate) fn text(words: &str) -> String {
    words.replace('\0', "\u{fffd}")
}

/// A bulk parameter of hashes.
pub(crate) fn hashes<'h>(hashes: impl IntoIterator<Item = &'h ContentHash>) -> Vec<Vec<u8>> {
    hashes.into_iter().map(|hash| hash.0.to_vec()).collect()
}

/// A `timestamptz`: on the wire, microseconds since 2000.
struct Instant(Timestamp);

/// 2000-01-01T00:00:00Z.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl<'r> Decode<'r, Postgres> for Instant {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.format() == PgValueFormat::Text {
            return Err("a time was sent as text".into());
        }
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(Timestamp::from_micros(micros.saturating_add(EPOCH_MICROS))))
    }
}
