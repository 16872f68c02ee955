//! Heartbeats of the instances of the service that share the database, by the database's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::column::number;
use super::database::within;
use super::error::JournalError;
use super::{Journal, on_either, statement};
use kernel::id::Name;
use kernel::units::Millis;

/// How far in the future a heartbeat may be and count.
const FUTURE_MAX_MS: i64 = 2_000;

/// What the database answers to a heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// How long ago the heartbeat before of each instance was.
    pub ages: BTreeMap<Name, Duration>,
    pub database_time: Millis,
}

impl Journal {
    /// Says that this instance lives.
    ///
    /// # Errors
    /// The database failed, or did not answer within `deadline`. SQLite's has one instance and no heartbeats.
    pub async fn beat(&self, instance: &Name, deadline: Duration) -> Result<Heartbeat, JournalError> {
        let rows: Vec<(Option<String>, Option<i64>, i64)> = on_either!(&*self.database, |connections| {
            let mut guard = connections.probe.lock().await;
            let done = within(deadline, async {
                let query = sqlx::query_as(statement::BEAT_POSTGRES).bind(instance.as_str());
                Ok::<_, JournalError>(query.fetch_all(guard.connection().await?).await?)
            });
            let done = done.await;
            guard.keep_if_done(done)?
        });
        let now_ms = rows.first().map_or(0, |row| row.2);
        let age = |(instance, age_ms, _): (Option<String>, Option<i64>, i64)| {
            // The database's clock was set back: who lives says so again within the moment.
            let age_ms = age_ms.filter(|age_ms| *age_ms > -FUTURE_MAX_MS)?;
            let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
            Some((Name::new(&instance?).ok()?, age))
        };
        let ages = rows.into_iter().filter_map(age).collect();
        Ok(Heartbeat { ages, database_time: Millis(number("replica", 0, now_ms)?) })
    }

    /// Says that this instance is no more.
    ///
    /// # Errors
    /// As [`Journal::beat`].
    pub async fn end_beats(&self, instance: &Name, deadline: Duration) -> Result<(), JournalError> {
        on_either!(&*self.database, |connections| {
            let mut guard = connections.probe.lock().await;
            let done = within(deadline, async {
                let query = sqlx::query(statement::BEATS_END).bind(instance.as_str());
                query.execute(guard.connection().await?).await?;
                Ok::<_, JournalError>(())
            });
            let done = done.await;
            guard.keep_if_done(done)?;
        });
        Ok(())
    }
}
