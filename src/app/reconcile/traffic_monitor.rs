//! Auto-bandwidth: what allocations carry is sampled from the counters of their rules at the ingress, and the bandwidth that
//! the kernel's [`RateAdjuster`] wants becomes the same command as an operator's change.
//!
//! What must stay true: every replica samples, so that each can say what is measured and a new leader knows it at once, and
//! only the leader of the controller has anything decided; a sample spans no gap and no restart of a counter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{Instant, sleep};

use super::super::{App, Commit, Submission};
use super::controller_status::{FieldEvent, LspState, StatusCell};
use super::measurement::{Load, TrafficReport};
use super::throttled_driver::ThrottledDriver;
use kernel::Command;
use kernel::allocation::Allocation;
use kernel::auto_bandwidth::RateAdjuster;
use kernel::controller::Controller;
use kernel::event::Event;
use kernel::fact::Actor;
use kernel::id::{AllocationId, Name};
use kernel::intent::{CookieFilter, Dpid};
use kernel::units::{Bandwidth, Millis};

/// How the log of events calls what adjusts bandwidths.
pub const AUTO_BANDWIDTH_ACTOR: &str = "auto-bandwidth";
/// How often it is looked which samples are due.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(app: App, controller: Arc<Controller>, driver: Arc<ThrottledDriver>, status: Arc<StatusCell>) {
    let mut commits = app.subscribe();
    let actor = Name::new(AUTO_BANDWIDTH_ACTOR).ok().map(|name| Arc::new(Actor { name, address: None, token: None }));
    let mut monitor = TrafficMonitor { app, controller, driver, status, actor, followed: BTreeMap::new() };
    loop {
        sleep(LOOK_EVERY).await;
        monitor.follow_the_state();
        monitor.note_denials(&mut commits);
        for (id, at) in monitor.due() {
            monitor.sample(id, at).await;
        }
        for (id, wanted) in monitor.undecided() {
            monitor.adjust(id, wanted).await;
        }
    }
}

struct TrafficMonitor {
    app: App,
    controller: Arc<Controller>,
    driver: Arc<ThrottledDriver>,
    status: Arc<StatusCell>,
    actor: Option<Arc<Actor>>,
    /// As many at most as the kernel admits with auto-bandwidth.
    followed: BTreeMap<AllocationId, Followed>,
}

/// An allocation whose traffic is followed.
struct Followed {
    adjuster: RateAdjuster,
    /// What its rules had counted, and when.
    counted: Option<(u64, Instant)>,
    due_at: Instant,
    /// What this leader wants and the writer has not decided.
    undecided: Option<Bandwidth>,
    report: TrafficReport,
}

/// Where the packets of an allocation are counted, or why they are not.
fn ingress(app: &App, allocation: &Allocation, state: LspState) -> Result<Dpid, &'static str> {
    if !allocation.wants_rules() {
        return Err("nothing is measured: the allocation has no flow, or is not in force yet");
    }
    if !matches!(state, LspState::Active | LspState::Rerouting) {
        return Err("nothing is measured: the switches do not hold its rules");
    }
    let switch = app.read(|state| {
        let network = state.network(allocation.demand.topology.as_str())?;
        let node = network.topology().node(allocation.demand.ingress)?;
        node.switch.as_ref().map(|switch| Dpid(switch.dpid))
    });
    switch.ok_or("nothing is measured: its ingress is not a switch")
}

impl TrafficMonitor {
    /// Follows the allocations of the topology that ask for it and no other, each by its settings and its bandwidth of now.
    fn follow_the_state(&mut self) {
        let (state, now) = (self.app.state(), self.app.now());
        let of_topology = |id| state.allocation(id).filter(|one| one.demand.topology == self.controller.topology);
        let mut gone = std::mem::take(&mut self.followed);
        for allocation in state.auto_bandwidth().filter_map(of_topology) {
            let demand = &allocation.demand;
            let Some(settings) = demand.attributes.auto_bandwidth.as_deref() else { continue };
            let known = gone.remove(&allocation.id).filter(|known| known.adjuster.settings() == settings);
            let mut followed = known.unwrap_or_else(|| Followed {
                adjuster: RateAdjuster::new(*settings, demand.bandwidth, now),
                counted: None,
                due_at: Instant::now(),
                undecided: None,
                report: TrafficReport::default(),
            });
            if followed.adjuster.reserved() != demand.bandwidth {
                followed.adjuster.on_reserved(now, demand.bandwidth);
                followed.undecided = None;
                followed.report.reason = None;
            }
            self.followed.insert(allocation.id, followed);
        }
        for id in gone.into_keys().filter(|id| !self.followed.contains_key(id)) {
            self.status.forget_traffic(id);
        }
    }

