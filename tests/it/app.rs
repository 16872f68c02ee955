//! The app by itself: a full queue refuses at once, what is dry leaves no trace, and what is due ends without anybody
//! asking.

use std::str::FromStr;
use std::sync::Arc;

use futures_util::FutureExt;
use kernel::allocation::Flow;
use kernel::command::{Expected, OnMisfit};
use kernel::controller::{ControllerAddress, DriverKind, RulesOnDelete};
use kernel::event::Event;
use kernel::intent::RuleSettings;
use kernel::scheduler::QosLevel;
use kernel::scheduler::report::{LevelReport, Metadata, Presence, Subscriber, TopicReport};
use kernel::units::{Bandwidth, Millis};
use kernel::{Command, State};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use watermaster::app::{
    App, AppOptions, Atomicity, LspState, Mode, Pace, QUEUE_MAX, SchedulerOptions, Submission, SubmitError, Tasks,
};
use watermaster::journal::{DatabaseUrl, Journal};

use crate::kernel::{name, network, request};

async fn start() -> (App, Tasks, tempfile::TempDir) {
    start_with(SchedulerOptions::default()).await
}

async fn start_with(options: SchedulerOptions) -> (App, Tasks, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (app, tasks) =
        App::start_with(journal(&folder).await, AppOptions { scheduler: options, ..AppOptions::default() })
            .await
            .unwrap();
    let put = Command::PutTopology {
        name: name("net"),
        topology: Arc::new(network(&[("a-b", 1_000_000)])),
        expected: Expected::Unsaid,
        misfits: OnMisfit::Refuse,
    };
    app.submit_one(put, Mode::Commit, None).await.unwrap().unwrap();
    (app, tasks, folder)
}

async fn journal(folder: &tempfile::TempDir) -> Journal {
    let url = format!("sqlite://{}", folder.path().join("app.db").display());
    Journal::open(&DatabaseUrl::from_str(&url).unwrap()).await.unwrap()
}

fn ask(bandwidth: u64) -> Command {
    Command::Allocate(Box::new(request("a", "b", 0, bandwidth)))
}

/// On one thread all ask before the writer has its turn.
#[tokio::test]
async fn a_full_queue_refuses_at_once_and_loses_nothing() {
    let (app, tasks, _folder) = start().await;
    let asked: Vec<_> = (0..QUEUE_MAX + 500)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { app.submit_one(ask(1), Mode::Commit, None).await })
        })
        .collect();
    let (mut busy, mut admitted) = (0, 0);
    for task in asked {
        match task.await.unwrap() {
            Ok(outcome) => admitted += usize::from(outcome.is_ok()),
            refused => busy += usize::from(is_busy(&refused)),
        }
    }
    assert_eq!((busy, admitted), (500, QUEUE_MAX));
    assert_eq!(app.read(|state| state.allocation_count()), admitted);
    tasks.stop(&app).await;
    assert!(matches!(app.submit_one(ask(1), Mode::Commit, None).await, Err(SubmitError::Stopping)));
}

/// A version of the state stays what it is; what is no longer waited for is not decided; a dry run leaves nothing.
#[tokio::test]
async fn a_version_stays_and_what_nobody_waits_for_is_not_decided() {
    let (app, tasks, _folder) = start().await;
    app.submit_one(ask(1), Mode::Commit, None).await.unwrap().unwrap();
    let version = app.state();
    // Queued, and dropped before the writer has its turn.
    assert!(app.submit_one(ask(2), Mode::Commit, None).now_or_never().is_none());
    app.submit_one(ask(3), Mode::DryRun, None).await.unwrap().unwrap();
    app.submit_one(ask(4), Mode::Commit, None).await.unwrap().unwrap();
    let asked =
        |state: &State| state.allocations_after(None).map(|lsp| lsp.demand.bandwidth.as_bps()).collect::<Vec<_>>();
    assert_eq!(asked(&version), [1]);
    assert_eq!(app.read(asked), [1, 4]);
    tasks.stop(&app).await;
}

/// Events were lost behind the service's back, and others have taken their places: the next write notices before it is
/// answered, and is decided on what is there.
#[tokio::test]
async fn a_database_that_was_put_back_is_noticed_before_anything_is_written() {
    let (app, tasks, folder) = start().await;
    for bandwidth in [1, 2, 3] {
        app.submit_one(ask(bandwidth), Mode::Commit, None).await.unwrap().unwrap();
    }
    let mut database = SqliteConnectOptions::new().filename(folder.path().join("app.db")).connect().await.unwrap();
    let asked =
        |state: &State| state.allocations_after(None).map(|lsp| lsp.demand.bandwidth.as_bps()).collect::<Vec<_>>();
    let mut commits = app.subscribe();
    sqlx::query("DELETE FROM journal WHERE sequence > 2").execute(&mut database).await.unwrap();
    let fact = app.submit_one(ask(4), Mode::Commit, None).await.unwrap().unwrap();
    assert_eq!((fact.sequence.0, app.read(asked)), (3, vec![1, 4]));
    assert!(commits.recv().await.unwrap().replaces_all);

    sqlx::query("DELETE FROM journal WHERE sequence > 2").execute(&mut database).await.unwrap();
    let (other, other_tasks) = App::start(journal(&folder).await).await.unwrap();
    other.submit_one(ask(5), Mode::Commit, None).await.unwrap().unwrap();
    other_tasks.stop(&other).await;
    assert_eq!(other.head(), app.head(), "the number alone tells nothing");
    app.submit_one(ask(6), Mode::Commit, None).await.unwrap().unwrap();
    assert_eq!(app.read(asked), [1, 5, 6]);

    // Nor does it write a snapshot of what never was.
    sqlx::query("DELETE FROM snapshot_head").execute(&mut database).await.unwrap();
    sqlx::query("DELETE FROM journal WHERE sequence > 3").execute(&mut database).await.unwrap();
    tasks.stop(&app).await;
    assert_eq!(asked(&journal(&folder).await.restore().await.unwrap()), [1, 5]);
}

