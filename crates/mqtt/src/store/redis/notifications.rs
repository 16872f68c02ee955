//! What others have to say: one blocking read of two streams, the changes and this replica's inbox.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};
use redis::{RedisResult, Value};

use super::address::RedisAddress;
use super::reply::replica;
use super::{PREFIX, script, stored_form};
use crate::message::ReplicaId;
use crate::store::{Notice, RouteChange, RouteEvent, SessionState, StoreError};

/// How long Redis waits for something to say, in milliseconds.
const BLOCK_MS: u64 = 1000;
/// Entries read at a time; each may be a pack of messages.
const COUNT: usize = 256;
/// How long an answer may take before the connection is given up.
const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// The receiving end.
pub(super) struct NotificationReader {
    address: RedisAddress,
    connection: Option<MultiplexedConnection>,
    /// Which run of the server the numbers below are of; none before the first.
    run: Option<String>,
    /// The last change heard of; none: everything has to be read anew.
    version: Option<u64>,
    /// The last entry of the inbox that was read.
    inbox_at: String,
    /// Whether entries that were read are still there, and the bytes of their messages.
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
            inbox_at: BEGINNING.to_owned(),
            untrimmed: false,
            untrimmed_bytes: 0,
        }
    }

    /// Hears what comes after a picture.
    pub(super) fn start_after(&mut self, version: u64) {
        self.version = Some(version);
        BEGINNING.clone_into(&mut self.inbox_at);
        (self.untrimmed, self.untrimmed_bytes) = (false, 0);
    }

    /// Nothing that comes makes sense before there is a new picture.
    pub(super) fn invalidate(&mut self) {
        self.version = None;
    }

    /// Waits for what others have to say.
    pub(super) async fn wait(&mut self, me: ReplicaId, name: &str) -> Result<Vec<Notice>, StoreError> {
        loop {
            let Some(version) = self.version else { return Err(StoreError::LeaseLost(me)) };
            match self.read(name, version).await {
                Ok(None) => {}
                // Entered again by another path, for instance a sweep that found the lease gone.
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
            // Others may want the ear.
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
                    // Another server, or this one has begun anew: its numbers may be behind.
                    self.version = None;
                    self.connection = Some(connection);
                    return Ok(None);
                }
                connection
            }
        };
        let mut pipeline = redis::pipe();
        if self.untrimmed {
            // With the next read, so that nothing that was heard waits for it.
            let mut trim = script::HEARD.call();
            trim.arg(name).arg(behind(&self.inbox_at)).arg(self.untrimmed_bytes);
            pipeline.add_command(trim).ignore();
        }
        let read = pipeline.cmd("XREAD");
        read.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK_MS).arg("STREAMS");
        read.arg(format!("{PREFIX}chg")).arg(format!("{PREFIX}in:{name}"));
        read.arg(format!("{version}-0")).arg(&self.inbox_at);
        let (reply,): (Option<StreamReadReply>,) = pipeline.query_async(&mut connection).await?;
        self.connection = Some(connection);
        (self.untrimmed, self.untrimmed_bytes) = (false, 0);
        Ok(reply)
    }

    fn notices(&mut self, me: ReplicaId, reply: StreamReadReply) -> Vec<Notice> {
        let mut heard = Vec::new();
        for stream in reply.keys {
            let is_changes = stream.key == format!("{PREFIX}chg");
            for StreamId { id, map, .. } in stream.ids {
                if !is_changes {
                    self.untrimmed_bytes += counted_bytes(&map);
                    note(map, &mut heard);
                    self.inbox_at = id;
                    self.untrimmed = true;
                    continue;
                }
                let number = id.split('-').next().and_then(|number| number.parse().ok());
                let (Some(number), Some(known)) = (number, self.version) else { continue };
                if number != known + 1 {
                    tracing::warn!(number, known, "changes are missing; reading everything anew");
                    self.version = None;
                    return heard;
                }
                self.version = Some(number);
                let own = text(&map, "o").and_then(|name| replica(&name)) == Some(me);
                if let Some(what) = change(&map)
                    && (!own || matches!(what, RouteEvent::Retained(_)))
                {
                    heard.push(Notice::Changed(RouteChange { version: number, what }));
                }
            }
        }
        heard
    }
}

const BEGINNING: &str = "0-0";

/// The first id after one.
fn behind(id: &str) -> String {
    let next = |(time, number): (&str, &str)| Some(format!("{time}-{}", number.parse::<u64>().ok()?.checked_add(1)?));
    id.split_once('-').and_then(next).unwrap_or_else(|| id.to_owned())
}

/// What `tell` in `common.lua` counts.
fn counted_bytes(fields: &Fields) -> usize {
    let length = |name| match fields.get(name) {
        Some(Value::BulkString(bytes)) => bytes.len(),
        _ => 0,
    };
    length("m") + length("n")
}

type Fields = HashMap<String, Value>;

fn bytes(fields: &Fields, name: &str) -> Option<Vec<u8>> {
    match fields.get(name)? {
        Value::BulkString(bytes) => Some(bytes.clone()),
        Value::SimpleString(text) => Some(text.clone().into_bytes()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

fn text(fields: &Fields, name: &str) -> Option<String> {
    String::from_utf8(bytes(fields, name)?).ok()
}

/// Adds what an entry of the inbox says.
fn note(mut fields: Fields, heard: &mut Vec<Notice>) {
    let kind = text(&fields, "k");
    let pack = match (kind.as_deref(), fields.remove("m")) {
        (Some("p" | "n"), Some(Value::BulkString(pack))) => stored_form::unpack(pack),
        (_, other) => {
            fields.extend(other.map(|value| ("m".to_owned(), value)));
            heard.extend(notice(&fields));
            return;
        }
    };
    match fields.get("n") {
        Some(Value::BulkString(sessions)) => {
            heard.extend(stored_form::read_numbered(&pack, sessions).into_iter().map(Notice::Numbered));
        }
        _ => heard.extend(pack.into_iter().map(|message| Notice::Forwarded { message, to: None })),
    }
}

fn notice(fields: &Fields) -> Option<Notice> {
    let client = || text(fields, "c").map(Arc::<str>::from);
    match text(fields, "k")?.as_str() {
        "f" => {
            let message = stored_form::read_message(bytes(fields, "m")?)?;
            let options = bytes(fields, "h").and_then(|options| stored_form::read_options(&options));
            Some(Notice::Forwarded { message, to: client().zip(options) })
        }
        "w" => Some(Notice::Wake(client()?)),
        "k" => Some(Notice::Kick { client: client()?, epoch: text(fields, "e")?.parse().ok()? }),
        _ => None,
    }
}

fn change(fields: &Fields) -> Option<RouteEvent> {
    let client = || text(fields, "c").map(Arc::<str>::from);
    let filter = || text(fields, "f").map(ByteString::from);
    let state = || SessionState {
        owner: text(fields, "w").and_then(|name| replica(&name)),
        lasting: text(fields, "l").as_deref() == Some("1"),
    };
    Some(match text(fields, "t")?.as_str() {
        "s" => {
            let granted = stored_form::read_granted(&bytes(fields, "g")?)?;
            RouteEvent::Subscribed { client: client()?, state: state(), filter: filter()?, granted }
        }
        "u" => RouteEvent::Unsubscribed { client: client()?, filter: filter()? },
        "m" => RouteEvent::Moved { client: client()?, state: state() },
        "g" => RouteEvent::Gone { client: client()? },
        "r" => RouteEvent::Retained(stored_form::read_message(bytes(fields, "m")?)?),
        _ => return None,
    })
}
