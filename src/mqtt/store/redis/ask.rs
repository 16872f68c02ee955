//! Operations → commands, and values → outcomes. What Redis answers is taken apart value by value, and what is not as it
//! should be is left out.

use std::sync::Arc;

use bytestring::ByteString;
use redis::{Cmd, Value};

use super::plain::Plain;
use super::{script, stored};
use crate::mqtt::codec::Qos;
use crate::mqtt::limits::{INBOX_MAX, QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX, RETAINED_BYTES_MAX, RETAINED_MAX};
use crate::mqtt::message::{Message, ReplicaId};
use crate::mqtt::router::Granted;
use crate::mqtt::store::{
    DueWill, Guard, Holder, How, Left, Op, Outcome, Publication, Published, Queued, Rest, SessionPicture, Standing,
    WillFate,
};

/// Commands, and what is expected of each.
pub(super) struct Asked {
    pub(super) commands: Vec<Cmd>,
    pub(super) expected: Vec<Expected>,
    /// Under which name publications of this batch hold back those behind them; empty: there are no two of them.
    pub(super) batch: String,
}

/// What one command answers for.
pub(super) enum Expected {
    /// A publication with so many appends.
    Published(usize),
    /// Publications with so many appends and forwards each.
    Plain(Vec<(usize, usize)>),
    Changed,
    /// So many operations of one session.
    Settled(usize),
}

/// What a batch asks for. Neighbouring acknowledgements of one session go as one command, and so do publications that
/// are nothing but that.
pub(super) fn commands(me: &str, mut token: impl FnMut() -> String, batch: Vec<Op>) -> Asked {
    let (commands, expected) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    let mut asked = Asked { commands, expected, batch: String::new() };
    if batch.iter().filter(|op| may_have_to_wait(op)).nth(1).is_some() {
        asked.batch = token();
    }
    let mut settling: Option<Settling> = None;
    let mut plain = Plain::default();
    for op in batch {
        if let Op::Publish(publication) = &op
            && Plain::suits(publication)
        {
            asked.settle(me, settling.take());
            if !plain.has_room_for(publication) {
                asked.publish_plain(me, std::mem::take(&mut plain));
            }
            plain.add(publication);
            continue;
        }
        asked.publish_plain(me, std::mem::take(&mut plain));
        let op = match settlement(op) {
            Ok((holder, kind, numbers, sent)) => {
                let open = settling.take_if(|open| open.holder != holder);
                asked.settle(me, open);
                let open = settling.get_or_insert_with(|| Settling { holder, sent: 0, ops: 0, items: Vec::new() });
                open.sent = open.sent.max(sent);
                open.ops += 1;
                open.items.extend(numbers.into_iter().map(|number| (kind, number)));
                continue;
            }
            Err(op) => op,
        };
        asked.settle(me, settling.take());
        match op {
            Op::Publish(publication) => asked.publish(me, token(), &publication),
            Op::Subscribe { holder, filter, granted } => {
                asked.change(me, &holder, &filter, &stored::write_granted(&granted));
            }
            Op::Unsubscribe { holder, filter } => asked.change(me, &holder, &filter, &[]),
            Op::Detach { holder, sent, rest, will } => asked.detach(me, &holder, sent, rest, will),
            // Taken as settlements above.
            Op::Ack { .. } | Op::Received { .. } | Op::Complete { .. } | Op::Released { .. } => {}
        }
    }
    asked.publish_plain(me, plain);
    asked.settle(me, settling);
    asked
}

/// Whether an inbox without room holds it back.
fn may_have_to_wait(op: &Op) -> bool {
    matches!(op, Op::Publish(publication) if publication.message.qos > Qos::AtMostOnce
        && !(publication.forwards.is_empty() && publication.directs.is_empty()))
}

/// Which commands were not carried out, because an inbox has no room.
pub(super) fn without_room(values: &[Value]) -> Vec<usize> {
    let is_held_back =
        |value: &Value| matches!(value, Value::Array(answer) if answer.first() == Some(&Value::Int(WITHOUT_ROOM)));
    values.iter().enumerate().filter(|(_, value)| is_held_back(value)).map(|(at, _)| at).collect()
}

/// What `publish.lua` and `plain.lua` answer then.
const WITHOUT_ROOM: i64 = -3;

/// Acknowledgements of one session in a row.
struct Settling {
    holder: Holder,
    sent: u64,
    /// How many operations it stands for.
    ops: usize,
    items: Vec<(&'static str, u64)>,
}

/// Whose it is, its kind, its numbers and the last number sent.
fn settlement(op: Op) -> Result<(Holder, &'static str, Vec<u64>, u64), Op> {
    match op {
        Op::Ack { holder, seqs, sent } => Ok((holder, "a", seqs, sent)),
        Op::Received { holder, seq, sent } => Ok((holder, "r", vec![seq], sent)),
        Op::Complete { holder, seq } => Ok((holder, "c", vec![seq], 0)),
        Op::Released { holder, packet_id } => Ok((holder, "f", vec![u64::from(packet_id)], 0)),
        other => Err(other),
    }
}

impl Asked {
    fn push(&mut self, command: Cmd, expected: Expected) {
        self.commands.push(command);
        self.expected.push(expected);
    }

