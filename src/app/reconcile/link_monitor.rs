//! Link states and port counters from the controller: a link that breaks or comes back becomes the same command as an
//! operator's change of a link; measured loads are kept beside the books.
//!
//! A link is broken if a port at its end says so (of its carrier, or by BFD), or is not there on a switch that answers; if the controller discovers that
//! the port leads elsewhere; or if it was discovered before, is not any more for a while, and both its switches answer. A
//! controller that was just started discovers nothing yet: that breaks no link. The links of a switch that is lost to the
//! controller are avoided at once: new paths pass by them where they can. After a while they go into maintenance: what has
//! another path takes it, and what has none stays, since the switch may well forward on. What the monitor did is an event, so
//! that any instance undoes it; what an operator took down stays down.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::{App, Mode};
use super::controller_status::StatusCell;
use super::measurement::Load;
use super::throttled_driver::ThrottledDriver;
use crate::southbound::{Adjacency, DriverError, Port};
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
/// After how long a switch that is lost is passed by: longer than a controller that starts takes to know its switches.
const AVOIDED_AFTER: Duration = Duration::from_secs(1);
/// How often ports are looked at and counted whatever is discovered, in looks at links.
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
        dead: BTreeSet::new(),
        counted: BTreeMap::new(),
    };
    let mut look: u32 = 0;
    loop {
        sleep(LINKS_EVERY).await;
        // The worker probes an unreachable controller.
        if monitor.status.status().reachable != Some(true) {
            continue;
        }
        let Some(network) = monitored(&monitor.app, &monitor.controller.topology) else { continue };
        let is_thorough = look.is_multiple_of(COUNT_EVERY);
        if let Err(error) = monitor.look_at_links(&network, is_thorough).await {
            tracing::debug!(controller = %monitor.controller.name, %error, "links could not be looked at");
        }
        if is_thorough {
            monitor.count(&network.topology).await;
        }
        look = look.wrapping_add(1);
    }
}

/// A topology, and the links that are not up because a controller saw it.
struct Monitored {
    topology: Arc<Topology>,
    reported: BTreeSet<Name>,
}

fn monitored(app: &App, name: &Name) -> Option<Monitored> {
    app.read(|state| {
        let network = state.network(name.as_str())?;
        Some(Monitored { topology: Arc::clone(network.topology()), reported: network.reported().cloned().collect() })
    })
}

/// The links that the controller discovers, and where each port leads.
struct Discovered {
    links: BTreeSet<SeenLink>,
    far_ends: BTreeMap<(Dpid, PortNo), (Dpid, PortNo)>,
}

impl Discovered {
    fn of(links: Vec<Adjacency>) -> Self {
        let far_ends = links.iter().map(|link| (link.from, link.to)).collect();
        Self { links: links.into_iter().map(|link| SeenLink { from: link.from, to: link.to }).collect(), far_ends }
    }
}

fn is_over(lost: &BTreeMap<Dpid, Instant>, dpid: Dpid, patience: Duration) -> bool {
    lost.get(&dpid).is_some_and(|since| since.elapsed() >= patience)
}

/// The state that a link gets for what was seen of it; none if it stays as it is. `is_reported` tells whether a controller made
/// it what it is.
fn wanted_state(sight: &Sight, now: LinkState, is_reported: bool) -> Option<LinkState> {
    match (sight, now) {
        (Sight::There, LinkState::Down | LinkState::Maintenance) => Some(LinkState::Up).filter(|_| is_reported),
        (Sight::Broken(_), LinkState::Up) => Some(LinkState::Down),
        (Sight::Broken(_), LinkState::Maintenance) => Some(LinkState::Down).filter(|_| is_reported),
        (Sight::Lost(_), LinkState::Up) => Some(LinkState::Maintenance),
        _ => None,
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
    /// Ports that were not live when they were last looked at.
    dead: BTreeSet<(Dpid, PortNo)>,
    counted: BTreeMap<(Dpid, PortNo), (u64, Instant)>,
}

/// What was seen of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Sight {
    /// It is there.
    There,
    /// It cannot carry packets to where it should, for this reason.
    Broken(String),
    /// A switch at its end was lost to the controller.
    Lost(Dpid),
    /// Nothing certain.
    Unclear,
}

