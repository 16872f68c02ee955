//! What the switches hold: read when it is not known, and audited while it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::super::controller_status::FieldEvent;
use super::super::readback::{self, Content, Depth, Finding, Telling};
use super::switch_io::{read_one, topology};
use super::{Occasion, Worker};
use crate::southbound::DriverError;
use kernel::intent::{Damage, Dpid, Foreign};

/// How many times as long audits are apart where a controller tells a switch's content in parts only: each costs it more.
const IN_PARTS_TIMES: u32 = 2;

/// At every how many audits that cost little packets are counted at the ends of some paths: that takes several questions.
const ARRIVALS_EVERY: u64 = 2;

impl Worker {
    /// Asks which switches are there, and audits those of which something is known.
    pub(super) async fn probe_switches(&mut self) -> Result<(), DriverError> {
        let connected: BTreeSet<Dpid> = self.driver.switches().await?.into_iter().collect();
        self.closed_until = None;
        let ours = self.switches().await;
        self.lost.retain(|dpid, _| ours.contains(dpid));
        for dpid in &ours {
            if connected.contains(dpid) {
                if !self.seen.contains_key(dpid) {
                    self.doubtful.insert(*dpid);
                }
            } else {
                self.mark_unusable(*dpid, &DriverError::UnknownSwitch { dpid: *dpid });
            }
        }
        if Instant::now() >= self.audit_at {
            self.audit_next().await?;
            if self.telling == Telling::InParts || self.turn.is_multiple_of(ARRIVALS_EVERY) {
                self.count_arrivals().await?;
            }
            self.turn = self.turn.wrapping_add(1);
            // One after the other, so that what is decided does not wait for all; the time that an audit takes is not added.
            let switches = u32::try_from(self.seen.len()).unwrap_or(u32::MAX).max(1);
            let every = match self.telling {
                Telling::AtOnce => self.app.inner.audit_every,
                Telling::InParts => self.app.inner.audit_every * IN_PARTS_TIMES,
            } / switches;
            self.audit_at = (self.audit_at + every).max(Instant::now() + every / 2);
        }
        if !self.is_loaded {
            self.read_doubtful(Occasion::Time).await?;
        }
        Ok(())
    }

    /// The switches of the topology, and those where something should be or is.
    pub(super) async fn switches(&self) -> BTreeSet<Dpid> {
        let named = topology(self.app.clone(), self.controller.topology.clone()).await;
        let named = named.iter().flat_map(|topology| topology.nodes());
        let named = named.filter_map(|(_, node)| node.switch.as_ref().map(|switch| Dpid(switch.dpid)));
        named.chain(self.plan.tables().keys().copied()).chain(self.seen.keys().copied()).collect()
    }

    /// Audits the switch whose turn it is.
    async fn audit_next(&mut self) -> Result<(), DriverError> {
        let known = |dpid: &&Dpid| !self.doubtful.contains(*dpid);
        let next = self.seen.keys().find(|dpid| Some(**dpid) > self.audited && known(dpid)).copied();
        let Some(dpid) = next.or_else(|| {
            self.audits = self.audits.wrapping_add(1);
            self.seen.keys().find(known).copied()
        }) else {
            return Ok(());
        };
        self.audited = Some(dpid);
        let Some(table) = self.seen.get(&dpid) else { return Ok(()) };
        let nothing = Foreign::default();
        let known = (table, self.plan.foreign(dpid).unwrap_or(&nothing));
        let depth = if self.suspects.is_at(dpid) { Depth::Whole } else { Depth::Slice(self.audits) };
        let found = readback::audit(&self.driver, dpid, known, depth).await.map(|(finding, telling)| {
            self.telling = telling;
            finding
        });
        match found {
            Ok(Finding::Same) => {
                let now = Instant::now();
                self.looked_at.insert(dpid, now);
                for id in self.suspects.confirm(now, dpid) {
                    self.unsettled.entry(id).or_insert(now);
                }
            }
            Ok(Finding::Other(content)) => self.on_other_content(dpid, content),
            Err(error) => self.on_error(dpid, error)?,
        }
        self.arrange();
        Ok(())
    }

