//! Clients that admit and release through any replica, each request under a key of its own until it has an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock, RwLockReadGuard};
use std::time::Duration;

use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use crate::client::ask_with;

const NODES: [&str; 6] = ["WA", "CA1", "NJ", "TX", "IL", "GA"];
/// How many allocations a client keeps.
const KEPT: usize = 30;

/// An allocation of a client: the key of its admission, which is its name too, and its id.
#[derive(Clone)]
struct Own {
    key: String,
    id: String,
}

/// What the clients were told, by the keys of admissions. Ids come again after a database lost what it had.
#[derive(Default)]
pub(super) struct Told {
    /// Admitted: the id.
    pub(super) admitted: BTreeMap<String, String>,
    pub(super) released: BTreeSet<String>,
    /// Acknowledged, and not in the database that took over, which followed asynchronously.
    pub(super) lost_by_database: BTreeSet<String>,
    /// Asked for, and not answered yet: each may have been carried out.
    pub(super) under_way: BTreeSet<String>,
    /// Requests that were sent again.
    pub(super) repeated: u64,
    /// Answers that no client expects.
    pub(super) odd: Vec<String>,
}

/// An answer, before it is recorded.
struct Answer<'a> {
    status: u16,
    body: Value,
    is_repeated: bool,
    _passed: RwLockReadGuard<'a, ()>,
}

/// What clients and faults share.
pub(super) struct Field {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) told: Mutex<Told>,
    /// Held for reading during each attempt until its answer is recorded: who has it for writing knows that nothing is on the wire.
    pub(super) gate: RwLock<()>,
    pub(super) stop: AtomicBool,
}

impl Field {
    /// Sends a request until a replica answers what is not a fault. Nothing if the database lost the allocation that it is about.
    fn ask(
        &self,
        client: usize,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<&str>,
        about: &str,
    ) -> Option<Answer<'_>> {
        for attempt in 0.. {
            let address = self.addresses[(client + attempt) % self.addresses.len()];
            let passed = self.gate.read().unwrap();
            {
                let mut told = self.told.lock().unwrap();
                if told.lost_by_database.contains(about) {
                    told.under_way.remove(about);
                    return None;
                }
                told.under_way.insert(about.to_owned());
            }
            match ask_with(address, method, path, headers, body) {
                // An attempt that was given up is still being answered.
                Ok((409, answer)) if answer["type"] == "/problems/idempotency-in-flight" => {}
                Ok((status, body)) if status != 503 && status != 429 => {
                    return Some(Answer { status, body, is_repeated: attempt > 0, _passed: passed });
                }
                _ => self.told.lock().unwrap().repeated += 1,
            }
            drop(passed);
            std::thread::sleep(Duration::from_millis(50));
        }
        unreachable!("attempts do not end")
    }

    /// Admits and releases until told to stop.
    pub(super) fn run(&self, client: usize) {
        let mut mine: Vec<Own> = vec![];
        for at in 0_usize.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            if mine.len() < KEPT || at.is_multiple_of(2) {
                mine.extend(self.admit(client, at));
            } else {
                let own = mine.swap_remove(at % mine.len());
                self.release(client, &own);
            }
        }
    }

    fn admit(&self, client: usize, at: usize) -> Option<Own> {
        let key = format!("{client}-{at}");
        let (ingress, egress) = (NODES[at % 6], NODES[(at + 1 + at / 6 % 5) % 6]);
        let mut body = json!({"topology": "nsfnet", "ingress": ingress, "egress": egress, "class_type": at % 3,
            "bandwidth_bps": 1_000 + at % 1_000, "name": key});
        if at.is_multiple_of(3) {
            // No clock that is wrong ends it early.
            body["expires_at"] = (Timestamp::now() + Span::new().hours(6)).to_string().into();
        }
        let (asked, headers) = (("POST", "/v1/allocations"), [("idempotency-key", key.as_str())]);
        let answer = self.ask(client, asked, &headers, Some(&body.to_string()), &key)?;
        let mut told = self.told.lock().unwrap();
        told.under_way.remove(&key);
        match (answer.status, answer.body["id"].as_str()) {
            (200 | 201, Some(id)) => {
                told.admitted.insert(key.clone(), id.to_owned());
                Some(Own { id: id.to_owned(), key })
            }
            _ => {
                told.odd.push(format!("admission {key}: {} {}", answer.status, answer.body));
                None
            }
        }
    }

    fn release(&self, client: usize, own: &Own) {
        let (path, headers) = (format!("/v1/allocations/{}", own.id), [("if-match", "*")]);
        let Some(answer) = self.ask(client, ("DELETE", &path), &headers, None, &own.key) else { return };
        let mut told = self.told.lock().unwrap();
        told.under_way.remove(&own.key);
        match answer.status {
            204 => drop(told.released.insert(own.key.clone())),
            // The first attempt had been carried out.
            404 | 409 | 410 if answer.is_repeated => drop(told.released.insert(own.key.clone())),
            status => told.odd.push(format!("release of {} ({}): {status} {}", own.key, own.id, answer.body)),
        }
    }
}