fn is_busy<T>(answer: &Result<T, SubmitError>) -> bool {
    matches!(answer, Err(SubmitError::Busy))
}

#[tokio::test]
async fn a_dry_run_decides_alike_and_leaves_no_trace() {
    let (app, tasks, _folder) = start().await;
    let before = (app.head(), app.read(State::clone));
    let many = Submission {
        commands: vec![ask(700_000), ask(700_000)],
        atomicity: Atomicity::EachAlone,
        mode: Mode::DryRun,
        key: None,
        actor: None,
    };
    let outcomes = app.submit(many).await.unwrap();
    // The second sees what the first did.
    assert!(matches!(outcomes[0].as_ref().unwrap().event, Event::Admitted { .. }));
    assert!(matches!(outcomes[1].as_ref().unwrap().event, Event::Denied { .. }));
    assert_eq!((app.head(), app.read(State::clone)), before);
    tasks.stop(&app).await;
}

#[tokio::test]
async fn what_is_due_ends_by_itself() {
    let (app, tasks, _folder) = start().await;
    let mut commits = app.subscribe();
    let mut asked = request("a", "b", 0, 10);
    asked.attributes.expires_at = Some(Millis(app.now().0 + 50));
    app.submit_one(Command::Allocate(Box::new(asked)), Mode::Commit, None).await.unwrap().unwrap();
    loop {
        let commit = commits.recv().await.unwrap();
        if commit.facts.iter().any(|fact| matches!(fact.event, Event::Expired { .. })) {
            break;
        }
    }
    assert_eq!(app.read(|state| state.allocation_count()), 0);
    tasks.stop(&app).await;
}

/// A controller that is in the books has no worker at once, neither when it comes nor after a start.
#[tokio::test]
async fn nothing_is_in_force_before_its_controller_was_asked() {
    let (app, tasks, folder) = start().await;
    let mut asked = request("a", "b", 0, 10);
    asked.attributes.flow = Some(Box::new(Flow { ip_proto: Some(17), l4_dst: Some(5683), ..Flow::default() }));
    app.submit_one(Command::Allocate(Box::new(asked)), Mode::Commit, None).await.unwrap().unwrap();
    assert_eq!(only_state(&app).await, LspState::Active, "without a controller there is nothing to wait for");
    let put = Command::PutController {
        name: name("c"),
        driver: DriverKind::Ryu,
        // Nobody is there.
        address: Some(ControllerAddress::new("http://127.0.0.1:1").unwrap()),
        topology: name("net"),
        settings: RuleSettings::default(),
    };
    app.submit_one(put, Mode::Commit, None).await.unwrap().unwrap();
    assert_ne!(only_state(&app).await, LspState::Active);
    tasks.stop(&app).await;

    let (app, tasks) = App::start(journal(&folder).await).await.unwrap();
    assert_eq!(only_state(&app).await, LspState::Installing);
    let delete = Command::DeleteController { name: name("c"), rules: RulesOnDelete::Leave };
    app.submit_one(delete, Mode::Commit, None).await.unwrap().unwrap();
    while only_state(&app).await != LspState::Active {
        tokio::task::yield_now().await;
    }
    tasks.stop(&app).await;
}

async fn only_state(app: &App) -> LspState {
    let conditions = app.conditions();
    let states =
        app.read(|state| state.allocations_after(None).map(|lsp| conditions.of(lsp).state).collect::<Vec<_>>());
    let [state] = states[..] else { panic!("not one") };
    state
}

#[tokio::test]
async fn at_intervals_the_scheduler_waits_for_its_turn_but_not_with_a_new_subscription() {
    let pace = Pace::Interval(std::time::Duration::from_secs(3_600));
    let (app, tasks, _folder) = start_with(SchedulerOptions { pace, ..SchedulerOptions::default() }).await;
    let mut now = app.now();
    let mut report = async |levels: &[(u8, u64)]| {
        now = Millis(now.0 + 1);
        let topics = levels.iter().map(|(level, arrival)| TopicReport {
            topic: name("t"),
            level: QosLevel::new(*level).unwrap(),
            arrival: Bandwidth::saturating_from_bps(*arrival),
            subscribers: vec![Subscriber { consumer: name("c"), node: name("b"), endpoint: None }],
        });
        let metadata = Metadata {
            node: name("a"),
            at: now,
            presence: Presence::default(),
            levels: [LevelReport::default(); 3],
            topics: topics.collect(),
        };
        let view = app.scheduler().report(name("ag"), metadata).await.unwrap();
        [0, 1].map(|level: usize| view.rates.levels[level].rate.as_bps() / 50_000)
    };
    assert_eq!(report(&[(0, 100_000)]).await, [2, 0]);
    assert_eq!(report(&[(0, 200_000)]).await, [2, 0]);
    assert_eq!(report(&[(0, 200_000), (1, 100_000)]).await, [4, 2]);
    assert_eq!(report(&[]).await, [4, 2].map(|_| 0), "what nobody wants is not told");
    tasks.stop(&app).await;
}
