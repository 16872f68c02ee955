//! The line to Redis: commands of all connections go out together in one pipeline, and the next one goes when it has been
//! answered. So a batch is as large as the load makes it, and waiting for a replica costs one command a pipeline.
//!
//! What must stay true: a job is answered only when Redis has carried out all of it (and, if asked for, a replica has it);
//! until then it is tried again, in its order, for as long as somebody waits for it. Nothing grows while Redis is away:
//! each connection has at most one job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::{mpsc, oneshot};

use super::PREFIX;
use super::address::Address;
use crate::mqtt::store::StoreError;

/// Jobs that wait for the line.
const JOBS_MAX: usize = 1024;
/// Commands of one pipeline, about.
const COMMANDS_A_PIPELINE: usize = 512;
/// How long a pipeline may take before the connection is given up.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// How long Redis waits for a replica before it is asked again, in milliseconds.
const REPLICA_WAIT_MS: u64 = 500;
/// Between tries: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// When a batch counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Redis has it. A failover may lose what its replica had not yet received: milliseconds, mostly.
    #[default]
    Async,
    /// A replica of Redis has it as well. (It is still not consensus: a failover to another replica may lose it.)
    Replicated,
}

/// What one connection wants done.
struct Job {
    /// In the pipeline while they are on their way.
    commands: Vec<Cmd>,
    count: usize,
    answer: oneshot::Sender<Result<Answered, StoreError>>,
}

/// The answers, and what was asked.
pub(super) struct Answered {
    pub(super) values: Vec<Value>,
    asked: Arc<Pipeline>,
    first: usize,
}

impl Answered {
    /// What the answer with this number is to.
    pub(super) fn command(&self, at: usize) -> Option<&Cmd> {
        self.asked.cmd_iter().nth(self.first + at)
    }
}

/// The near end of the line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    jobs: mpsc::Sender<Job>,
    is_well: Arc<AtomicBool>,
}

impl Line {
    /// Opens a line; it connects when there is something to say.
    pub(super) fn open(address: Address, durability: Durability) -> Self {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let is_well = Arc::new(AtomicBool::new(true));
        let far = Far { address, durability, is_well: Arc::clone(&is_well), connection: None, pause: PAUSE_MIN };
        tokio::spawn(far.carry(waiting));
        Self { jobs, is_well }
    }

    /// Has commands carried out.
    pub(super) async fn ask(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, StoreError> {
        Ok(self.ask_whole(commands).await?.values)
    }

    /// The same, with what was asked, to ask some of it again.
    pub(super) async fn ask_whole(&self, commands: Vec<Cmd>) -> Result<Answered, StoreError> {
        let (answer, answered) = oneshot::channel();
        let count = commands.len();
        self.jobs.send(Job { commands, count, answer }).await.map_err(|_| StoreError::Shut)?;
        answered.await.map_err(|_| StoreError::Shut)?
    }

    pub(super) fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed)
    }
}

/// The far end.
struct Far {
    address: Address,
    durability: Durability,
    is_well: Arc<AtomicBool>,
    connection: Option<MultiplexedConnection>,
    pause: Duration,
}

impl Far {
    async fn carry(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs: Vec<Job> = Vec::new();
        loop {
            if jobs.is_empty() {
                let Some(job) = waiting.recv().await else { return };
                jobs.push(job);
            }
            let mut count: usize = jobs.iter().map(|job| job.count).sum();
            while count < COMMANDS_A_PIPELINE
                && let Ok(job) = waiting.try_recv()
            {
                count += job.count;
                jobs.push(job);
            }
            // Nobody waits any more for what was given up.
            jobs.retain(|job| !job.answer.is_closed());
            if jobs.is_empty() {
                continue;
            }
            let pipeline = Arc::new(self.pipeline(&mut jobs));
            match self.send(&pipeline).await {
                Ok(answers) => {
                    jobs = answer(jobs, answers, &pipeline);
                    if jobs.is_empty() {
                        self.recover();
                    } else {
                        self.fail().await;
                    }
                }
                Err(error) => {
                    if self.is_well.load(Ordering::Relaxed) {
                        tracing::warn!(%error, "Redis does not answer; trying again");
                    }
                    take_back(&mut jobs, &pipeline);
                    self.fail().await;
                }
            }
        }
    }

    /// All commands of all jobs.
    fn pipeline(&self, jobs: &mut [Job]) -> Pipeline {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for command in jobs.iter_mut().flat_map(|job| job.commands.drain(..)) {
            pipeline.add_command(command);
        }
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

    /// Sends all jobs in one pipeline.
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

/// Gives the jobs back what was to be done for them.
fn take_back(jobs: &mut [Job], pipeline: &Pipeline) {
    let mut commands = pipeline.cmd_iter();
    for job in jobs {
        job.commands = commands.by_ref().take(job.count).cloned().collect();
    }
}

/// Answers the jobs that were carried out; gives back those that have to be tried again.
fn answer(jobs: Vec<Job>, answers: Vec<RedisResult<Value>>, pipeline: &Arc<Pipeline>) -> Vec<Job> {
    let (mut answers, mut commands) = (answers.into_iter(), pipeline.cmd_iter());
    let (mut again, mut next) = (Vec::new(), 0);
    for mut job in jobs {
        let first = next;
        next += job.count;
        let asked = commands.by_ref().take(job.count);
        let mine: Vec<_> = answers.by_ref().take(job.count).collect();
        let complete = mine.len() == job.count;
        match mine.into_iter().collect::<Result<Vec<Value>, RedisError>>() {
            Ok(values) if complete => {
                asked.for_each(drop);
                let _ = job.answer.send(Ok(Answered { values, asked: Arc::clone(pipeline), first }));
            }
            Err(error) if !is_passing(&error) => {
                asked.for_each(drop);
                tracing::error!(%error, "Redis refuses");
                let _ = job.answer.send(Err(StoreError::Refused(Box::new(error))));
            }
            _ => {
                job.commands = asked.cloned().collect();
                again.push(job);
            }
        }
    }
    again
}

/// Whether trying again may help: the server is not the master any more, is loading, has no replica or no memory, or
/// does not know the scripts yet.
fn is_passing(error: &RedisError) -> bool {
    if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
        return true;
    }
    let text = error.to_string();
    const PASSING: [&str; 9] =
        ["READONLY", "LOADING", "NOREPLICAS", "OOM", "NOSCRIPT", "MASTERDOWN", "TRYAGAIN", "BUSY", "UNBLOCKED"];
    PASSING.iter().any(|code| error.code() == Some(code) || text.contains(code))
}
