//! Reconciliation: one worker a controller diffs the rules that the kernel intends against the rules that switches hold, and
//! has the driver execute the steps. It chooses nothing.
//!
//! What must stay true: a worker belongs to one revision of its controller and is dropped with it, so that a stale one
//! does no harm; every repetition waits longer than the one before; an unreachable controller gets one small request
//! at a time.

mod measurement;
mod controller_status;
mod throttled_driver;
mod readback;
mod link_monitor;
mod traffic_monitor;
mod worker;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) use self::controller_status::Controllers;
pub use self::controller_status::{Condition, Conditions, ControllerStatus, FieldEvent, LspState, StatusCell};
pub use self::measurement::{LinkReport, Load, TrafficReport};
use self::throttled_driver::ThrottledDriver;
pub use self::traffic_monitor::AUTO_BANDWIDTH_ACTOR;
use self::worker::Worker;
use super::{App, Commit};
use crate::southbound::{Driver, DriverError};
use kernel::State;
use kernel::controller::{Controller, DriverKind};
use kernel::discovery::Survey;
use kernel::event::Event;
use kernel::id::{Name, Sequence};
use kernel::topology::Topology;

/// What makes a driver for a controller, knowing the topology whose switches it has.
pub type DriverFactory =
    Arc<dyn Fn(&Controller, Option<&Topology>) -> Result<Arc<dyn Driver>, DriverError> + Send + Sync + 'static>;

/// A worker that runs.
struct Running {
    identity: WorkerIdentity,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What a worker is for: another of these is another worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct WorkerIdentity {
    controller: Sequence,
    /// A simulated network is made of its topology's switches and ports.
    network: Option<u64>,
}

/// Starts, changes and stops workers as controllers come, change and go.
pub(super) async fn run(app: App) {
    let stop = app.stopping();
    let mut commits = app.subscribe();
    let mut workers: BTreeMap<Name, Running> = BTreeMap::new();
    loop {
        match_workers(&app, &mut workers).await;
        loop {
            let commit = tokio::select! {
                commit = commits.recv() => commit,
                () = stop.cancelled() => return stop_all(&app, workers).await,
            };
            match commit {
                Ok(commit) if !is_about_controllers(&commit) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return stop_all(&app, workers).await,
            }
        }
    }
}

pub(super) fn is_about_controllers(commit: &Commit) -> bool {
    commit.replaces_all
        || commit.facts.iter().any(|fact| {
            matches!(
                fact.event,
                Event::ControllerPut { .. } | Event::ControllerDeleted { .. } | Event::TopologyPut { .. }
            )
        })
}

/// Starts a worker for each controller of the state, and stops the workers of other controllers.
async fn match_workers(app: &App, workers: &mut BTreeMap<Name, Running>) {
    // Read before the state, so that a controller that is added meanwhile is not among them.
    let known = app.inner.controllers.names();
    let wanted = app.read(wanted);
    let gone: Vec<Name> = workers
        .iter()
        .filter(|(name, running)| wanted.get(*name).is_none_or(|(identity, _, _)| *identity != running.identity))
        .map(|(name, _)| name.clone())
        .collect();
    for name in gone {
        if let Some(running) = workers.remove(&name) {
            stop(running).await;
        }
    }
    // The status of a replaced worker stays until its successor's.
    known.iter().filter(|name| !wanted.contains_key(*name)).for_each(|name| app.inner.controllers.remove(name));
    for (name, (identity, controller, topology)) in wanted {
        if let Entry::Vacant(place) = workers.entry(name) {
            place.insert(start(app, identity, controller, topology.as_deref()));
        }
    }
}

type DesiredWorker = (WorkerIdentity, Arc<Controller>, Option<Arc<Topology>>);

fn wanted(state: &State) -> BTreeMap<Name, DesiredWorker> {
    let one = |controller: &Arc<Controller>| {
        let network = state.network(controller.topology.as_str());
        let is_made_of_it = controller.driver == DriverKind::Simulated;
        let identity = WorkerIdentity {
            controller: controller.revision,
            network: network.filter(|_| is_made_of_it).map(|network| fingerprint(network.topology())),
        };
        let topology = network.map(|network| Arc::clone(network.topology()));
        (controller.name.clone(), (identity, Arc::clone(controller), topology))
    };
    state.controllers().map(one).collect()
}

fn start(app: &App, identity: WorkerIdentity, controller: Arc<Controller>, topology: Option<&Topology>) -> Running {
    let status = Arc::new(StatusCell::new(controller.topology.clone()));
    let stop = app.stopping().child_token();
    let driver = match (app.inner.driver_factory)(&controller, topology) {
        Ok(driver) => Arc::new(ThrottledDriver::new(driver, &controller)),
        Err(error) => {
            status.set_unusable(&error, app.now());
            app.inner.controllers.insert(&controller.name, status, None);
            return Running { identity, stop, task: tokio::spawn(async {}) };
        }
    };
    app.inner.controllers.insert(&controller.name, Arc::clone(&status), Some(Arc::clone(&driver)));
    let worker = Worker::new(app.clone(), Arc::clone(&controller), Arc::clone(&driver), Arc::clone(&status));
    let links = link_monitor::run(app.clone(), Arc::clone(&controller), Arc::clone(&driver), Arc::clone(&status));
    let traffic = traffic_monitor::run(app.clone(), controller, driver, status);
    let all = async move { tokio::join!(worker.run(), links, traffic) };
    let token = stop.clone();
    // Dropped at any point: the next worker reads back what a dropped call did.
    let task = tokio::spawn(async move {
        let _ = token.run_until_cancelled(all).await;
    });
    Running { identity, stop, task }
}

/// Changes with the switches and ports that a topology names.
fn fingerprint(topology: &Topology) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (_, node) in topology.nodes() {
        node.switch.as_ref().map(|switch| (switch.dpid, &switch.host_ports)).hash(&mut hasher);
    }
    for (_, link) in topology.links() {
        (link.from, link.to, link.from_port, link.to_port).hash(&mut hasher);
    }
    hasher.finish()
}

