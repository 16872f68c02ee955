//! Heartbeats of the instances of the service that share the database, by the database's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::database::within;
use super::error::JournalError;
use super::{Journal, on_either, statement};
use kernel::id::Name;

impl Journal {
    /// Says that this instance lives; how long ago each instance on the database last said so, this one as it was before.
    ///
    /// # Errors
    /// The database failed, or did not answer within `deadline`. SQLite's has one instance and no heartbeats.
    pub async fn beat(&self, instance: &Name, deadline: Duration) -> Result<BTreeMap<Name, Duration>, JournalError> {
        let ages: Vec<(String, i64)> = on_either!(&*self.database, |connections| {
            let mut guard = connections.probe.lock().await;
            let done = within(deadline, async {
                let query = sqlx::query_as(statement::BEAT_POSTGRES).bind(instance.as_str());
                Ok::<_, JournalError>(query.fetch_all(guard.connection().await?).await?)
            });
            let done = done.await;
            guard.keep_if_done(done)?
        });
        let age = |(instance, age_ms): (String, i64)| {
            let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
            Some((Name::new(&instance).ok()?, age))
        };
        Ok(ages.into_iter().filter_map(age).collect())
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
