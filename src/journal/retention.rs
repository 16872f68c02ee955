//! What is old enough is deleted, a few rows at a time, so that no append waits long, and SQLite's file gives the space
//! back. Events are deleted below a snapshot only: a state can always be restored.

use std::time::Duration;

use super::column::{column, number};
use super::database::{Database, within};
use super::error::JournalError;
use super::link_history::SampleResolution;
use super::{BULK_MAX, Journal, on_bulk, on_either, on_reader, statement};
use kernel::id::Sequence;
use kernel::units::Millis;

/// How many events' ages are looked at in one step; a step deletes at most these.
pub const EVENTS_FORGOTTEN_AT_ONCE: u32 = 500;
/// SQLite's free pages (4 KiB) that stay in the file, since the next rows need them.
const FREE_PAGES_KEPT: i64 = 1_024;

/// How long what no state needs any more is kept. Absent: for ever. An event is deleted when it exceeds either limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// How old an event may become.
    pub event_age: Option<Duration>,
    /// How many of the newest events are kept.
    pub events: Option<u64>,
    /// How long ago a listed allocation may have ended.
    pub ended_age: Option<Duration>,
    /// How long what links had is kept.
    pub link_history: LinkHistoryAges,
}

/// How old the samples of links may become, by resolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkHistoryAges {
    /// Those of each minute.
    pub minutes: Duration,
    /// Those of each quarter of an hour.
    pub quarter_hours: Duration,
    /// Those of six hours.
    pub six_hours: Duration,
}

impl Default for LinkHistoryAges {
    fn default() -> Self {
        const DAY_S: u64 = 24 * 60 * 60;
        let days = |days| Duration::from_secs(days * DAY_S);
        Self { minutes: days(2), quarter_hours: days(31), six_hours: days(366) }
    }
}

impl LinkHistoryAges {
    /// How old a sample of this resolution may become.
    pub fn of(&self, resolution: SampleResolution) -> Duration {
        match resolution {
            SampleResolution::Minute => self.minutes,
            SampleResolution::QuarterHour => self.quarter_hours,
            SampleResolution::SixHours => self.six_hours,
        }
    }
}

impl Retention {
    /// Whether events are deleted at all.
    pub fn limits_events(&self) -> bool {
        self.event_age.is_some() || self.events.is_some()
    }
}

/// `age` before `now`.
fn before(now: Millis, age: Duration) -> Millis {
    Millis(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
}

impl Journal {
    /// The oldest event that can be read; the one after the last if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn first_sequence(&self) -> Result<Sequence, JournalError> {
        let first: i64 =
            on_reader!(self, |connection| sqlx::query_scalar(statement::FIRST).fetch_one(connection).await?);
        Ok(Sequence(number("journal", first, first)?))
    }

    /// When the event happened that the newest complete snapshot stands on; absent without a snapshot, or without the event.
    ///
    /// # Errors
    /// The database failed.
    pub async fn snapshot_at(&self) -> Result<Option<Millis>, JournalError> {
        let at: Option<i64> = on_reader!(self, |connection| {
            sqlx::query_scalar(statement::SNAPSHOT_AT).fetch_optional(connection).await?
        });
        at.map(|at| Ok(Millis(number("journal", at, at)?))).transpose()
    }

    /// Deletes some of the oldest events that exceed a limit, all of them before `snapshot`, which is the event of a
    /// complete snapshot, and before those that a receipt refers to; how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_some_events(
        &self,
        retention: &Retention,
        now: Millis,
        snapshot: Sequence,
    ) -> Result<u64, JournalError> {
        let beyond = match retention.events {
            Some(kept) => self.head().await?.0.saturating_sub(kept).saturating_add(1),
            None => 0,
        };
        let limit = i64::from(EVENTS_FORGOTTEN_AT_ONCE);
        let old = match retention.event_age {
            Some(age) => {
                let at = column(before(now, age).0)?;
                let young: Option<i64> = on_reader!(self, |connection| {
                    sqlx::query_scalar(statement::FIRST_YOUNG).bind(limit).bind(at).fetch_one(connection).await?
                });
                young.map_or(Ok(u64::MAX), |young| number("journal", young, young))?
            }
            None => 0,
        };
        let needed: Option<i64> = on_reader!(self, |connection| {
            sqlx::query_scalar(statement::RECEIPT_OLDEST).fetch_optional(connection).await?
        });
        let needed = needed.map_or(Ok(u64::MAX), |needed| number("receipt", needed, needed))?;
        let below = column(beyond.max(old).min(needed).min(snapshot.0))?;
        Ok(on_bulk!(self, |connection| {
            let query = sqlx::query(statement::EVENTS_FORGET).bind(below).bind(limit);
            query.execute(connection).await?.rows_affected()
        }))
    }

    /// Deletes some of the allocations that ended longer ago than the limit; how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_some_past(&self, retention: &Retention, now: Millis) -> Result<u64, JournalError> {
        let Some(age) = retention.ended_age else { return Ok(0) };
        let (at, limit) = (column(before(now, age).0)?, i64::from(EVENTS_FORGOTTEN_AT_ONCE));
        Ok(on_bulk!(self, |connection| {
            sqlx::query(statement::PAST_FORGET).bind(at).bind(limit).execute(connection).await?.rows_affected()
        }))
    }

    /// Deletes some of the blocks of samples that are older, to their end, than the limit of their resolution; how many rows.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_some_link_history(&self, retention: &Retention, now: Millis) -> Result<u64, JournalError> {
        let (mut forgotten, limit) = (0, i64::from(EVENTS_FORGOTTEN_AT_ONCE));
        for resolution in SampleResolution::ALL {
            let oldest = resolution.block_of(before(now, retention.link_history.of(resolution)));
            let (step, oldest) = (column(resolution.step().0)?, column(oldest.0)?);
            for text in [statement::LINK_HISTORY_FORGET, statement::SAMPLINGS_FORGET] {
                forgotten += on_bulk!(self, |connection| {
                    let query = sqlx::query(text).bind(step).bind(oldest).bind(limit);
                    query.execute(connection).await?.rows_affected()
                });
            }
        }
        Ok(forgotten)
    }

    /// Gives a megabyte of SQLite's free pages back to the file system; whether there is more. PostgreSQL does this by
    /// itself, and a file from before there was retention not at all.
    ///
    /// # Errors
    /// The database failed.
    pub async fn shrink_some(&self) -> Result<bool, JournalError> {
        let Database::Sqlite(connections) = &*self.database else { return Ok(false) };
        let mut guard = connections.bulk.lock().await;
        let done = within(BULK_MAX, async {
            let connection = guard.connection().await?;
            let free: i64 = sqlx::query_scalar(statement::FREE_PAGES_SQLITE).fetch_one(&mut *connection).await?;
            if free <= FREE_PAGES_KEPT {
                return Ok(false);
            }
            sqlx::raw_sql(statement::SHRINK_SQLITE).execute(&mut *connection).await?;
            let left: i64 = sqlx::query_scalar(statement::FREE_PAGES_SQLITE).fetch_one(connection).await?;
            Ok::<_, JournalError>(left < free)
        });
        let done = done.await;
        guard.keep_if_done(done)
    }
}
