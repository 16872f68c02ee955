//! Backup, restore, verification and export of the books, on either database, while the service runs.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kernel::class::ClassType;
use kernel::id::{Name, Sequence};
use kernel::link_sample::{BandwidthRange, LinkSample};
use kernel::topology::LinkState;
use kernel::units::{Bandwidth, Millis};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use watermaster::app::Clock;
use watermaster::journal::{DatabaseUrl, Journal, LinkSampling, SampleChange, SampleResolution};

use crate::client::ask;
use crate::journal::Scratch;
use crate::running::Running;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watermaster")).args(arguments).output().unwrap()
}

fn words(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fault(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Something of every kind: admitted, released, preempted, denied.
fn live(server: &Running) {
    let admit = |class_type: u8, bandwidth_bps: u64| {
        let request = json!({"ingress": "WA", "egress": "CA1", "class_type": class_type, "bandwidth_bps": bandwidth_bps,
            "constraints": {"max_hops": 1}, "name": "ACME"});
        ask(server.address, "POST", "/v1/allocations", Some(&request.to_string())).unwrap()
    };
    let (_, first) = admit(0, 9_000_000_000);
    let (_, second) = admit(2, 4_000_000_000);
    assert_eq!(admit(1, 90_000_000_000).0, 409);
    assert_eq!(second["preempted"], json!([first["id"]]), "{second}");
    let released = format!("/v1/allocations/{}", second["id"].as_str().unwrap());
    assert_eq!(ask(server.address, "DELETE", &released, None).unwrap().0, 204);
    assert_eq!(admit(1, 1_000_000).0, 201);
}

fn allocations(server: &Running) -> Value {
    let (status, mut page) = ask(server.address, "GET", "/v1/allocations", None).unwrap();
    assert_eq!(status, 200);
    page["items"].take()
}

/// What was sampled on a link two hours ago.
const SAMPLED_BPS: u64 = 4_242;

/// Samples a link, as the service did two hours ago.
async fn sample(data: &Path) {
    let journal = Journal::open(&DatabaseUrl::Sqlite(data.join("watermaster.db"))).await.unwrap();
    let at = SampleResolution::Minute.floor(Millis(Clock::new().now().0 - 2 * 60 * 60 * 1_000));
    let reserved = BandwidthRange::at_once(SAMPLED_BPS);
    let capacity = Bandwidth::saturating_from_bps(10_000_000_000);
    let (state, classes) = (LinkState::Up, [(ClassType::LOWEST, reserved)].into());
    let sample = Some(LinkSample { state, capacity, max_reservable: capacity, reserved, classes, measured: None });
    let name = |text: &str| Name::new(text).unwrap();
    let change = SampleChange { topology: name("nsfnet"), link: name("WA-CA1"), sample };
    let sampling = LinkSampling { at, sequence: Sequence(1) };
    assert!(journal.put_link_samples(SampleResolution::Minute, sampling, &[change]).await.unwrap());
    journal.close().await;
}

#[test]
fn a_backup_is_taken_while_the_service_runs_and_restores_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let [data, other, file] = ["data", "other", "backup.db"].map(|name| folder.path().join(name));
    let server = Running::start(&["--data", text(&data), "--mqtt-listen", "127.0.0.1:0"]);
    live(&server);
    let before = allocations(&server);
    assert_eq!(before.as_array().unwrap().len(), 3, "{before}");
    tokio::runtime::Runtime::new().unwrap().block_on(sample(&data));
    let said = words(&["backup", text(&file), "--data", text(&data)]);
    assert!(said.ends_with("holds 6 events: 1 topology and 1 living allocation\n"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside the backup");
    live(&server);
    assert!(fault(&["backup", text(&file), "--data", text(&data)]).contains("is there already"));
    assert!(words(&["journal", "--data", text(&data), "verify"]).contains(" fit together\n"));
    server.kill();

    assert!(words(&["restore", text(&file), "--data", text(&other)]).contains("holds 6 events"));
    assert!(fault(&["restore", text(&file), "--data", text(&other)]).contains("has 6 events"));
    assert!(fault(&["restore", "/nowhere", "--data", text(&other)]).contains("there is no file"));
    let exported = words(&["journal", "--data", text(&other), "export"]);
    let kinds: Vec<_> = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "topology_put",
            "allocation_admitted",
            "allocation_admitted",
            "allocation_denied",
            "allocation_released",
            "allocation_admitted"
        ]
    );
    let server = Running::start(&["--data", text(&other), "--mqtt-listen", "127.0.0.1:0"]);
    assert_eq!(allocations(&server), before);
    let history = "/v1/topologies/nsfnet/links/WA-CA1/history";
    let (status, sampled) = ask(server.address, "GET", history, None).unwrap();
    assert_eq!((status, &sampled["points"][0]["reserved_max_bps"]), (200, &json!(SAMPLED_BPS)), "{sampled}");
    live(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Running::start(&["--data", text(&data), "--mqtt-listen", "127.0.0.1:0"]);
    live(&server);
    server.terminate();
    let options = SqliteConnectOptions::new().filename(data.join("watermaster.db"));
    let mut connection = options.connect().await.unwrap();
    let damage = async |connection: &mut SqliteConnection, text: &'static str| {
        assert_eq!(sqlx::query(text).execute(connection).await.unwrap().rows_affected(), 1);
    };
    // One byte, and it is an event like any other.
    damage(&mut connection, "UPDATE journal SET body = replace(body, 'ACME', 'ACMF') WHERE sequence = 2").await;
    let why = fault(&["journal", "--data", text(&data), "verify"]);
    assert!(why.contains("event 2 is not the one that was written"), "{why}");
    damage(&mut connection, "UPDATE journal SET body = replace(body, 'ACMF', 'ACME') WHERE sequence = 2").await;
    assert!(words(&["journal", "--data", text(&data), "verify"]).contains(" fit together\n"));
    // The release of an allocation that never was.
    let changed = "UPDATE journal SET body = json_set(body, '$.id', '77') WHERE sequence = 5";
    assert_eq!(sqlx::query(changed).execute(&mut connection).await.unwrap().rows_affected(), 1);
    connection.close().await.unwrap();
    let why = fault(&["journal", "--data", text(&data), "verify"]);
    assert!(why.contains("event 5 is not the one that was written"), "{why}");
    let file = folder.path().join("backup.db");
    assert!(fault(&["backup", text(&file), "--data", text(&data)]).contains("event 5"));
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_go_from_postgres_to_a_file_and_back() {
    let (one, two) = (Scratch::new().await, Scratch::new().await);
    let [from, to] = [&one, &two].map(|scratch| scratch.options().to_url_lossy().to_string());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    let server = Running::start(&["--database", &from, "--mqtt-listen", "127.0.0.1:0"]);
    live(&server);
    let before = allocations(&server);
    let said = words(&["backup", text(&file), "--database", &from]);
    assert!(said.ends_with("holds 6 events: 1 topology and 1 living allocation\n"), "{said}");
    server.terminate();
    assert!(words(&["restore", text(&file), "--database", &to]).contains("holds 6 events"));
    let [was, is] = [&from, &to].map(|url| words(&["journal", "--database", url, "export"]));
    assert_eq!(was, is);
    assert!(
        words(&["journal", "--database", &to, "verify"]).starts_with("6 events: 1 topology and 1 living allocation")
    );
    let server = Running::start(&["--database", &to, "--mqtt-listen", "127.0.0.1:0"]);
    assert_eq!(allocations(&server), before);
    server.terminate();
    one.drop().await;
    two.drop().await;
}

/// So many times 500 allocations are made and released: a thousand events each time.
fn cycle(server: &Running, cycles: usize) {
    for _ in 0..cycles {
        let request = json!({"ingress": "WA", "egress": "CA1", "class_type": 1, "bandwidth_bps": 1_000});
        let requests = json!({"requests": vec![request; 500]}).to_string();
        let (status, answer) = ask(server.address, "POST", "/v1/allocations/batch", Some(&requests)).unwrap();
        assert_eq!(status, 200, "{answer}");
        for outcome in answer["outcomes"].as_array().unwrap() {
            let path = format!("/v1/allocations/{}", outcome["allocation"]["id"].as_str().unwrap());
            assert_eq!(ask(server.address, "DELETE", &path, None).unwrap().0, 204);
        }
    }
}

/// Waits until no more than `most` events are kept, and no ended allocation; the oldest event.
fn wait_until_trimmed(server: &Running, most: u64) -> u64 {
    let started = Instant::now();
    loop {
        let (_, page) = server.get("/v1/events?limit=1");
        let first = page["items"][0]["sequence"].as_u64().unwrap();
        let (_, ready) = server.get("/readyz");
        let head = ready["sequence"].as_u64().unwrap();
        if head - first <= most && server.get("/v1/allocations?state=released").1["items"] == json!([]) {
            return first;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "events {first} to {head} are kept");
        std::thread::sleep(Duration::from_millis(100));
    }
}

const KEEP: [&str; 4] = ["--journal-keep-events", "1000", "--history-keep-ms", "1"];

#[test]
fn many_cycles_keep_the_file_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let [data, other, file] = ["data", "other", "backup.db"].map(|name| folder.path().join(name));
    let server = Running::start(&[&["--data", text(&data), "--mqtt-listen", "127.0.0.1:0"][..], &KEEP[..]].concat());
    let size = || std::fs::metadata(data.join("watermaster.db")).unwrap().len();
    let mut sizes = vec![];
    for _ in 0..4 {
        cycle(&server, 4);
        let first = wait_until_trimmed(&server, 5_000);
        let (status, gone) = server.get("/v1/events?after=1");
        assert_eq!((status, &gone["type"]), (410, &json!("/problems/events-gone")));
        assert!(gone["first_sequence"].as_u64().unwrap() >= first);
        sizes.push(size());
    }
    // What is free goes back to the file system, but for 4 MiB.
    assert!(sizes.iter().all(|size| *size < 8 << 20), "{sizes:?}");
    live(&server);
    // By state: the restored books keep what is over for longer, which fills the first page of all.
    let before = server.living();
    assert!(words(&["journal", "--data", text(&data), "verify"]).contains("as a snapshot)"));
    assert!(words(&["backup", text(&file), "--data", text(&data)]).contains("as a snapshot)"));
    server.kill();
    assert!(words(&["restore", text(&file), "--data", text(&other)]).contains("as a snapshot)"));
    let server = Running::start(&["--data", text(&other), "--mqtt-listen", "127.0.0.1:0"]);
    assert_eq!(server.living(), before);
    live(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_cycles_keep_postgres_bounded() {
    let scratch = Scratch::new().await;
    let url = scratch.options().to_url_lossy().to_string();
    let server = Running::start(&[&["--database", &url, "--mqtt-listen", "127.0.0.1:0"][..], &KEEP[..]].concat());
    for _ in 0..2 {
        cycle(&server, 4);
        wait_until_trimmed(&server, 5_000);
    }
    let mut connection = scratch.options().connect().await.unwrap();
    let rows: i64 =
        sqlx::query_scalar("SELECT (SELECT COUNT(*) FROM journal) + (SELECT COUNT(*) FROM past_allocation)")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    // Events back to the snapshot before the newest are kept, for a start that has to fall back to it.
    assert!(rows < 5_500, "{rows}");
    server.terminate();
    assert!(words(&["journal", "--database", &url, "verify"]).contains("as a snapshot)"));
    let server = Running::start(&["--database", &url, "--mqtt-listen", "127.0.0.1:0"]);
    live(&server);
    server.terminate();
    connection.close().await.unwrap();
    scratch.drop().await;
}

/// As after a failover to a standby that lacked the last events: another replica has gone on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_notices_that_its_events_are_gone() {
    let scratch = Scratch::new().await;
    let url = scratch.options().to_url_lossy().to_string();
    let arguments = ["--database", &url, "--mqtt-listen", "127.0.0.1:0"];
    let old = Running::start(&arguments);
    live(&old);
    let mut connection = scratch.options().connect().await.unwrap();
    for text in ["DELETE FROM journal WHERE sequence > 1", "DELETE FROM past_allocation"] {
        sqlx::query(text).execute(&mut connection).await.unwrap();
    }
    let new = Running::start(&arguments);
    live(&new);
    live(&new);
    let is_same = || old.living() == new.living() && old.get("/v1/events").1 == new.get("/v1/events").1;
    wait_until("the old replica has the new truth", is_same);
    // Both write, and neither loses the other's.
    for server in [&old, &new, &old] {
        let request = json!({"ingress": "WA", "egress": "CA1", "class_type": 1, "bandwidth_bps": 1_000}).to_string();
        assert_eq!(ask(server.address, "POST", "/v1/allocations", Some(&request)).unwrap().0, 201);
    }
    wait_until("both have what either wrote", is_same);
    old.terminate();
    new.terminate();
    assert!(words(&["journal", "--database", &url, "verify"]).contains(" fit together\n"));
    connection.close().await.unwrap();
    scratch.drop().await;
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
