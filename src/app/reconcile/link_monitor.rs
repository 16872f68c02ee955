//! Link states and port counters from the controller: a link that breaks or comes back becomes the same command as an
//! operator's change of a link; measured loads are kept beside the books.
//!
//! A link is taken for broken if a port at its end says so; or if it was discovered before, is not any more for a while,
//! and both its switches answer. A controller that was just started discovers nothing yet: that breaks no link.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::{App, Mode};
use super::controller_status::{Load, StatusCell};
use super::throttled_driver::ThrottledDriver;
use super::worker::topology;
use crate::southbound::{DriverError, Port};
use kernel::Command;
use kernel::command::LinkChange;
use kernel::controller::Controller;
use kernel::discovery::{SeenLink, SeenPort, Survey};
use kernel::id::{LinkIx, Name};
use kernel::intent::{Dpid, PortNo};
use kernel::topology::{Link, LinkState, Topology};
use kernel::units::Bandwidth;

/// How often links are looked at.
const LINKS_EVERY: Duration = Duration::from_millis(500);
/// How often ports are counted, in looks at links.
const COUNT_EVERY: u32 = 4;
/// After how many looks a link is taken for broken that is not discovered any more although its ports live.
const SILENT_LOOKS: u32 = 20;

pub(super) async fn run(app: App, controller: Arc<Controller>, driver: Arc<ThrottledDriver>, status: Arc<StatusCell>) {
    let mut monitor = LinkMonitor {
        app,
        controller,
        driver,
        status,
        discovered: BTreeSet::new(),
        missed: BTreeMap::new(),
        broken: BTreeSet::new(),
        counted: BTreeMap::new(),
    };
    let mut look: u32 = 0;
    loop {
        sleep(LINKS_EVERY).await;
        // The worker probes an unreachable controller.
        if monitor.status.status().reachable != Some(true) {
            continue;
        }
        let Some(topology) = topology(monitor.app.clone(), monitor.controller.topology.clone()).await else { continue };
        if let Err(error) = monitor.look_at_links(&topology).await {
            tracing::debug!(controller = %monitor.controller.name, %error, "links could not be looked at");
        }
        if look.is_multiple_of(COUNT_EVERY) {
            monitor.count(&topology).await;
        }
        look = look.wrapping_add(1);
    }
}

struct LinkMonitor {
    app: App,
    controller: Arc<Controller>,
    driver: Arc<ThrottledDriver>,
    status: Arc<StatusCell>,
    /// Links that the controller has discovered since we monitor.
    discovered: BTreeSet<Name>,
    /// Links that it does not discover any more, and for how many looks.
    missed: BTreeMap<Name, u32>,
    /// Links that were seen to be broken: they come back when they are discovered again. One that an operator took down
    /// stays down.
    broken: BTreeSet<Name>,
    counted: BTreeMap<(Dpid, PortNo), (u64, Instant)>,
}

impl LinkMonitor {
    async fn look_at_links(&mut self, topology: &Topology) -> Result<(), DriverError> {
        let seen = self.driver.links().await?;
        let seen: BTreeSet<SeenLink> = seen.into_iter().map(|link| SeenLink { from: link.from, to: link.to }).collect();
        let mut ports: BTreeMap<Dpid, Option<Vec<Port>>> = BTreeMap::new();
        let mut done: BTreeSet<LinkIx> = BTreeSet::new();
        for (ix, link) in topology.links() {
            let Some(ends) = ends(topology, link) else { continue };
            let wanted = if seen.contains(&ends) {
                self.is_there(link)
            } else {
                for dpid in [ends.from.0, ends.to.0] {
                    if let Entry::Vacant(place) = ports.entry(dpid) {
                        place.insert(self.driver.ports(dpid).await.ok());
                    }
                }
                self.is_missing(link, &ends, &ports, seen.is_empty())
            };
            // The other direction of the same fibre shares its state.
            if let Some(state) = wanted.filter(|state| *state != link.state)
                && link.twin.is_none_or(|twin| !done.contains(&twin))
            {
                done.insert(ix);
                self.change(link, state).await;
            }
        }
        Ok(())
    }

    fn is_there(&mut self, link: &Link) -> Option<LinkState> {
        self.missed.remove(&link.name);
        self.discovered.insert(link.name.clone());
        let was_broken = self.broken.remove(&link.name);
        Some(LinkState::Up).filter(|_| was_broken && link.state == LinkState::Down)
    }

