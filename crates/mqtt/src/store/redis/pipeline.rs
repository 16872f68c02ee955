//! The pipeline to Redis: the commands of all connections go out together, and the next pipeline goes when it has been
//! answered. So a batch is as large as the load makes it, and waiting for a replica of Redis costs one command a pipeline.
//!
//! What must stay true: a request is answered only when Redis has carried out all of it (and, if asked for, a replica has
//! it); until then it is retried, in its order, for as long as its requester waits. Nothing grows while Redis is away:
//! each connection has at most one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::PREFIX;
use super::address::RedisAddress;
use super::batcher::Batcher;
use super::request::{Payload, PendingCommand, PipelineResult, RawCommand, StoreRequest, finish_requests};
use crate::store::StoreError;

/// Requests that wait for the pipeline.
const REQUESTS_MAX: usize = 1024;
/// Commands in one pipeline, about.
const COMMANDS_A_PIPELINE: usize = 1024;
/// How long a pipeline may take before the connection is given up.
const REPLY_WAIT: Duration = Duration::from_secs(3);
/// How long Redis waits for a replica before it is asked again, in milliseconds.
const REPLICA_WAIT_MS: u64 = 500;
/// Pauses between retries: the first and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// For so long after an inbox had no room connections share no calls, so that only those with a message for it wait.
const APART: Duration = Duration::from_secs(1);

/// When a batch counts as committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Redis has it. A failover may lose what its replica had not yet received: milliseconds, mostly.
    #[default]
    Async,
    /// A replica of Redis has it as well. (It is still not consensus: a failover to another replica may lose it.)
    Replicated,
}

/// Pauses that double from `first` to `longest`, without end.
pub(super) fn backoff(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times().build()
}

/// The handle that connections use.
#[derive(Clone, Debug)]
pub(super) struct RedisPipeline {
    requests: mpsc::Sender<StoreRequest>,
    is_available: Arc<AtomicBool>,
}

impl RedisPipeline {
    /// Starts the task of the pipeline; it connects for the first request.
    pub(super) fn open(address: RedisAddress, name: String, durability: Durability) -> Self {
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let is_available = Arc::new(AtomicBool::new(true));
        let task = PipelineTask {
            address,
            name,
            durability,
            is_available: Arc::clone(&is_available),
            connection: None,
            pauses: backoff(PAUSE_MIN, PAUSE_MAX),
            apart_until: None,
            batches: 0,
        };
        tokio::spawn(task.run(waiting));
        Self { requests, is_available }
    }

    /// Sends Redis commands; returns their replies.
    pub(super) async fn query<const N: usize>(&self, commands: [Cmd; N]) -> Result<[Value; N], StoreError> {
        let commands = commands.into_iter().map(RawCommand::new).collect();
        let Payload::Raw(commands) = self.submit(Payload::Raw(commands), false).await? else {
            return Err(StoreError::Shut);
        };
        let replies: Vec<_> = commands.into_iter().map(|raw| raw.reply).collect();
        replies.try_into().map_err(|_| StoreError::Shut)
    }

    /// Carries out the commands that have no outcome yet; those that an inbox holds back still have none. `is_apart`: in
    /// no call with other connections' commands.
    pub(super) async fn commit(
        &self,
        commands: Vec<PendingCommand>,
        is_apart: bool,
    ) -> Result<Vec<PendingCommand>, StoreError> {
        match self.submit(Payload::Commands(commands), is_apart).await? {
            Payload::Commands(commands) => Ok(commands),
            Payload::Raw(_) => Ok(Vec::new()),
        }
    }

    async fn submit(&self, payload: Payload, is_apart: bool) -> Result<Payload, StoreError> {
        let (request, answered) = StoreRequest::new(payload, is_apart);
        self.requests.send(request).await.map_err(|_| StoreError::Shut)?;
        answered.await.map_err(|_| StoreError::Shut)?
    }

