//! The line to Redis: what all connections want goes out together in one pipeline, and the next one goes when it has been
//! answered. So a batch is as large as the load makes it, and waiting for a replica costs one command a pipeline.
//!
//! What must stay true: a job is answered only when Redis has carried out all of it (and, if asked for, a replica has it);
//! until then it is tried again, in its order, for as long as somebody waits for it. Nothing grows while Redis is away:
//! each connection has at most one job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::PREFIX;
use super::address::RedisAddress;
use super::batcher::Bundle;
use super::request::{Answered, Payload, PipelineResult, StoreRequest, answer};
use crate::store::StoreError;

/// Jobs that wait for the line.
const JOBS_MAX: usize = 1024;
/// What one pipeline is to do, about.
const ERRANDS_A_PIPELINE: usize = 1024;
/// How long a pipeline may take before the connection is given up.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// How long Redis waits for a replica before it is asked again, in milliseconds.
const REPLICA_WAIT_MS: u64 = 500;
/// Between tries: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// For so long after an inbox had no room connections are kept apart, so that only those who have something for it wait.
const APART: Duration = Duration::from_secs(1);

/// When a batch counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Redis has it. A failover may lose what its replica had not yet received: milliseconds, mostly.
    #[default]
    Async,
    /// A replica of Redis has it as well. (It is still not consensus: a failover to another replica may lose it.)
    Replicated,
}

/// The near end of the line.
#[derive(Clone, Debug)]
pub(super) struct RedisPipeline {
    jobs: mpsc::Sender<StoreRequest>,
    is_well: Arc<AtomicBool>,
}

impl RedisPipeline {
    /// Opens a line; it connects when there is something to say.
    pub(super) fn open(address: RedisAddress, name: String, durability: Durability) -> Self {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let is_well = Arc::new(AtomicBool::new(true));
        let far = PipelineTask {
            address,
            name,
            durability,
            is_well: Arc::clone(&is_well),
            connection: None,
            pause: PAUSE_MIN,
            apart_until: None,
            batches: 0,
        };
        tokio::spawn(far.run(waiting));
        Self { jobs, is_well }
    }

    /// Has commands carried out.
    pub(super) async fn query(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, StoreError> {
        Ok(self.submit(Payload::Values(commands)).await?.values)
    }

    /// Has something carried out.
    pub(super) async fn submit(&self, want: Payload) -> Result<Answered, StoreError> {
        let (job, answered) = StoreRequest::new(want);
        self.jobs.send(job).await.map_err(|_| StoreError::Shut)?;
        answered.await.map_err(|_| StoreError::Shut)?
    }

    pub(super) fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed)
    }
}

/// The far end.
struct PipelineTask {
    address: RedisAddress,
    /// Of this replica.
    name: String,
    durability: Durability,
    is_well: Arc<AtomicBool>,
    connection: Option<MultiplexedConnection>,
    pause: Duration,
    apart_until: Option<Instant>,
    /// For their names.
    batches: u64,
}

impl PipelineTask {
    async fn run(mut self, mut waiting: mpsc::Receiver<StoreRequest>) {
        let mut jobs: Vec<StoreRequest> = Vec::new();
        loop {
            if jobs.is_empty() {
                let Some(job) = waiting.recv().await else { return };
                jobs.push(job);
            }
            let mut count: usize = jobs.iter().map(StoreRequest::len).sum();
            while count < ERRANDS_A_PIPELINE
                && let Ok(job) = waiting.try_recv()
            {
                count += job.len();
                jobs.push(job);
            }
            // Nobody waits any more for what was given up.
            jobs.retain(|job| !job.is_given_up());
            if jobs.is_empty() {
                continue;
            }
            let pipeline = self.pipeline(&mut jobs);
            match self.send(&pipeline).await {
                Ok(values) => {
                    let PipelineResult { again, is_in_trouble, has_held_back } = answer(jobs, values);
                    if has_held_back {
                        self.apart_until = Some(Instant::now() + APART);
                    }
                    jobs = again;
                    if is_in_trouble { self.fail().await } else { self.recover() }
                }
                Err(error) => {
                    if self.is_well.load(Ordering::Relaxed) {
                        tracing::warn!(%error, "Redis does not answer; trying again");
                    }
                    self.fail().await;
                }
            }
        }
    }

    /// All that is wanted.
    fn pipeline(&mut self, jobs: &mut [StoreRequest]) -> Pipeline {
        self.apart_until = self.apart_until.filter(|until| Instant::now() < *until);
        let (name, batches, all_apart) = (&self.name, &mut self.batches, self.apart_until.is_some());
        let mut batch = || {
            *batches += 1;
            format!("{name}-{batches}")
        };
        let mut bundle = Bundle::new(name, batch());
        for job in jobs {
            let is_apart = all_apart || job.is_apart;
            if is_apart {
                bundle.set_apart(batch());
            }
            job.join(&mut bundle);
            if is_apart {
                bundle.set_apart(batch());
            }
        }
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        bundle.commands().for_each(|command| {
            pipeline.add_command(command);
        });
        if self.durability == Durability::Replicated {
            pipeline.cmd("WAIT").arg(1).arg(REPLICA_WAIT_MS);
        }
        pipeline
    }

    fn recover(&mut self) {
        self.pause = PAUSE_MIN;
        if !self.is_well.swap(true, Ordering::Relaxed) {
            tracing::info!("Redis answers again");
        }
    }

    async fn fail(&mut self) {
        self.connection = None;
        self.is_well.store(false, Ordering::Relaxed);
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.address.connect(ANSWER_WAIT).await?.0;
        if self.durability == Durability::Replicated {
            // WAIT waits for what was written on its own connection. What a connection before this one wrote, and found
            // no answer to, is behind this.
            redis::cmd("INCR").arg(format!("{PREFIX}lines")).exec_async(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Sends one pipeline.
    async fn send(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut answers: Vec<RedisResult<Value>> = pipeline.query_async(&mut connection).await?;
        if self.durability == Durability::Replicated {
            let mut heard = answers.pop().unwrap_or(Ok(Value::Nil))?;
            // Done, but not yet kept by two: nobody is told before it is.
            while !matches!(heard, Value::Int(1..)) {
                self.is_well.store(false, Ordering::Relaxed);
                heard = redis::cmd("WAIT").arg(1).arg(REPLICA_WAIT_MS).query_async(&mut connection).await?;
            }
        }
        self.connection = Some(connection);
        Ok(answers)
    }
}
