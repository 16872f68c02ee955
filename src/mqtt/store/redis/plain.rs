//! Publications that nothing guards and nobody retains: most of them. Neighbours in a batch go in one call of a script,
//! and what is for another replica goes there as one pack, so that neither costs Redis a call a message.

use std::collections::HashMap;

use redis::Cmd;

use super::{script, stored};
use crate::mqtt::codec::Qos;
use crate::mqtt::limits::{INBOX_MAX, QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX};
use crate::mqtt::message::{ClientId, ReplicaId};
use crate::mqtt::store::Publication;

/// Bytes of messages in one call, about: others wait while Redis carries it out.
const CALL_BYTES: usize = 32 * 1024;

/// An inbox takes so many packs fewer than single messages: each may be as large as a call.
const PACK_WEIGHT: usize = 16;

/// Publications for one call.
#[derive(Default)]
pub(super) struct Plain {
    /// How many sessions each publication is appended to, and how many replicas it goes to.
    counts: Vec<(usize, usize)>,
    /// Whether they are of QoS 0: those go past an inbox without room, others wait for it.
    may_be_lost: bool,
    sessions: Vec<ClientId>,
    /// Where a session stands among them, counted from one.
    places: HashMap<ClientId, usize>,
    appended: Vec<Appended>,
    packs: Vec<Pack>,
    bytes: usize,
}

/// Messages for one replica.
struct Pack {
    to: ReplicaId,
    count: usize,
    messages: Vec<u8>,
}

struct Appended {
    message: Vec<u8>,
    /// Sessions by their place, and how each gets it.
    takers: Vec<(usize, Vec<u8>)>,
}

impl Plain {
    /// Whether a publication is one of these. One of QoS 2 is not: tried again, it must still happen once.
    pub(super) fn suits(publication: &Publication) -> bool {
        publication.guard.is_none()
            && !publication.retain
            && publication.directs.is_empty()
            && publication.message.qos < Qos::ExactlyOnce
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether a publication may go with those that are here: there are not too many, and all of a kind.
    pub(super) fn has_room_for(&self, publication: &Publication) -> bool {
        self.is_empty() || (self.bytes < CALL_BYTES && self.may_be_lost == may_be_lost(publication))
    }

    pub(super) fn add(&mut self, publication: &Publication) {
        let message = stored::write_message(&publication.message);
        self.bytes += message.len();
        self.may_be_lost = may_be_lost(publication);
        for replica in &publication.forwards {
            let at = self.packs.iter().position(|pack| pack.to == *replica).unwrap_or_else(|| {
                self.packs.push(Pack { to: *replica, count: 0, messages: Vec::new() });
                self.packs.len() - 1
            });
            let pack = &mut self.packs[at];
            pack.count += 1;
            stored::pack(&message, &mut pack.messages);
        }
        self.counts.push((publication.appends.len(), publication.forwards.len()));
        if !publication.appends.is_empty() {
            let appends = publication.appends.iter();
            let takers = appends.map(|(client, how)| (self.place(client), stored::write_how(how))).collect();
            self.appended.push(Appended { message, takers });
        }
    }

    fn place(&mut self, client: &ClientId) -> usize {
        if let Some(place) = self.places.get(client) {
            return *place;
        }
        self.sessions.push(ClientId::clone(client));
        self.places.insert(ClientId::clone(client), self.sessions.len());
        self.sessions.len()
    }

    /// The call, and how many sessions and replicas get each publication. `batch`: see [`super::ask::Asked`].
    pub(super) fn call(self, me: &str, batch: &str) -> (Cmd, Vec<(usize, usize)>) {
        let mut call = script::PLAIN.call();
        call.arg(me).arg(QUEUE_MESSAGES_MAX).arg(QUEUE_BYTES_MAX);
        call.arg(INBOX_MAX / PACK_WEIGHT).arg(batch).arg(u8::from(self.may_be_lost));
        call.arg(self.sessions.len());
        for client in &self.sessions {
            call.arg(&**client);
        }
        call.arg(self.packs.len());
        for Pack { to, count, messages } in &self.packs {
            call.arg(to.to_string()).arg(*count).arg(messages);
        }
        call.arg(self.appended.len());
        for Appended { message, takers } in &self.appended {
            call.arg(message).arg(takers.len());
            for (place, how) in takers {
                call.arg(*place).arg(how);
            }
        }
        (call, self.counts)
    }
}

fn may_be_lost(publication: &Publication) -> bool {
    publication.message.qos == Qos::AtMostOnce
}
