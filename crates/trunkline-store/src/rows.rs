//! Columns to values and back.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use trunkline_types::{CallTime, Timestamp};

use crate::StoreError;

/// Times and counts as the database keeps them. Values past `i64::MAX` (the year 294247) clamp.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(column: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Unreadable {
        column,
        value: value.to_string(),
    })
}

/// A microsecond column on the wall clock that may be null.
pub(crate) fn timestamp(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<Timestamp>, StoreError> {
    row.try_get::<Option<i64>, _>(column)?
        .map(|micros| unsigned(column, micros).map(Timestamp::from_micros))
        .transpose()
}

/// A count or position.
pub(crate) fn count(row: &SqliteRow, column: &'static str) -> Result<u64, StoreError> {
    unsigned(column, row.try_get(column)?)
}

/// A microsecond column on the call's clock.
pub(crate) fn call_time(row: &SqliteRow, column: &'static str) -> Result<CallTime, StoreError> {
    count(row, column).map(CallTime::from_micros)
}

/// A small number.
pub(crate) fn small(row: &SqliteRow, column: &'static str) -> Result<u32, StoreError> {
    let value: i64 = row.try_get(column)?;
    u32::try_from(value).map_err(|_| StoreError::Unreadable {
        column,
        value: value.to_string(),
    })
}

/// A small number that may be null.
pub(crate) fn optional_small(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<u32>, StoreError> {
    match row.try_get::<Option<i64>, _>(column)? {
        None => Ok(None),
        Some(_) => small(row, column).map(Some),
    }
}

/// A column that holds a type by its text.
pub(crate) fn parsed<T: std::str::FromStr>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, StoreError> {
    let value: String = row.try_get(column)?;
    value
        .parse()
        .map_err(|_| StoreError::Unreadable { column, value })
}

/// A column that holds an enum by its serde name.
pub(crate) fn named<T: for<'de> Deserialize<'de>>(
    column: &'static str,
    value: &str,
) -> Result<T, StoreError> {
    let text: StrDeserializer<'_, ValueError> = value.into_deserializer();
    T::deserialize(text).map_err(|_| StoreError::Unreadable {
        column,
        value: value.to_owned(),
    })
}
