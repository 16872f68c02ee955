//! Comparisons of passwords: so many at a time, with rests after wrong ones. What must stay true: whoever sends wrong passwords,
//! from however many addresses, takes from the clients that are there no more than a fixed part of the processor.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, oneshot};

use crate::codec::Reason;
use crate::limits::{PASSWORDS_AT_A_TIME, PASSWORDS_WAITING_MAX, WRONG_PASSWORD_RESTS};

#[derive(Debug)]
pub(super) struct Comparisons {
    at_a_time: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Comparisons {
    fn default() -> Self {
        Self {
            at_a_time: Arc::new(Semaphore::new(half_of_the_processors())),
            waiting: Semaphore::new(PASSWORDS_WAITING_MAX),
        }
    }
}

fn half_of_the_processors() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).clamp(1, PASSWORDS_AT_A_TIME)
}

impl Comparisons {
    /// Makes a comparison in its turn.
    ///
    /// # Errors
    /// Too many wait, or the process stops.
    pub(super) async fn run(&self, compare: impl FnOnce() -> bool + Send + 'static) -> Result<bool, Reason> {
        let _place = self.waiting.try_acquire().map_err(|_| Reason::ServerBusy)?;
        let permit = Arc::clone(&self.at_a_time).acquire_owned().await.map_err(|_| Reason::ServerBusy)?;
        let (done, result) = oneshot::channel();
        tokio::spawn(async move {
            let began = Instant::now();
            let Ok(is_right) = tokio::task::spawn_blocking(compare).await else { return };
            let _ = done.send(is_right);
            if !is_right {
                tokio::time::sleep(began.elapsed() * WRONG_PASSWORD_RESTS).await;
            }
            drop(permit);
        });
        result.await.map_err(|_| Reason::ServerUnavailable)
    }
}