impl LinkMonitor {
    /// A thorough look asks every switch that answers for its ports: of a failure that shows in no carrier the switch may know
    /// by BFD, long before the controller misses the link.
    async fn look_at_links(&mut self, network: &Monitored, is_thorough: bool) -> Result<(), DriverError> {
        let topology = &*network.topology;
        let seen = match self.driver.links().await {
            Ok(links) => Some(Discovered::of(links)),
            // What its ports say is all that can be had.
            Err(DriverError::Unsupported { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut ports: BTreeMap<Dpid, Option<Vec<Port>>> = BTreeMap::new();
        let mut done: BTreeSet<LinkIx> = BTreeSet::new();
        let lost = self.status.lost_since();
        let answering = self.status.status().switches;
        let answers = |dpid: &Dpid| matches!(answering.get(dpid), Some(None));
        let mut problems: BTreeMap<LinkIx, Arc<str>> = BTreeMap::new();
        for (ix, link) in topology.links() {
            let Some(ends) = ends(topology, link) else { continue };
            let is_discovered = seen.as_ref().is_some_and(|seen| seen.links.contains(&ends));
            for end in [ends.from, ends.to] {
                let is_due = !is_discovered || self.dead.contains(&end) || (is_thorough && answers(&end.0));
                if let Entry::Vacant(place) = ports.entry(end.0)
                    && is_due
                {
                    place.insert(self.driver.ports(end.0).await.ok());
                }
            }
            let sight = match [ends.from.0, ends.to.0].into_iter().find(|dpid| is_over(&lost, *dpid, self.patience())) {
                Some(dpid) => Sight::Lost(dpid),
                None => self.sight(link, &ends, &ports, seen.as_ref()),
            };
            let is_lost = [ends.from.0, ends.to.0].into_iter().any(|dpid| is_over(&lost, dpid, AVOIDED_AFTER));
            let is_back = || answers(&ends.from.0) && answers(&ends.to.0);
            let is_avoided = Some(is_lost).filter(|_| is_lost != link.is_avoided && (is_lost || is_back()));
            if let Sight::Broken(why) = &sight {
                problems.insert(ix, why.as_str().into());
            }
            let wanted = wanted_state(&sight, link.state, network.reported.contains(&link.name));
            // The other direction of the same fibre shares its state.
            let state = wanted.filter(|state| *state != link.state);
            if (state.is_some() || is_avoided.is_some()) && link.twin.is_none_or(|twin| !done.contains(&twin)) {
                done.insert(ix);
                self.change(link, state, is_avoided, &sight).await;
            }
        }
        self.status.set_link_problems(problems);
        Ok(())
    }

    /// How long traffic stays on the links of a switch that is lost.
    fn patience(&self) -> Duration {
        self.app.inner.lost_switch_after
    }

    fn sight(
        &mut self,
        link: &Link,
        ends: &SeenLink,
        ports: &BTreeMap<Dpid, Option<Vec<Port>>>,
        seen: Option<&Discovered>,
    ) -> Sight {
        let live = |(dpid, port): (Dpid, PortNo)| {
            let ports = ports.get(&dpid)?.as_ref()?;
            // A port that a switch does not have any more carries nothing.
            Some(ports.iter().find(|other| other.number == port).is_some_and(|port| port.live))
        };
        let lives = [ends.from, ends.to].map(|end| (end, live(end)));
        for (end, live) in lives {
            match live {
                Some(true) => drop(self.dead.remove(&end)),
                Some(false) => drop(self.dead.insert(end)),
                None => {}
            }
        }
        let dead = [ends.from, ends.to].into_iter().find(|end| self.dead.contains(end));
        if seen.is_some_and(|seen| seen.links.contains(ends)) && dead.is_none() {
            self.missed.remove(&link.name);
            self.discovered.insert(link.name.clone());
            return Sight::There;
        }
        if let Some(elsewhere) = seen.and_then(|seen| seen.far_ends.get(&ends.from)).filter(|end| **end != ends.to) {
            let ((from, out), (to, into)) = (ends.from, *elsewhere);
            let (out, into) = (out.0, into.0);
            return Sight::Broken(format!(
                "port {out} of switch {from} leads to port {into} of switch {to}, not where the topology says"
            ));
        }
        if let Some((dpid, port)) = dead {
            return Sight::Broken(format!("port {} of switch {dpid} is down or not there", port.0));
        }
        let both_live = lives.iter().all(|(_, live)| *live == Some(true));
        let Some(seen) = seen else { return if both_live { Sight::There } else { Sight::Unclear } };
        let missed = self.missed.entry(link.name.clone()).or_default();
        *missed = missed.saturating_add(1);
        let was_there = self.discovered.contains(&link.name) && *missed >= SILENT_LOOKS;
        if both_live && was_there && !seen.links.is_empty() {
            return Sight::Broken("the controller does not discover it any more".to_owned());
        }
        Sight::Unclear
    }

    async fn change(&self, link: &Link, state: Option<LinkState>, is_avoided: Option<bool>, sight: &Sight) {
        // Of several instances the one that leads says what all of them see.
        if self.app.term_of(&self.controller.name).is_none() {
            return;
        }
        tracing::info!(controller = %self.controller.name, link = %link.name, ?state, ?is_avoided, ?sight, "the controller sees a link change");
        let command = Command::ChangeLink {
            topology: self.controller.topology.clone(),
            link: link.name.clone(),
            change: LinkChange { state, is_avoided, is_reported: true, ..LinkChange::default() },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_controller_did_not_do_it_does_not_undo() {
        use LinkState::{Down, Maintenance, Up};
        let broken = Sight::Broken(String::new());
        for (sight, now, is_reported, wanted) in [
            (Sight::There, Down, true, Some(Up)),
            (Sight::There, Down, false, None),
            (Sight::There, Maintenance, true, Some(Up)),
            (Sight::There, Maintenance, false, None),
            (broken.clone(), Up, false, Some(Down)),
            (broken.clone(), Maintenance, true, Some(Down)),
            (broken, Maintenance, false, None),
            (Sight::Lost(Dpid(1)), Up, false, Some(Maintenance)),
            (Sight::Lost(Dpid(1)), Down, true, None),
            (Sight::Unclear, Up, true, None),
        ] {
            assert_eq!(wanted_state(&sight, now, is_reported), wanted, "{sight:?} {now:?} {is_reported}");
        }
    }
}
