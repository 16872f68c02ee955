//! Notices of other replicas: one blocking read of two streams, the route changes and this replica's inbox.

use std::collections::HashMap;
use std::time::Duration;

use bytestring::ByteString;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};
use redis::{RedisResult, Value};

use super::address::RedisAddress;
use super::reply::{StoreReply, replica};
use super::{PREFIX, script};
use crate::message::{ClientId, ReplicaId};
use crate::store::{Notice, RouteChange, RouteEvent, SessionState, StoreError, stored_form};

/// How long a read blocks without an entry, in milliseconds.
const BLOCK_MS: u64 = 1000;
/// Entries read at a time; each may be a pack of messages.
const COUNT: usize = 256;
/// How long an answer may take before the connection is given up.
const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// The reader of both streams.
pub(super) struct NotificationReader {
    address: RedisAddress,
    connection: Option<MultiplexedConnection>,
    /// The run of the server that the numbers below are of; none before the first connection.
    run: Option<String>,
    /// The last change that was read; none: a new snapshot is needed.
    version: Option<u64>,
    /// The version of the changes that other replicas know to be applied here.
    told_version: Option<u64>,
    /// The last entry of the inbox that was read.
    inbox_at: String,
    /// Entries that were read are not trimmed yet, and the bytes of their messages.
    untrimmed: bool,
    untrimmed_bytes: usize,
}

impl NotificationReader {
    pub(super) fn new(address: RedisAddress) -> Self {
        Self {
            address,
            connection: None,
            run: None,
            version: None,
            told_version: None,
            inbox_at: BEGINNING.to_owned(),
            untrimmed: false,
            untrimmed_bytes: 0,
        }
    }

    /// Reads the entries after a snapshot.
    pub(super) fn start_after(&mut self, version: u64) {
        self.version = Some(version);
        self.told_version = None;
        BEGINNING.clone_into(&mut self.inbox_at);
        (self.untrimmed, self.untrimmed_bytes) = (false, 0);
    }

    /// Entries are of no use before there is a new snapshot.
    pub(super) fn invalidate(&mut self) {
        self.version = None;
    }

    /// Waits for notices. It may return none, so that a sweep or a join can lock the reader.
    pub(super) async fn wait(&mut self, me: ReplicaId, name: &str) -> Result<Vec<Notice>, StoreError> {
        loop {
            let Some(version) = self.version else { return Err(StoreError::LeaseLost(me)) };
            match self.read(name, version).await {
                Ok(None) => {}
                // Invalidated meanwhile.
                Ok(Some(_)) if self.version.is_none() => {}
                Ok(Some(reply)) => {
                    let notices = self.notices(me, reply);
                    if !notices.is_empty() {
                        return Ok(notices);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "no notices");
                    self.connection = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // A sweep or a join may wait for the lock.
            if self.version.is_some() {
                return Ok(Vec::new());
            }
        }
    }

    async fn read(&mut self, name: &str, version: u64) -> RedisResult<Option<StreamReadReply>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let (connection, run) = self.address.connect(ANSWER_WAIT).await?;
                if self.run.replace(run.clone()).is_some_and(|before| before != run) {
                    // Another server, or a restarted one: its numbers may be behind.
                    self.version = None;
                    self.connection = Some(connection);
                    return Ok(None);
                }
                connection
            }
        };
        let mut pipeline = redis::pipe();
        if self.untrimmed {
            // With the next read, so that no notice waits for it.
            let mut trim = script::TRIM_INBOX.call();
            trim.arg(name).arg(behind(&self.inbox_at)).arg(self.untrimmed_bytes);
            pipeline.add_command(trim).ignore();
        }
        if self.told_version != Some(version) {
            // What was read before has been applied by now.
            pipeline.cmd("HSET").arg(format!("{PREFIX}seen")).arg(name).arg(version).ignore();
        }
        let read = pipeline.cmd("XREAD");
        read.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK_MS).arg("STREAMS");
        read.arg(format!("{PREFIX}chg")).arg(format!("{PREFIX}in:{name}"));
        read.arg(format!("{version}-0")).arg(&self.inbox_at);
        let (reply,): (Option<StreamReadReply>,) = pipeline.query_async(&mut connection).await?;
        self.connection = Some(connection);
        self.told_version = Some(version);
        (self.untrimmed, self.untrimmed_bytes) = (false, 0);
        Ok(reply)
    }

    fn notices(&mut self, me: ReplicaId, reply: StreamReadReply) -> Vec<Notice> {
        let mut notices = Vec::new();
        for stream in reply.keys {
            let is_changes = stream.key == format!("{PREFIX}chg");
            for StreamId { id, map, .. } in stream.ids {
                if !is_changes {
                    self.untrimmed_bytes += counted_bytes(&map);
                    read_entry(&map, &mut notices);
                    self.inbox_at = id;
                    self.untrimmed = true;
                    continue;
                }
                let number = id.split('-').next().and_then(|number| number.parse().ok());
                let (Some(number), Some(known)) = (number, self.version) else { continue };
                if number != known + 1 {
                    tracing::warn!(number, known, "route changes are missing; reading a new snapshot");
                    self.version = None;
                    return notices;
                }
                self.version = Some(number);
                let own = field(&map, "o").text().and_then(replica) == Some(me);
                if let Some(what) = route_event(&map)
                    && (!own || matches!(what, RouteEvent::Retained(_)))
                {
                    notices.push(Notice::Changed(RouteChange { version: number, what }));
                }
            }
        }
        notices
    }
}