/// Why a controller's network could not be surveyed.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The controller has no usable driver.
    #[error("the controller cannot be used")]
    NoDriver,
    /// The controller did not answer as it should.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl App {
    /// Everything that a controller knows of its network.
    ///
    /// # Errors
    /// It cannot be asked, or does not answer as it should.
    pub async fn survey(&self, controller: &Name) -> Result<Survey, SurveyError> {
        let driver = self.current_driver(controller).ok_or(SurveyError::NoDriver)?;
        Ok(link_monitor::survey(&driver).await?)
    }

    /// The driver of a controller as it is now; the worker's may for a moment be the one of before a change.
    fn current_driver(&self, name: &Name) -> Option<Arc<ThrottledDriver>> {
        let (controller, topology) = self.read(|state| {
            let controller = Arc::clone(state.controller(name.as_str())?);
            let network = state.network(controller.topology.as_str());
            Some((controller, network.map(|network| Arc::clone(network.topology()))))
        })?;
        let of_worker = self.inner.controllers.driver(name);
        if let Some(driver) = of_worker.filter(|driver| driver.revision() == controller.revision) {
            return Some(driver);
        }
        let driver = (self.inner.driver_factory)(&controller, topology.as_deref()).ok()?;
        Some(Arc::new(ThrottledDriver::new(driver, &controller)))
    }
}

async fn stop(running: Running) {
    running.stop.cancel();
    if running.task.await.is_err() {
        tracing::error!("a worker for a controller panicked");
    }
}

async fn stop_all(app: &App, workers: BTreeMap<Name, Running>) {
    for (name, running) in workers {
        stop(running).await;
        app.inner.controllers.remove(&name);
    }
}