    /// A switch holds something else than was known. One that another instance writes to does so all the time.
    fn on_other_content(&mut self, dpid: Dpid, content: Content) {
        self.set_content(dpid, content);
        if self.term.is_none() {
            return;
        }
        let steps = self.agenda().len();
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        // What other programs have changed is nothing to repair.
        if steps == 0 {
            return;
        }
        let controller = self.controller.name.clone();
        self.app.inner.controllers.publish(FieldEvent::Repaired { controller, steps });
    }

    pub(super) async fn read_doubtful(&mut self, occasion: Occasion) -> Result<(), DriverError> {
        // A switch that is in trouble is asked again in time, not whenever something is decided.
        let asked = |dpid: &&Dpid| occasion == Occasion::Time || !self.troubles.contains_key(*dpid);
        let doubtful: Vec<Dpid> = self.doubtful.iter().filter(asked).copied().collect();
        let driver = &self.driver;
        let mut questions = Vec::with_capacity(doubtful.len());
        for dpid in doubtful {
            questions.push(read_one(driver, dpid));
        }
        let contents = join_all(questions).await;
        for (dpid, content) in contents {
            match content {
                Ok(content) => {
                    self.doubtful.remove(&dpid);
                    if self.troubles.remove(&dpid).is_some() {
                        self.unsettle_at(dpid);
                    }
                    self.set_content(dpid, content);
                }
                Err(error) => self.on_error(dpid, error)?,
            }
        }
        self.arrange();
        Ok(())
    }

    /// Sets what a switch is known to hold; what it held as it should and does not any more is damage.
    fn set_content(&mut self, dpid: Dpid, (table, foreign): Content) {
        let now = Instant::now();
        self.looked_at.insert(dpid, now);
        self.status.set_lost(dpid, false);
        if self.term.is_some()
            && let (Some(intended), Some(before)) = (self.plan.tables().get(&dpid), self.seen.get(&dpid))
        {
            let damages = Damage::between(intended, before, &table);
            if let Some(first) = damages.first() {
                let (id, of) = (first.allocation, damages.len());
                tracing::warn!(controller = %self.controller.name, %dpid, allocation = %id, of, "{first}");
            }
            self.suspects.add(now, dpid, &damages);
            for damage in damages {
                self.unsettled.entry(damage.allocation).or_insert(now);
            }
        }
        self.lost.remove(&dpid);
        self.seen.insert(dpid, table);
        self.plan.set_foreign(dpid, foreign);
    }

    /// An error of one switch concerns that switch; an error of the controller ends the round.
    pub(super) fn on_error(&mut self, dpid: Dpid, error: DriverError) -> Result<(), DriverError> {
        self.doubtful.insert(dpid);
        if error.is_of_controller() {
            return Err(error);
        }
        self.mark_unusable(dpid, &error);
        Ok(())
    }

    /// Nothing is known of a switch any more but what it held: it cannot be used.
    fn mark_unusable(&mut self, dpid: Dpid, error: &DriverError) {
        if let Some(table) = self.seen.remove(&dpid) {
            self.lost.insert(dpid, table);
            self.status.set_lost(dpid, true);
        }
        self.doubtful.insert(dpid);
        let why: Arc<str> = error.to_string().into();
        if self.troubles.insert(dpid, Arc::clone(&why)).as_ref() != Some(&why) {
            tracing::warn!(controller = %self.controller.name, %dpid, %error, "a switch cannot be used");
            let at = self.app.now();
            self.status.set_status(|status| status.last_error = Some((why, at)));
        }
        self.unsettle_at(dpid);
    }

    fn unsettle_at(&mut self, dpid: Dpid) {
        let now = Instant::now();
        for id in self.plan.at(dpid).collect::<Vec<_>>() {
            self.unsettled.entry(id).or_insert(now);
        }
    }
}