    fn settle(&mut self, me: &str, settling: Option<Settling>) {
        let Some(Settling { holder, sent, ops, items }) = settling else { return };
        let mut call = script::SETTLE.call();
        call.arg(me).arg(&*holder.client).arg(holder.epoch).arg(sent);
        for (kind, number) in &items {
            call.arg(*kind).arg(*number);
        }
        self.push(call, Expected::Settled(ops));
    }

    fn change(&mut self, me: &str, holder: &Holder, filter: &str, granted: &[u8]) {
        let mut call = script::SUBSCRIBE.call();
        call.arg(me).arg(&*holder.client).arg(holder.epoch).arg(filter).arg(granted);
        self.push(call, Expected::Changed);
    }

    fn detach(&mut self, me: &str, holder: &Holder, sent: u64, rest: Rest, will: WillFate) {
        let mut call = script::DETACH.call();
        call.arg(me).arg(&*holder.client).arg(holder.epoch).arg(sent);
        match rest {
            Rest::Nothing => call.arg(-1),
            Rest::Until(at_ms) => call.arg(at_ms),
        };
        match will {
            WillFate::Dropped => call.arg(-1),
            WillFate::Due(from_ms) => call.arg(from_ms),
        };
        self.push(call, Expected::Settled(1));
    }

    fn publish_plain(&mut self, me: &str, plain: Plain) {
        if !plain.is_empty() {
            let (call, counts) = plain.call(me, &self.batch);
            self.push(call, Expected::Plain(counts));
        }
    }

    fn publish(&mut self, me: &str, token: String, publication: &Publication) {
        let Publication { guard, message, appends, forwards, directs, retain } = publication;
        let mut call = script::PUBLISH.call();
        call.arg(me).arg(token);
        match guard {
            Some(Guard::Inbound { holder, packet_id }) => {
                call.arg("i").arg(&*holder.client).arg(holder.epoch).arg(*packet_id);
            }
            Some(Guard::Will { client, epoch }) => {
                call.arg("w").arg(&**client).arg(*epoch).arg("");
            }
            Some(Guard::Left { id }) => {
                call.arg("l").arg("").arg("").arg(id);
            }
            // Tried again after an answer was lost, it must still happen once.
            None if message.qos == Qos::ExactlyOnce => {
                call.arg("o").arg("").arg("").arg("");
            }
            None => {
                call.arg("").arg("").arg("").arg("");
            }
        }
        let kept = match (retain, message.payload.is_empty()) {
            (false, _) => "",
            (true, false) => "s",
            (true, true) => "c",
        };
        call.arg(stored::write_message(message)).arg(kept).arg(if *retain {
            message.topic.as_bytes()
        } else {
            b"".as_slice()
        });
        call.arg(QUEUE_MESSAGES_MAX).arg(QUEUE_BYTES_MAX).arg(RETAINED_MAX).arg(RETAINED_BYTES_MAX);
        call.arg(INBOX_MAX).arg(&self.batch);
        call.arg(appends.len());
        for (client, how) in appends {
            call.arg(&**client).arg(stored::write_how(how));
        }
        call.arg(forwards.len());
        for replica in forwards {
            call.arg(replica.to_string());
        }
        call.arg(directs.len());
        for (replica, client, how) in directs {
            call.arg(replica.to_string()).arg(&**client).arg(stored::write_how(how));
        }
        self.push(call, Expected::Published(appends.len()));
    }
}

/// One outcome for each operation.
pub(super) fn outcomes(mut values: Values, expected: &[Expected]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(expected.len());
    for expected in expected {
        let mut answer = values.next_list();
        let status = answer.signed().unwrap_or(-1);
        match expected {
            Expected::Settled(count) => {
                let outcome = if status == 0 { Outcome::Done } else { Outcome::Fenced };
                outcomes.extend(std::iter::repeat_n(outcome, *count));
            }
            Expected::Changed if status < 0 => outcomes.push(Outcome::Fenced),
            Expected::Changed => {
                outcomes.push(Outcome::Changed { existed: status == 1, version: answer.number().unwrap_or(0) });
            }
            Expected::Published(count) => outcomes.push(published(status, answer, *count)),
            Expected::Plain(counts) => {
                let mut passed_over = answer.number().unwrap_or(0);
                outcomes.extend(counts.iter().map(|(appends, forwards)| {
                    let numbers = answer.by_ref().take(*appends).map(number).collect();
                    // Which of them went past a replica does not matter: they are counted.
                    let mine = passed_over.min(*forwards as u64);
                    passed_over -= mine;
                    Outcome::Published(Published { numbers, passed_over: mine, ..Published::default() })
                }));
            }
        }
    }
    outcomes
}

fn published(status: i64, mut answer: Values, count: usize) -> Outcome {
    let passed_over = answer.number().unwrap_or(0);
    let numbers = match status {
        -1 => return Outcome::Fenced,
        -2 => return Outcome::Published(Published { repeated: true, ..Published::default() }),
        // It happened before its answer was lost; the queues say with which numbers.
        2 => vec![Some(0); count],
        _ => answer.map(number).collect(),
    };
    Outcome::Published(Published { repeated: false, numbers, not_retained: status == 1, passed_over })
}

/// The number given to a message; none was, if the answer says so or nothing.
fn number(value: One) -> Option<u64> {
    value.signed().and_then(|number| u64::try_from(number).ok())
}

/// One value.
pub(super) struct One(Value);

impl One {
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self.0 {
            Value::BulkString(bytes) => Some(bytes),
            Value::SimpleString(text) => Some(text.into_bytes()),
            _ => None,
        }
    }