    fn is_missing(
        &mut self,
        link: &Link,
        ends: &SeenLink,
        ports: &BTreeMap<Dpid, Option<Vec<Port>>>,
        nothing_is_seen: bool,
    ) -> Option<LinkState> {
        let live = |(dpid, port): (Dpid, PortNo)| {
            let ports = ports.get(&dpid)?.as_ref()?;
            Some(ports.iter().find(|other| other.number == port)?.live)
        };
        let lives = (live(ends.from), live(ends.to));
        let is_cut = lives.0 == Some(false) || lives.1 == Some(false);
        let missed = self.missed.entry(link.name.clone()).or_default();
        *missed = missed.saturating_add(1);
        let is_silent = lives == (Some(true), Some(true))
            && self.discovered.contains(&link.name)
            && *missed >= SILENT_LOOKS
            && !nothing_is_seen;
        if !is_cut && !is_silent {
            return None;
        }
        self.broken.insert(link.name.clone());
        Some(LinkState::Down).filter(|_| link.state == LinkState::Up)
    }

    async fn change(&self, link: &Link, state: LinkState) {
        tracing::info!(controller = %self.controller.name, link = %link.name, ?state, "the controller sees a link change");
        let command = Command::ChangeLink {
            topology: self.controller.topology.clone(),
            link: link.name.clone(),
            change: LinkChange { state: Some(state), ..LinkChange::default() },
        };
        match self.app.submit_one(command, Mode::Commit, None).await {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => tracing::warn!(link = %link.name, %refusal, "a link's change was refused"),
            Err(error) => tracing::warn!(link = %link.name, %error, "a link's change could not be decided yet"),
        }
    }

    async fn count(&mut self, topology: &Topology) {
        let links: Vec<_> =
            topology.links().filter_map(|(ix, link)| ends(topology, link).map(|ends| (ix, ends.from))).collect();
        let switches: BTreeSet<Dpid> = links.iter().map(|(_, (dpid, _))| *dpid).collect();
        let known: BTreeMap<Dpid, _> = self.status.status().switches;
        let mut sent: BTreeMap<(Dpid, PortNo), (u64, Instant)> = BTreeMap::new();
        for dpid in switches.into_iter().filter(|dpid| matches!(known.get(dpid), Some(None))) {
            let Ok(counters) = self.driver.port_counters(dpid).await else { continue };
            let now = Instant::now();
            sent.extend(counters.iter().map(|counter| ((dpid, counter.port), (counter.sent_bytes, now))));
        }
        let at = self.app.now();
        for (ix, from) in links {
            let (Some((now, when)), Some((before, since))) = (sent.get(&from), self.counted.get(&from)) else {
                continue;
            };
            let past_us = when.duration_since(*since).as_micros();
            // A switch that was restarted counts from nothing again.
            let Some(bytes) = now.checked_sub(*before).filter(|_| past_us > 0) else { continue };
            let bps = u128::from(bytes) * 8_000_000 / past_us;
            let carried_bps = Bandwidth::saturating_from_bps(u64::try_from(bps).unwrap_or(u64::MAX)).as_bps();
            self.status.set_load(ix, Load { carried_bps, at });
        }
        self.counted = sent;
    }
}

/// Where a link is plugged in, if the topology says so.
fn ends(topology: &Topology, link: &Link) -> Option<SeenLink> {
    let dpid = |ix| Some(Dpid(topology.node(ix)?.switch.as_ref()?.dpid));
    Some(SeenLink { from: (dpid(link.from)?, PortNo(link.from_port?)), to: (dpid(link.to)?, PortNo(link.to_port?)) })
}

/// Everything that the controller knows of its network.
pub(super) async fn survey(driver: &ThrottledDriver) -> Result<Survey, DriverError> {
    let mut survey = Survey::default();
    for dpid in driver.switches().await? {
        let ports = driver.ports(dpid).await?;
        let port = |port: Port| SeenPort {
            number: port.number,
            is_live: port.live,
            speed: port.speed_bps.map(Bandwidth::saturating_from_bps),
        };
        survey.switches.insert(dpid, ports.into_iter().map(port).collect());
    }
    let links = driver.links().await?;
    survey.links = links.into_iter().map(|link| SeenLink { from: link.from, to: link.to }).collect();
    Ok(survey)
}