    /// What was wanted and denied is said by every replica, whichever had it decided.
    fn note_denials(&mut self, commits: &mut Receiver<Commit>) {
        loop {
            let commit = match commits.try_recv() {
                Ok(commit) => commit,
                Err(TryRecvError::Lagged(_)) => continue,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            for fact in commit.facts.iter() {
                let is_own = fact.actor.as_ref().is_some_and(|actor| actor.name.as_str() == AUTO_BANDWIDTH_ACTOR);
                if let Event::Denied { of: Some(id), demand, .. } = &fact.event
                    && is_own
                {
                    let wanted_bps = demand.bandwidth.as_bps();
                    self.on_refused(*id, &format!("{wanted_bps} bit/s were denied for want of a path or of bandwidth"));
                }
            }
        }
    }

    fn on_refused(&mut self, id: AllocationId, why: &str) {
        let Some(followed) = self.followed.get_mut(&id) else { return };
        followed.adjuster.on_refused();
        followed.report.reason = Some(format!("{why}; the bandwidth stays until the next adjustment").into());
        self.status.set_traffic(id, followed.report.clone());
    }

    /// The allocations of which a sample is due, with where they are counted.
    fn due(&mut self) -> Vec<(AllocationId, Dpid)> {
        let (state, now) = (self.app.state(), Instant::now());
        let mut due = vec![];
        for (id, followed) in self.followed.iter_mut().filter(|(_, followed)| followed.due_at <= now) {
            let Some(allocation) = state.allocation(*id) else { continue };
            match ingress(&self.app, allocation, self.status.condition_of(*id).state) {
                Ok(dpid) => due.push((*id, dpid)),
                Err(reason) => {
                    followed.on_gap(reason);
                    self.status.set_traffic(*id, followed.report.clone());
                }
            }
        }
        due
    }

    async fn sample(&mut self, id: AllocationId, ingress: Dpid) {
        let which = CookieFilter::of(self.driver.settings().numbering.cookie_tag(), id);
        let counters = self.driver.rule_counters(ingress, which).await;
        let (now, at) = (self.app.now(), Instant::now());
        let Some(followed) = self.followed.get_mut(&id) else { return };
        let bytes = match counters {
            Ok(counters) if counters.rules == 0 => Err("nothing is measured: the switch has no rule of it".to_owned()),
            Ok(counters) => {
                counters.bytes.ok_or_else(|| "nothing is measured: the controller tells no bytes".to_owned())
            }
            Err(error) => Err(format!("nothing is measured: {error}")),
        };
        let wanted = match bytes {
            Ok(bytes) => followed.add_count(bytes, (now, at)),
            Err(reason) => {
                followed.on_gap(&reason);
                None
            }
        };
        self.status.set_traffic(id, followed.report.clone());
        if self.app.leads(&self.controller.name) && wanted.is_some() {
            followed.undecided = wanted;
        }
    }

    /// What is wanted and to be decided, if this instance leads.
    fn undecided(&mut self) -> Vec<(AllocationId, Bandwidth)> {
        let leads = self.app.leads(&self.controller.name);
        let taken = self.followed.iter_mut().filter_map(|(id, followed)| Some((*id, followed.undecided.take()?)));
        taken.filter(|_| leads).collect()
    }

    /// Has another bandwidth decided. A denial is an event, which is noted where it is committed.
    async fn adjust(&mut self, id: AllocationId, wanted: Bandwidth) {
        let submission = Submission { actor: self.actor.clone(), ..Submission::of(Command::resize(id, wanted)) };
        match self.app.submit(submission).await.map(|mut outcomes| outcomes.pop()) {
            Ok(Some(Err(refusal))) => {
                tracing::warn!(%id, %refusal, "an adjustment of a bandwidth was refused");
                self.app.inner.controllers.publish(FieldEvent::AdjustmentRefused { id });
                self.on_refused(id, &format!("{} bit/s were refused: {refusal}", wanted.as_bps()));
            }
            Ok(_) => {}
            Err(error) => {
                // What is wrong with the journal is logged where it is watched.
                tracing::debug!(%id, %error, "an adjustment of a bandwidth could not be decided yet");
                if let Some(followed) = self.followed.get_mut(&id) {
                    followed.undecided = Some(wanted);
                }
            }
        }
    }
}

impl Followed {
    /// What its rules have counted up to an instant; answers with the bandwidth that is wanted then.
    fn add_count(&mut self, bytes: u64, (now, at): (Millis, Instant)) -> Option<Bandwidth> {
        let was_gap = self.counted.is_none();
        let counted = self.counted.replace((bytes, at));
        self.due_at = at + Duration::from_millis(self.adjuster.settings().sample_interval.0);
        if was_gap {
            self.report.reason = None;
        }
        let mut wanted = None;
        // Rules that were written anew count from nothing.
        if let Some((before, since)) = counted
            && let Some(more) = bytes.checked_sub(before)
            && let past_us @ 1.. = at.duration_since(since).as_micros()
        {
            let bps = u64::try_from(u128::from(more) * 8_000_000 / past_us).unwrap_or(u64::MAX);
            let average = Bandwidth::saturating_from_bps(bps);
            self.report.measured = Some(Load { carried_bps: average.as_bps(), at: now });
            wanted = self.adjuster.add_sample(now, average);
        }
        self.report.max_average_bps = self.adjuster.max_average().map(Bandwidth::as_bps);
        self.report.adjusts_at = Some(self.adjuster.adjusts_at());
        wanted
    }

    /// Nothing can be measured now.
    fn on_gap(&mut self, reason: &str) {
        self.counted = None;
        self.report.measured = None;
        if self.report.reason.as_deref() != Some(reason) {
            self.report.reason = Some(reason.into());
        }
        self.due_at = Instant::now() + Duration::from_millis(self.adjuster.settings().sample_interval.0);
    }
}