    pub(super) fn is_available(&self) -> bool {
        self.is_available.load(Ordering::Relaxed)
    }
}

/// The task that owns the connection to Redis.
struct PipelineTask {
    address: RedisAddress,
    /// Of this replica of the broker.
    name: String,
    durability: Durability,
    is_available: Arc<AtomicBool>,
    connection: Option<MultiplexedConnection>,
    pauses: ExponentialBackoff,
    apart_until: Option<Instant>,
    /// Counted for their names.
    batches: u64,
}

impl PipelineTask {
    async fn run(mut self, mut waiting: mpsc::Receiver<StoreRequest>) {
        let mut requests: Vec<StoreRequest> = Vec::new();
        loop {
            if requests.is_empty() {
                let Some(request) = waiting.recv().await else { return };
                requests.push(request);
            }
            let mut count: usize = requests.iter().map(StoreRequest::len).sum();
            while count < COMMANDS_A_PIPELINE
                && let Ok(request) = waiting.try_recv()
            {
                count += request.len();
                requests.push(request);
            }
            requests.retain(|request| !request.is_cancelled());
            if requests.is_empty() {
                continue;
            }
            let pipeline = self.pipeline(&mut requests);
            match self.send(&pipeline).await {
                Ok(values) => {
                    let PipelineResult { retries, has_failed, has_held_back } = finish_requests(requests, values);
                    if has_held_back {
                        self.apart_until = Some(Instant::now() + APART);
                    }
                    requests = retries;
                    if has_failed { self.fail().await } else { self.recover() }
                }
                Err(error) => {
                    if self.is_available.load(Ordering::Relaxed) {
                        tracing::warn!(%error, "Redis does not answer; retrying");
                    }
                    self.fail().await;
                }
            }
        }
    }

    /// The commands of all requests.
    fn pipeline(&mut self, requests: &mut [StoreRequest]) -> Pipeline {
        self.apart_until = self.apart_until.filter(|until| Instant::now() < *until);
        let (name, batches, all_apart) = (&self.name, &mut self.batches, self.apart_until.is_some());
        let mut batch = || {
            *batches += 1;
            format!("{name}-{batches}")
        };
        let mut batcher = Batcher::new(name, batch());
        for request in requests {
            let is_apart = all_apart || request.is_apart;
            if is_apart {
                batcher.set_apart(batch());
            }
            request.add_to(&mut batcher);
            if is_apart {
                batcher.set_apart(batch());
            }
        }
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        batcher.commands().for_each(|command| {
            pipeline.add_command(command);
        });
        if self.durability == Durability::Replicated {
            pipeline.cmd("WAIT").arg(1).arg(REPLICA_WAIT_MS);
        }
        pipeline
    }

    fn recover(&mut self) {
        self.pauses = backoff(PAUSE_MIN, PAUSE_MAX);
        if !self.is_available.swap(true, Ordering::Relaxed) {
            tracing::info!("Redis answers again");
        }
    }

    async fn fail(&mut self) {
        self.connection = None;
        self.is_available.store(false, Ordering::Relaxed);
        tokio::time::sleep(self.pauses.next().unwrap_or(PAUSE_MAX)).await;
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.address.connect(REPLY_WAIT).await?.0;
        if self.durability == Durability::Replicated {
            // WAIT waits for the writes of its own connection. This write comes after those of an earlier connection whose
            // replies were lost.
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
            let mut replicated = answers.pop().unwrap_or(Ok(Value::Nil))?;
            // Carried out, but not replicated yet: no request is answered before it is.
            while !matches!(replicated, Value::Int(1..)) {
                self.is_available.store(false, Ordering::Relaxed);
                replicated = redis::cmd("WAIT").arg(1).arg(REPLICA_WAIT_MS).query_async(&mut connection).await?;
            }
        }
        self.connection = Some(connection);
        Ok(answers)
    }
}
