//! Leadership: of several instances of the service on one database, one writes to the switches of a controller. Which one, and
//! in which term, is an event of the journal, so that all agree. Whether the leader lives is told by its heartbeat in the
//! database and the database's clock, since a renewal in the journal would be several events a second for ever.
//!
//! What must stay true: an instance writes only while its last confirmed heartbeat, and its state with it, is younger than
//! [`CONFIRMED_FOR`] by its own monotonic clock; another one takes over only when the heartbeat is older than
//! [`SILENT_AFTER`]. A service that has its database for itself leads always.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{App, Mode};
use kernel::Command;
use kernel::controller::Controller;
use kernel::id::{Name, NameError};

/// How long an instance may write after a heartbeat that was sent, written and answered.
const CONFIRMED_FOR: Duration = Duration::from_millis(900);
/// After how long without a heartbeat a leader is taken to be gone: later than it stopped to write, and than what it had sent
/// arrived.
const SILENT_AFTER: Duration = Duration::from_millis(1_200);

/// A name that no other instance ever has: the host's, and a random number.
///
/// # Errors
/// The host's name and the number make no name.
pub(super) fn new_instance() -> Result<Name, NameError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    // Its keys are random in every process, and different for every value.
    let random = RandomState::new().hash_one(std::process::id());
    Name::new(format!("{host}-{random:016x}").trim_start_matches('-'))
}

/// What is known of the instances on the database.
pub(super) struct Leadership {
    instance: Name,
    /// Whether no other instance can be on the database.
    is_alone: bool,
    beat: watch::Sender<Option<ConfirmedBeat>>,
}

/// A heartbeat that the database took, after which the state had everything that the database had.
#[derive(Clone)]
struct ConfirmedBeat {
    sent: Instant,
    /// How long ago each instance's last one was.
    ages: BTreeMap<Name, Duration>,
}

impl ConfirmedBeat {
    /// Whether other instances than this lived.
    fn has_others(&self, instance: &Name) -> bool {
        self.ages.iter().any(|(other, age)| other != instance && *age <= SILENT_AFTER)
    }
}

impl Leadership {
    pub(super) fn new(instance: Name, is_alone: bool) -> Self {
        Self { instance, is_alone, beat: watch::Sender::new(None) }
    }

    pub(super) fn instance(&self) -> &Name {
        &self.instance
    }

    /// A heartbeat that was sent at an instant was taken, and the state is up to date.
    pub(super) fn confirm(&self, sent: Instant, ages: BTreeMap<Name, Duration>) {
        self.beat.send_replace(Some(ConfirmedBeat { sent, ages }));
    }

    /// Whether the state is what the database has, but for the last moment.
    pub(super) fn is_current(&self) -> bool {
        self.is_alone || self.confirmed_until().is_some()
    }

    fn confirmed_until(&self) -> Option<Instant> {
        self.beat.borrow().as_ref().map(|beat| beat.sent + CONFIRMED_FOR).filter(|until| *until > Instant::now())
    }
}

/// Takes over controllers whose leader is gone.
pub(super) async fn run(app: App) {
    let stop = app.stopping();
    let leadership = &app.inner.leadership;
    let mut beats = leadership.beat.subscribe();
    loop {
        tokio::select! {
            changed = beats.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        let Some(beat) = beats.borrow_and_update().clone() else { continue };
        let is_gone = |controller: &Controller| {
            let Some(leader) = &controller.leader else { return true };
            let age = beat.ages.get(&leader.instance);
            leader.instance != leadership.instance && age.is_none_or(|age| *age > SILENT_AFTER)
        };
        let orphans: Vec<(Name, u64)> = app.read(|state| {
            let gone = state.controllers().filter(|controller| is_gone(controller));
            gone.map(|controller| (controller.name.clone(), controller.term())).collect()
        });
        for (name, after) in orphans {
            let command = Command::LeadController { name: name.clone(), instance: leadership.instance.clone(), after };
            match app.submit_one(command, Mode::Commit, None).await {
                Ok(Ok(_)) => tracing::info!(controller = %name, term = after + 1, "leads a controller now"),
                // Another instance was faster, or the controller is gone.
                Ok(Err(refusal)) => tracing::debug!(controller = %name, %refusal, "does not lead a controller"),
                Err(error) => tracing::warn!(controller = %name, %error, "a controller could not be taken over"),
            }
        }
    }
}

/// Which instance schedules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SchedulerLead {
    /// This one, and it may.
    Here,
    /// This one, but it does not know for the moment whether another has taken over.
    Unconfirmed,
    /// This one did, and another that was there may do so by now.
    Unknown,
    /// None that lives.
    Nowhere,
    /// Another one.
    Elsewhere(Name),
}

