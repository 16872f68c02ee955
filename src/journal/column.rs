//! Numbers on their way into columns and out of them: columns have 63 bits.

use super::error::JournalError;

/// A number on its way into a column.
pub(super) fn column(number: u64) -> Result<i64, JournalError> {
    i64::try_from(number).map_err(|_| JournalError::TooLarge(number))
}

/// A number on its way out of a column.
pub(super) fn number(table: &'static str, row: i64, value: i64) -> Result<u64, JournalError> {
    u64::try_from(value).map_err(|_| JournalError::Impossible { table, row, value })
}
