//! The outcome of a command, read from its place in the replies of a pipeline.

use super::reply::{self, DONE, DONE_BEFORE, FENCED, NO_ROOM, NOT_RETAINED, REPEATED, StoreReply};
use crate::store::{Published, StoreOutcome};

/// Where the reply to a command stands in the replies of the pipeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyPlace {
    pub(super) call: usize,
    pub(super) part: ReplyPart,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum ReplyPart {
    /// The command's receivers among those of the call, and a bit for each of its forwards.
    Publish {
        first: usize,
        receivers: usize,
        forwards: u64,
    },
    /// Which of the sessions.
    Acknowledge(usize),
    Change,
    Status,
}

impl ReplyPlace {
    /// The outcome of the command; `None`: an inbox without room held it back.
    pub(super) fn outcome(&self, reply: StoreReply<'_>) -> Option<StoreOutcome> {
        let status = reply.at(0).signed().unwrap_or(FENCED);
        Some(match self.part {
            ReplyPart::Acknowledge(at) => committed(reply.at(at).signed().unwrap_or(FENCED)),
            ReplyPart::Status => committed(status),
            ReplyPart::Change if status < 0 => StoreOutcome::Fenced,
            ReplyPart::Change => {
                let settled = reply.at(2).number() == Some(1);
                StoreOutcome::Changed { existed: status == 1, version: reply.at(1).number().unwrap_or(0), settled }
            }
            ReplyPart::Publish { .. } if status == NO_ROOM => return None,
            ReplyPart::Publish { first, receivers, forwards } => published(status, reply, first, receivers, forwards),
        })
    }
}

fn committed(status: i64) -> StoreOutcome {
    if status == DONE { StoreOutcome::Done } else { StoreOutcome::Fenced }
}

fn published(status: i64, reply: StoreReply<'_>, first: usize, receivers: usize, forwards: u64) -> StoreOutcome {
    match status {
        FENCED => return StoreOutcome::Fenced,
        REPEATED => return StoreOutcome::Published(Published { repeated: true, ..Published::default() }),
        // The reply was lost: the queues say which numbers the message has.
        DONE_BEFORE => {
            let numbers = vec![Some(0); receivers];
            return StoreOutcome::Published(Published { numbers, ..Published::default() });
        }
        _ => {}
    }
    let skipped_replicas = u64::from((reply.at(1).number().unwrap_or(0) & forwards).count_ones());
    if first == 0 {
        reply::log_broken(reply.at(4));
    }
    let range = first as u64..(first + receivers) as u64;
    let refused = reply.at(2).items().filter_map(StoreReply::number).filter(|receiver| range.contains(receiver));
    let refused = refused.filter_map(|receiver| usize::try_from(receiver - range.start).ok()).collect();
    let numbers = reply.at(3).items().map(StoreReply::number).collect();
    let not_retained = status == NOT_RETAINED;
    StoreOutcome::Published(Published { numbers, not_retained, refused, skipped_replicas, ..Published::default() })
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    #[test]
    fn each_command_finds_its_own_reply() {
        let list = |numbers: &[i64]| Value::Array(numbers.iter().copied().map(Value::Int).collect());
        let reply = Value::Array(vec![Value::Int(0), Value::Int(2), list(&[1, 4]), list(&[])]);
        let refused = |first, receivers, forwards| {
            let place = ReplyPlace { call: 0, part: ReplyPart::Publish { first, receivers, forwards } };
            match place.outcome(StoreReply(&reply)) {
                Some(StoreOutcome::Published(published)) => (published.refused.len(), published.skipped_replicas),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((refused(0, 2, 1), refused(2, 2, 3), refused(0, 5, 2)), ((1, 0), (0, 1), (2, 1)));
        let reply = Value::Array(vec![Value::Int(1), Value::Int(0), list(&[1]), list(&[7, -1])]);
        let part = ReplyPart::Publish { first: 0, receivers: 2, forwards: u64::MAX };
        let expected =
            Published { numbers: vec![Some(7), None], not_retained: true, refused: vec![1], ..Published::default() };
        let outcome = ReplyPlace { call: 0, part }.outcome(StoreReply(&reply));
        assert_eq!(outcome, Some(StoreOutcome::Published(expected)));
        let fenced = list(&[0, FENCED]);
        let settled = |at| ReplyPlace { call: 0, part: ReplyPart::Acknowledge(at) }.outcome(StoreReply(&fenced));
        assert_eq!((settled(0), settled(1)), (Some(StoreOutcome::Done), Some(StoreOutcome::Fenced)));
        assert_eq!(ReplyPlace { call: 0, part }.outcome(StoreReply(&list(&[NO_ROOM]))), None);
    }
}