const BEGINNING: &str = "0-0";

/// The first id after one.
fn behind(id: &str) -> String {
    let next = |(time, number): (&str, &str)| Some(format!("{time}-{}", number.parse::<u64>().ok()?.checked_add(1)?));
    id.split_once('-').and_then(next).unwrap_or_else(|| id.to_owned())
}

/// The bytes that `notify` in `common.lua` counts.
fn counted_bytes(fields: &Fields) -> usize {
    ["m", "n"].iter().filter_map(|name| field(fields, name).bytes()).map(<[u8]>::len).sum()
}

type Fields = HashMap<String, Value>;

fn field<'a>(fields: &'a Fields, name: &str) -> StoreReply<'a> {
    StoreReply(fields.get(name).unwrap_or(&Value::Nil))
}

fn client(fields: &Fields) -> Option<ClientId> {
    field(fields, "c").text().map(ClientId::from)
}

/// Adds the notices of an inbox entry: `p` a pack of messages, `n` numbered messages, `f` a message for one connection,
/// `w` a queue has more, `k` another connection has claimed the session.
fn read_entry(fields: &Fields, notices: &mut Vec<Notice>) {
    let message = field(fields, "m").bytes().unwrap_or_default();
    match field(fields, "k").text() {
        Some("p") => {
            let pack = stored_form::unpack(message).into_iter();
            notices.extend(pack.map(|message| Notice::Forwarded { message, to: None }));
        }
        Some("n") => {
            let sessions = field(fields, "n").bytes().unwrap_or_default();
            let numbered = stored_form::read_numbered(&stored_form::unpack(message), sessions);
            notices.extend(numbered.into_iter().map(Notice::Numbered));
        }
        Some("f") => {
            let options = field(fields, "h").bytes().and_then(stored_form::read_options);
            let to = client(fields).zip(options);
            notices.extend(stored_form::read_message(message).map(|message| Notice::Forwarded { message, to }));
        }
        Some("w") => notices.extend(client(fields).map(Notice::Wake)),
        Some("k") => {
            let kicked = client(fields).zip(field(fields, "e").number());
            notices.extend(kicked.map(|(client, epoch)| Notice::Kick { client, epoch }));
        }
        _ => {}
    }
}

fn route_event(fields: &Fields) -> Option<RouteEvent> {
    let client = || client(fields);
    let filter = || field(fields, "f").text().map(ByteString::from);
    let state = || SessionState {
        owner: field(fields, "w").text().and_then(replica),
        lasting: field(fields, "l").number() == Some(1),
    };
    Some(match field(fields, "t").text()? {
        "s" => {
            let granted = stored_form::read_granted(field(fields, "g").bytes()?)?;
            RouteEvent::Subscribed { client: client()?, state: state(), filter: filter()?, granted }
        }
        "u" => RouteEvent::Unsubscribed { client: client()?, filter: filter()? },
        "m" => RouteEvent::Moved { client: client()?, state: state() },
        "g" => RouteEvent::Gone { client: client()? },
        "r" => RouteEvent::Retained(stored_form::read_message(field(fields, "m").bytes()?)?),
        _ => return None,
    })
}
