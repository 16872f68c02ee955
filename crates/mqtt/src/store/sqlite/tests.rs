//! What is written is what memory had, whatever happened; and what was answered is written.

use std::path::PathBuf;

use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use sqlx::Connection;
use tempfile::TempDir;

use super::*;
use crate::codec::{Qos, RetainHandling, SubscriptionOptions};
use crate::message::{ClientId, Message};
use crate::router::GrantedSubscription;
use crate::store::{DedupKey, DeliveryOptions, LastWill, Progress, Publication, Published, SessionExpiry, WillFate};

/// A time long before those of this machine, so that no message expires by the clock.
const NOW_MS: UnixMs = UnixMs::MAX / 4;

fn address(folder: &TempDir) -> SqliteAddress {
    SqliteAddress { path: PathBuf::from(folder.path()).join("broker.sqlite"), synchronous: Synchronous::Normal }
}

fn claim(client: &str, expiry_s: u32, clean_start: bool, will: Option<LastWill>) -> SessionClaim {
    let user = Some("u".into());
    SessionClaim { now_ms: NOW_MS, client: client.into(), user, clean_start, expiry_s, will, takes_over: true }
}

fn message(text: &str, retain: bool) -> Message {
    let message = Message::new("a/b", text.to_owned(), Qos::ExactlyOnce).unwrap();
    Message { retain, ..message }
}

fn options(share: Option<&str>) -> DeliveryOptions {
    DeliveryOptions { qos: Qos::AtLeastOnce, retain: false, ids: vec![3], share: share.map(Arc::from) }
}

fn publication(message: Message, appends: Vec<(ClientId, DeliveryOptions)>) -> Publication {
    let (retain, message) = (message.retain, Arc::new(message));
    Publication { dedup_key: None, message, appends, forwards: vec![], directs: vec![], retain }
}

fn granted() -> GrantedSubscription {
    let options = SubscriptionOptions {
        qos: Qos::ExactlyOnce,
        no_local: true,
        retain_as_published: false,
        retain_handling: RetainHandling::SendIfNew,
    };
    GrantedSubscription { options, id: Some(9) }
}

/// One of few clients does something, so that much of it meets.
#[derive(Clone, Debug)]
struct Step {
    what: u8,
    client: u8,
    number: u8,
    flag: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..14, 0u8..4, 0u8..24, any::<bool>());
    let step = step.prop_map(|(what, client, number, flag)| Step { what, client, number, flag });
    proptest::collection::vec(step, 0..60)
}

/// The epoch of each client, and whether its session lasts: others have no messages in the store.
type Clients = [(u64, bool); 4];

