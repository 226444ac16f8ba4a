//! Columns of PostgreSQL's rows, and words to bulk parameters.

use std::time::Duration;

use n2s_catalog::CatalogError;
use n2s_catalog::rows::Columns;
use n2s_domain::{ContentHash, Timestamp};
use sqlx::Row as _;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Postgres, Type};
use uuid::Uuid;

use crate::error::Fail;

impl Columns<Fail> for PgRow {
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
        Ok(self.try_get(name)?)
    }

    fn time_opt(&self, name: &'static str) -> Result<Option<Timestamp>, Fail> {
        Ok(self.try_get::<Option<Instant>, _>(name)?.map(|at| at.0))
    }

    fn json_opt(&self, name: &'static str) -> Result<Option<&str>, Fail> {
        Ok(self.try_get::<Option<Jsonb<'_>>, _>(name)?.map(|json| json.0))
    }

    fn int_list(&self, name: &'static str) -> Result<Vec<i64>, Fail> {
        Ok(self.try_get(name)?)
    }

    fn text_list(&self, name: &'static str) -> Result<Vec<String>, Fail> {
        Ok(self.try_get(name)?)
    }
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

/// Pairs as two bulk parameters.
pub(crate) fn arrays<A, B>(pairs: impl IntoIterator<Item = (A, B)>) -> (Vec<A>, Vec<B>) {
    pairs.into_iter().unzip()
}

/// A `jsonb`: on the wire, a version and then its text.
struct Jsonb<'r>(&'r str);

impl Type<Postgres> for Jsonb<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(3802))
    }
}

impl<'r> Decode<'r, Postgres> for Jsonb<'r> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        match (value.format(), value.as_bytes()?) {
            (PgValueFormat::Binary, [1, text @ ..]) => Ok(Self(std::str::from_utf8(text)?)),
            _ => Err("JSON was sent in another form".into()),
        }
    }
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