    fn text(self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn signed(self) -> Option<i64> {
        match self.0 {
            Value::Int(number) => Some(number),
            _ => self.text()?.parse().ok(),
        }
    }

    fn list(self) -> Values {
        match self.0 {
            Value::Array(values) | Value::Set(values) => Values::new(values),
            Value::Map(pairs) => Values::new(pairs.into_iter().flat_map(|(a, b)| [a, b]).collect()),
            _ => Values::new(Vec::new()),
        }
    }
}

/// Values, one after another.
pub(super) struct Values(std::vec::IntoIter<Value>);

impl Iterator for Values {
    type Item = One;

    fn next(&mut self) -> Option<One> {
        self.0.next().map(One)
    }
}

impl Values {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// Without the first ones.
    pub(super) fn skip(mut self, count: usize) -> Self {
        self.0.by_ref().take(count).for_each(drop);
        self
    }

    pub(super) fn next_list(&mut self) -> Values {
        self.next().map_or_else(|| Values::new(Vec::new()), One::list)
    }

    pub(super) fn list(&mut self) -> Values {
        self.next_list()
    }

    pub(super) fn bytes(&mut self) -> Option<Vec<u8>> {
        self.next()?.bytes()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        self.next()?.signed()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.signed().and_then(|number| u64::try_from(number).ok())
    }

    pub(super) fn texts(&mut self) -> Vec<String> {
        self.next_list().filter_map(One::text).collect()
    }

    pub(super) fn numbers(self) -> Vec<u64> {
        self.filter_map(number).collect()
    }
}

/// Pairs of filter and what was granted.
pub(super) fn subscriptions(values: &mut Values) -> Vec<(ByteString, Granted)> {
    let mut found = Vec::new();
    while let Some(filter) = values.next() {
        let granted = values.bytes().and_then(|bytes| stored::read_granted(&bytes));
        if let (Some(filter), Some(granted)) = (filter.text(), granted) {
            found.push((ByteString::from(filter), granted));
        }
    }
    found
}

/// A session that has subscriptions.
pub(super) fn session_picture(client: &str, values: &mut Values) -> Option<SessionPicture> {
    let mut standing = values.next_list();
    let subscriptions = subscriptions(&mut values.next_list());
    let owner = replica(&standing.next()?.text().unwrap_or_default());
    let lasting = standing.number() == Some(1);
    (!subscriptions.is_empty()).then(|| SessionPicture {
        client: client.into(),
        standing: Standing { owner, lasting },
        subscriptions,
    })
}

/// The replica of a name; an empty one is nobody's.
pub(super) fn replica(name: &str) -> Option<ReplicaId> {
    u64::from_str_radix(name, 16).ok().map(ReplicaId)
}

/// An entry of a queue.
pub(super) fn queued(entry: One) -> Option<Queued> {
    let mut entry = entry.list();
    let seq = entry.next()?.text()?.split('-').next()?.parse().ok()?;
    let (message, how) = message_and_how(entry.next_list());
    Some(Queued { seq, message: message?, how: how? })
}

fn message_and_how(mut fields: Values) -> (Option<Arc<Message>>, Option<How>) {
    let (mut message, mut how) = (None, None);
    while let (Some(name), Some(value)) = (fields.bytes(), fields.bytes()) {
        match name.as_slice() {
            b"m" => message = stored::read_message(value),
            b"h" => how = stored::read_how(&value),
            _ => {}
        }
    }
    (message, how)
}

/// Messages that members of shared subscriptions left.
pub(super) fn left(values: Values) -> Vec<Left> {
    let read = |entry: One| {
        let mut entry = entry.list();
        let id = entry.next()?.text()?;
        let (message, how) = message_and_how(entry.next_list());
        Some(Left { id, message: message?, share: how?.share? })
    };
    values.filter_map(read).collect()
}

/// Triples of client, epoch and message.
pub(super) fn due_wills(values: &mut Values) -> Vec<DueWill> {
    let mut due = Vec::new();
    while let Some(client) = values.next() {
        let (epoch, message) = (values.number(), values.bytes().and_then(stored::read_message));
        if let (Some(client), Some(epoch), Some(message)) = (client.text(), epoch, message) {
            due.push(DueWill { client: Arc::from(client), epoch, message });
        }
    }
    due
}