async fn take(store: &SqliteStore, clients: &mut Clients, step: &Step) {
    let Step { what, client, number, flag } = *step;
    let name: ClientId = format!("client-{client}").into();
    let holder = SessionHolder { client: Arc::clone(&name), epoch: clients[usize::from(client)].0 };
    let (seq, text) = (u64::from(number), format!("{number}"));
    let filter = bytestring::ByteString::from(format!("a/{}", number % 3));
    let op = match what {
        0 => {
            let will = LastWill { message: Arc::new(message("will", false)), delay_s: u32::from(number) };
            let expiry_s = if number < 3 { 0 } else { 60 };
            let claimed = store.claim(claim(&name, expiry_s, flag, Some(will).filter(|_| number % 2 == 0))).await;
            let claimed = claimed.unwrap().unwrap();
            clients[usize::from(client)] = (claimed.epoch, claimed.present || expiry_s > 0);
            return;
        }
        1..=5 => {
            let expires_at_ms = (number < 8).then_some(NOW_MS + 1000 * seq);
            let message = Message { expires_at_ms, ..message(&text, number == 23) };
            let takers = (0..4).filter(|taker| number & (1 << taker) != 0 && clients[*taker].1);
            let share = Some("$share/g/a").filter(|_| flag);
            let appends = takers.map(|taker| (format!("client-{taker}").into(), options(share))).collect();
            let dedup_key = (what == 5).then_some(DedupKey::Inbound { holder, packet_id: number.into() });
            StoreOp::Publish(Box::new(Publication { dedup_key, ..publication(message, appends) }))
        }
        6 if flag => StoreOp::Subscribe { holder, filter, granted: granted() },
        6 => StoreOp::Unsubscribe { holder, filter },
        7 => StoreOp::Ack { holder, seqs: vec![seq], progress: Progress { sent: seq, over: 0 } },
        8 => StoreOp::Received { holder, seq, sent: seq },
        9 => StoreOp::Complete { holder, seq },
        10 => StoreOp::Released { holder, packet_id: number.into() },
        11 => StoreOp::ReleaseShare { client: name, share: "$share/g/a".into() },
        12 => {
            // What ends with its connection cannot be made to last [MQTT-3.14.2-2].
            let lasts = number >= 8 && clients[usize::from(client)].1;
            let expiry = if !lasts { SessionExpiry::Nothing } else { SessionExpiry::Until(NOW_MS + 500 * seq) };
            let will = if flag { WillFate::Due(NOW_MS) } else { WillFate::Dropped };
            StoreOp::Detach { holder, sent: seq, expiry, will }
        }
        _ => {
            let due = store.sweep(NOW_MS + 300 * seq).await.unwrap();
            let to: Vec<_> =
                clients[usize::from(client)].1.then(|| (Arc::clone(&name), options(None))).into_iter().collect();
            let wills = due.wills.into_iter().map(|will| {
                let dedup_key = Some(DedupKey::Will { client: will.client, epoch: will.epoch });
                Publication { dedup_key, ..publication(message("will", false), vec![]) }
            });
            let orphaned = due.orphaned.into_iter().map(|orphaned| Publication {
                dedup_key: Some(DedupKey::Orphaned { id: orphaned.id }),
                ..publication(message("orphan", false), to.clone())
            });
            let ops = wills.chain(orphaned).filter(|_| flag).map(|one| StoreOp::Publish(Box::new(one)));
            store.commit(ops.collect()).await.unwrap();
            return;
        }
    };
    store.commit(vec![op]).await.unwrap();
}

