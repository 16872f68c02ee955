//! A database that falls silent: between the journal and PostgreSQL stands a relay that can hold back what passes, without
//! closing anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::Command;
use kernel::command::{Expected, OnMisfit};
use kernel::id::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use watermaster::app::{App, AppOptions, Mode, SubmitError};
use watermaster::journal::{AppendError, ChainDigest, DatabaseUrl, Journal, RecordBatch};

use crate::journal::Scratch;
use crate::journal::fixture::World;

const DEADLINE: Duration = Duration::from_secs(2);

/// Connections before the `first_well` are hit: nothing comes back on them, and, if `is_deaf`, nothing goes out either.
#[derive(Clone, Copy, Default)]
struct Fault {
    first_well: u64,
    is_deaf: bool,
}

pub(crate) struct Relay {
    port: u16,
    fault: Arc<watch::Sender<Fault>>,
    connections: watch::Receiver<u64>,
}

impl Relay {
    async fn to(host: String, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let fault = Arc::new(watch::Sender::new(Fault::default()));
        let (count, connections) = watch::channel(0);
        let faults = Arc::clone(&fault);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let number = *count.borrow();
                count.send_replace(number + 1);
                let (from_client, to_client) = client.into_split();
                let server = TcpStream::connect((host.as_str(), port)).await.unwrap();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, number, faults.subscribe(), |fault| fault.is_deaf));
                tokio::spawn(pass(from_server, to_client, number, faults.subscribe(), |_| true));
            }
        });
        Self { port: own_port, fault, connections }
    }

    pub(crate) fn silence_all(&self) {
        self.fault.send_replace(Fault { first_well: u64::MAX, is_deaf: true });
    }

    /// What is connected is hit, and stays so; new connections are well.
    pub(crate) fn silence_old(&self, is_deaf: bool) {
        self.fault.send_replace(Fault { first_well: *self.connections.borrow(), is_deaf });
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    faults: watch::Receiver<Fault>,
    is_held: impl Fn(Fault) -> bool,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        let fault = *faults.borrow();
        if number < fault.first_well && is_held(fault) {
            // Held back for good, and the connection stays open.
            return std::future::pending().await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

pub(crate) async fn behind_a_relay(scratch: &Scratch) -> (Relay, Journal) {
    let options = scratch.options();
    let relay = Relay::to(options.get_host().to_owned(), options.get_port()).await;
    let url = sqlx::ConnectOptions::to_url_lossy(&options.host("127.0.0.1").port(relay.port));
    let journal = Journal::open_within(&DatabaseUrl::Postgres(url.into()), DEADLINE).await.unwrap();
    (relay, journal)
}

fn more(world: &mut World, after: ChainDigest) -> RecordBatch {
    let mut batch = RecordBatch::after(after);
    while batch.is_empty() {
        world.live(10, &mut batch);
    }
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_is_found_in_the_journal() {
    let scratch = Scratch::new().await;
    let (relay, journal) = behind_a_relay(&scratch).await;
    let mut world = World::new(21);
    let first = more(&mut world, ChainDigest::default());
    journal.append(&first).await.unwrap();
    // One statement, of which only the answer is lost.
    let mut batch = RecordBatch::after(first.digest());
    let happened = std::iter::repeat_with(|| world.step()).flatten().next().unwrap();
    batch.push(&happened.fact, &[]).unwrap();
    relay.silence_old(false);
    journal.append(&batch).await.unwrap();
    assert_eq!(journal.head().await.unwrap(), world.state.sequence());
    // What never arrived is not there, cannot come later, and may be written again.
    let batch = more(&mut world, batch.digest());
    relay.silence_old(true);
    let failed = journal.append(&batch).await;
    assert!(matches!(failed, Err(AppendError::Failed(_))), "{failed:?}");
    journal.append(&batch).await.unwrap();
    // Where nothing can be asked, nothing is claimed.
    let batch = more(&mut world, batch.digest());
    relay.silence_all();
    let unknown = journal.append(&batch).await;
    assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
    relay.silence_old(true);
    journal.append(&batch).await.unwrap();
    assert!(journal.restore().await.unwrap() == world.state);
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_cut_off_lets_go_of_the_lock() {
    let scratch = Scratch::new().await;
    let (relay, cut_off) = behind_a_relay(&scratch).await;
    let locked = cut_off.lock().await.unwrap();
    relay.silence_all();
    let (other, mut world) = (scratch.open().await, World::new(22));
    let batch = more(&mut world, ChainDigest::default());
    let written = timeout(Duration::from_secs(20), async { while other.append(&batch).await.is_err() {} });
    assert!(written.await.is_ok(), "others write again");
    drop(locked);
    scratch.drop().await;
}

fn put(name: &str) -> Command {
    let text = include_str!("../../topologies/nsfnet.json");
    let imported = formats::read(text.as_bytes(), &formats::ReadOptions::default()).unwrap();
    Command::PutTopology {
        name: Name::new(name).unwrap(),
        topology: Arc::new(imported.topology),
        expected: Expected::Unsaid,
        misfits: OnMisfit::Refuse,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_wait_for_nothing_while_the_database_is_silent() {
    let scratch = Scratch::new().await;
    let (relay, journal) = behind_a_relay(&scratch).await;
    let options = AppOptions { deadline: DEADLINE, ..AppOptions::default() };
    let (app, tasks) = App::start_with(journal, options).await.unwrap();
    app.submit_one(put("before"), Mode::Commit, None).await.unwrap().unwrap();

    relay.silence_all();
    let (writer, began) = (app.clone(), Instant::now());
    let write = tokio::spawn(async move { writer.submit_one(put("silent"), Mode::Commit, None).await });
    let mut slowest = Duration::ZERO;
    while !write.is_finished() {
        let asked = Instant::now();
        assert_eq!(app.read(|state| state.networks().len()), 1);
        app.submit_one(put("dry"), Mode::DryRun, None).await.unwrap().unwrap();
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refused = write.await.unwrap();
    assert!(matches!(refused, Err(SubmitError::OutcomeUnknown(_) | SubmitError::Journal(_))), "{refused:?}");
    assert!(began.elapsed() < 4 * DEADLINE, "refused after {:?}", began.elapsed());
    assert!(slowest < DEADLINE / 2, "a read took {slowest:?}");
    assert!(app.database_fault().is_some());

    relay.silence_old(true);
    let well = timeout(Duration::from_secs(10), async {
        while app.submit_one(put("after"), Mode::Commit, None).await.is_err() {}
        while app.database_fault().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(well.await.is_ok(), "it recovers by itself");
    relay.silence_all();
    assert!(timeout(Duration::from_secs(90), tasks.stop(&app)).await.is_ok(), "it stops");
    scratch.drop().await;
}
