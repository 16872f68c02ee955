//! Publications that nothing guards and nobody retains: most of them. Neighbours in a batch go in one call of a script,
//! and what is for another replica goes there as one pack, so that neither costs Redis a call a message.

use std::collections::HashMap;

use redis::Cmd;

use super::{script, stored};
use crate::mqtt::codec::Qos;
use crate::mqtt::limits::{QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX};
use crate::mqtt::message::{ClientId, ReplicaId};
use crate::mqtt::store::Publication;

/// Bytes of messages in one call, about: others wait while Redis carries it out.
const CALL_BYTES: usize = 32 * 1024;

/// Publications for one call.
#[derive(Default)]
pub(super) struct Plain {
    /// How many sessions each publication is appended to.
    counts: Vec<usize>,
    sessions: Vec<ClientId>,
    /// Where a session stands among them, counted from one.
    places: HashMap<ClientId, usize>,
    appended: Vec<Appended>,
    packs: Vec<(ReplicaId, Vec<u8>)>,
    bytes: usize,
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

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= CALL_BYTES
    }

    pub(super) fn add(&mut self, publication: &Publication) {
        let message = stored::write_message(&publication.message);
        self.bytes += message.len();
        for replica in &publication.forwards {
            let at = self.packs.iter().position(|(known, _)| known == replica).unwrap_or_else(|| {
                self.packs.push((*replica, Vec::new()));
                self.packs.len() - 1
            });
            stored::pack(&message, &mut self.packs[at].1);
        }
        self.counts.push(publication.appends.len());
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

    /// The call, and how many sessions each publication is appended to.
    pub(super) fn call(self, me: &str) -> (Cmd, Vec<usize>) {
        let mut call = script::PLAIN.call();
        call.arg(me).arg(QUEUE_MESSAGES_MAX).arg(QUEUE_BYTES_MAX);
        call.arg(self.sessions.len());
        for client in &self.sessions {
            call.arg(&**client);
        }
        call.arg(self.packs.len());
        for (replica, pack) in &self.packs {
            call.arg(replica.to_string()).arg(pack);
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