impl App {
    /// Which instance schedules now.
    pub fn scheduler_lead(&self) -> SchedulerLead {
        let leadership = &self.inner.leadership;
        if leadership.is_alone {
            return SchedulerLead::Here;
        }
        let state = self.state();
        let Some(instance) = &state.scheduler().instance else { return SchedulerLead::Nowhere };
        let beat = leadership.beat.borrow();
        let confirmed = beat.as_ref().filter(|beat| beat.sent + CONFIRMED_FOR > Instant::now());
        match confirmed {
            Some(_) if *instance == leadership.instance => SchedulerLead::Here,
            None if *instance == leadership.instance => match beat.as_ref() {
                Some(beat) if beat.sent + SILENT_AFTER < Instant::now() && beat.has_others(instance) => {
                    SchedulerLead::Unknown
                }
                _ => SchedulerLead::Unconfirmed,
            },
            Some(beat) if beat.ages.get(instance).is_none_or(|age| *age > SILENT_AFTER) => SchedulerLead::Nowhere,
            _ => SchedulerLead::Elsewhere(instance.clone()),
        }
    }

    /// The term of the instance that schedules, or did last.
    pub(super) fn scheduler_term(&self) -> u64 {
        self.read(|state| state.scheduler().term)
    }

    /// Lets this instance schedule, if no term began after that one; whether it does now.
    pub(super) async fn lead_scheduler(&self, after: u64) -> bool {
        self.set_scheduler(Some(self.inner.leadership.instance.clone()), after).await
    }

    /// Leaves scheduling to the instance that next hears of an aggregator, if no term began after that one.
    pub(super) async fn leave_scheduler(&self, after: u64) {
        self.set_scheduler(None, after).await;
    }

    async fn set_scheduler(&self, instance: Option<Name>, after: u64) -> bool {
        match self.submit_one(Command::LeadScheduler { instance, after }, Mode::Commit, None).await {
            Ok(Ok(_)) => true,
            // Another instance was faster.
            Ok(Err(refusal)) => {
                tracing::debug!(%refusal, "does not schedule");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "scheduling could not be taken over");
                false
            }
        }
    }

    /// The term in which this instance may write to the switches of a controller now; `None` if it may not.
    pub(super) fn term_of(&self, controller: &Name) -> Option<u64> {
        let leadership = &self.inner.leadership;
        let state = self.state();
        let controller = state.controller(controller.as_str())?;
        if leadership.is_alone {
            return Some(controller.term());
        }
        let leader = controller.leader.as_ref().filter(|leader| leader.instance == leadership.instance)?;
        leadership.confirmed_until().map(|_| leader.term)
    }

    /// Whether this instance writes to the switches of a controller now.
    pub fn leads(&self, controller: &Name) -> bool {
        self.term_of(controller).is_some()
    }

    /// Waits until this instance may not write to the switches of a controller in this term any more.
    pub(super) async fn deposed(&self, controller: &Name, term: u64) {
        if self.inner.leadership.is_alone {
            return std::future::pending().await;
        }
        while self.term_of(controller) == Some(term) {
            match self.inner.leadership.confirmed_until() {
                Some(until) => sleep_until(until).await,
                None => return,
            }
        }
    }

    /// What this instance of the service calls itself; none if it has its database for itself.
    pub fn instance(&self) -> Option<&Name> {
        Some(&self.inner.leadership.instance).filter(|_| !self.inner.leadership.is_alone)
    }
}
