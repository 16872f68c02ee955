//! Keeping the switches as they should be: one worker a controller, which chooses nothing. It asks the kernel what each
//! switch should hold and which steps lead there from what it holds, and has the driver take them.
//!
//! What must stay true: a worker belongs to one revision of its controller and is dropped with it, so that a stale one
//! does no harm; every repetition waits longer than the one before; a controller that is away is asked one small question
//! now and then, and nothing else.

mod controller_status;
mod throttled_driver;
mod readback;
mod link_monitor;
mod worker;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) use self::controller_status::Boards;
pub use self::controller_status::{Condition, Conditions, ControllerStatus, FieldEvent, Load, StatusCell};
use self::throttled_driver::ThrottledDriver;
use self::worker::Worker;
use super::{App, Commit};
use crate::journal::record::EventRecord;
use crate::southbound::{Driver, DriverError};
use kernel::State;
use kernel::controller::{Controller, DriverKind};
use kernel::discovery::Survey;
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
        staff(&app, &mut workers).await;
        loop {
            let commit = tokio::select! {
                commit = commits.recv() => commit,
                () = stop.cancelled() => return dismiss(&app, workers).await,
            };
            match commit {
                Ok(commit) if !is_about_controllers(&commit) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return dismiss(&app, workers).await,
            }
        }
    }
}

pub(super) fn is_about_controllers(commit: &Commit) -> bool {
    commit.facts.iter().any(|fact| {
        matches!(
            fact.record,
            EventRecord::ControllerPut { .. } | EventRecord::ControllerDeleted { .. } | EventRecord::TopologyPut { .. }
        )
    })
}

/// One worker for each controller as it is now, and no others.
async fn staff(app: &App, workers: &mut BTreeMap<Name, Running>) {
    // Before the books are read, so that the board of a controller that comes meanwhile is not among them.
    let boards = app.inner.boards.names();
    let wanted = app.read(wanted).await;
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
    // The board of one that is replaced hangs until the next.
    boards.iter().filter(|name| !wanted.contains_key(*name)).for_each(|name| app.inner.boards.take_down(name));
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
    let board = Arc::new(StatusCell::new(controller.topology.clone()));
    let stop = app.stopping().child_token();
    let hand = match (app.inner.workshop)(&controller, topology) {
        Ok(driver) => Arc::new(ThrottledDriver::new(driver)),
        Err(error) => {
            board.give_up(&error, app.now());
            app.inner.boards.hang(&controller.name, board, None);
            return Running { identity, stop, task: tokio::spawn(async {}) };
        }
    };
    app.inner.boards.hang(&controller.name, Arc::clone(&board), Some(Arc::clone(&hand)));
    let worker = Worker::new(app.clone(), Arc::clone(&controller), Arc::clone(&hand), Arc::clone(&board));
    let watch = link_monitor::run(app.clone(), controller, Arc::clone(&hand), board);
    let both = async move { tokio::join!(worker.run(), watch) };
    let token = stop.clone();
    // Dropped wherever it is: what a call that was dropped did is found out by whoever comes next.
    let task = tokio::spawn(async move {
        let _ = token.run_until_cancelled(both).await;
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
    /// There is nothing to reach it with.
    #[error("the controller cannot be used")]
    NoHand,
    /// It did not answer as it should.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl App {
    /// Everything that a controller knows of its network.
    ///
    /// # Errors
    /// It cannot be asked, or does not answer as it should.
    pub async fn survey(&self, controller: &Name) -> Result<Survey, SurveyError> {
        let hand = self.inner.boards.hand(controller).ok_or(SurveyError::NoHand)?;
        Ok(link_monitor::survey(&hand).await?)
    }
}

async fn stop(running: Running) {
    running.stop.cancel();
    if running.task.await.is_err() {
        tracing::error!("a worker for a controller panicked");
    }
}

async fn dismiss(app: &App, workers: BTreeMap<Name, Running>) {
    for (name, running) in workers {
        stop(running).await;
        app.inner.boards.take_down(&name);
    }
}