/// What the file holds for a process that starts.
async fn read_back(address: &SqliteAddress) -> (Vec<String>, usize) {
    let mut connection = file::open(address).await.unwrap();
    let loaded = load::load(&mut connection, NOW_MS).await.unwrap();
    connection.close().await.unwrap();
    let described = loaded.memory.lock().describe();
    (described, loaded.segments.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_file_holds_what_memory_had(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let address = address(&folder);
            let file = Sqlite::open_with(&address, 0).await.unwrap();
            let store = file.replica();
            store.join(NOW_MS).await.unwrap();
            let mut clients = Clients::default();
            for step in &steps {
                take(&store, &mut clients, step).await;
            }
            file.written().await.unwrap();
            let (found, _) = read_back(&address).await;
            file.memory.lock().end_connections(NOW_MS);
            let expected = file.memory.lock().describe();
            prop_assert_eq!(found, expected);
            // What is over takes no room for good.
            file.memory.lock().end_connections(NOW_MS);
            store.leave().await.unwrap();
            let queued = file.memory.lock().queued_bytes();
            if queued == 0 {
                prop_assert_eq!(read_back(&address).await.1, 0);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_is_left_of_old_segments_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let address = address(&folder);
    let file = Sqlite::open_with(&address, 0).await.unwrap();
    let store = file.replica();
    store.join(NOW_MS).await.unwrap();
    store.claim(claim("stays", 60, true, None)).await.unwrap();
    let epoch = store.claim(claim("goes", 60, true, None)).await.unwrap().unwrap().epoch;
    let holder = SessionHolder { client: "goes".into(), epoch };
    for number in 1..=100 {
        // Each group has a message that stays among some that go.
        let to = |client: &str| vec![(client.into(), options(None))];
        let stays = publication(message(&format!("stays {number}"), false), to("stays"));
        let goes = (0..9).map(|_| publication(message("goes", false), to("goes")));
        let batch = std::iter::once(stays).chain(goes).map(|one| StoreOp::Publish(Box::new(one))).collect();
        store.commit(batch).await.unwrap();
        let seqs = (number * 9 - 8..=number * 9).collect();
        let progress = Progress { sent: number * 9, over: 0 };
        store.commit(vec![StoreOp::Ack { holder: holder.clone(), seqs, progress }]).await.unwrap();
    }
    store.leave().await.unwrap();
    let before = file.memory.lock().queued_bytes();
    let (found, segments) = read_back(&address).await;
    assert_eq!(found.iter().filter(|line| line.contains("payload: b\"stays ")).count(), 100, "{found:?}");
    assert!(before > 0 && segments < 60, "{segments} segments of 100 are left");
}

#[tokio::test]
async fn a_file_is_of_one_process_and_of_one_form() {
    let folder = tempfile::tempdir().unwrap();
    let address = address(&folder);
    let file = Sqlite::open(&address).await.unwrap();
    assert!(matches!(Sqlite::open(&address).await, Err(SqliteError::InUse(_))));
    let store = file.replica();
    store.join(0).await.unwrap();
    store.leave().await.unwrap();
    assert!(matches!(store.claim(claim("late", 60, true, None)).await, Err(StoreError::Shut)));
    assert!(!store.is_available());
    drop((file, store));
    let mut connection = file::open(&address).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(matches!(Sqlite::open(&address).await, Err(SqliteError::Form(99))));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_harms_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let address = address(&folder);
    let file = Sqlite::open(&address).await.unwrap();
    let store = file.replica();
    store.join(0).await.unwrap();
    for client in ["broken", "whole"] {
        store.claim(claim(client, 60, true, None)).await.unwrap();
    }
    let to = ["broken", "whole"].map(|client| (client.into(), options(None))).to_vec();
    let published = store.commit(vec![StoreOp::Publish(Box::new(publication(message("1", true), to)))]).await.unwrap();
    let numbers = vec![Some(1), Some(1)];
    assert_eq!(published, [StoreOutcome::Published(Published { numbers, ..Published::default() })]);
    store.leave().await.unwrap();
    drop((file, store));
    let mut connection = file::open(&address).await.unwrap();
    let spoil = "UPDATE session SET state = x'0102' WHERE client = 'broken'; \
        UPDATE retained SET topic = CAST(x'ff61' AS TEXT), message = x'00'";
    sqlx::raw_sql(spoil).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let file = Sqlite::open(&address).await.unwrap();
    let store = file.replica();
    assert_eq!(store.join(0).await.unwrap().retained.len(), 0);
    let present = async |client: &str| store.claim(claim(client, 60, false, None)).await.unwrap().unwrap();
    assert!(!present("broken").await.present);
    let whole = present("whole").await;
    assert_eq!((whole.present, whole.last), (true, 1));
    let holder = SessionHolder { client: "whole".into(), epoch: whole.epoch };
    assert_eq!(store.load(holder, 0, 9).await.unwrap()[0].message.payload, "1");
}

#[tokio::test]
async fn while_the_file_takes_no_writes_nothing_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let address = address(&folder);
    let file = Sqlite::open(&address).await.unwrap();
    let store = Arc::new(file.replica());
    store.join(0).await.unwrap();
    let mut other = file::open(&address).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let claiming = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.claim(claim("patient", 60, true, None)).await.map(|claimed| claimed.is_some()) }
    });
    while store.is_available() {
        tokio::task::yield_now().await;
    }
    assert!(!claiming.is_finished());
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(claiming.await.unwrap().unwrap());
    assert!(store.is_available());
    assert!(read_back(&address).await.0[1].starts_with("patient "));
}
