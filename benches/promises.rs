//! Promises over HTTP, one connection, SQLite with `synchronous=FULL`: what a hold and its commit take beside one request that
//! is in force at once, in turns; and how late bookings start, by the time of their event. `cargo bench --bench promises`.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench prints and stops")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api::allocation::{AllocationOutcome, AllocationRequest};
use api::client::{Client, ClientError, Effect};
use api::event::EventKind;

const PAIRS: u32 = 2_000;
const BOOKINGS: u64 = 1_000;
/// Bookings start within this time, at instants of their own.
const STARTS_MS: u64 = 20_000;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Command::new(env!("CARGO_BIN_EXE_watermaster"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .env("RUST_LOG", "warn")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the service starts");
    let mut lines = BufReader::new(server.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(format!("http://{}", line.split("http://").nth(1)?.split('/').next()?)));
    std::thread::spawn(move || lines.for_each(drop));
    let client = Client::new(&address.expect("it says where it listens")).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let measured = runtime.block_on(async {
        hold_and_commit(&client).await?;
        starts(&client).await
    });
    server.kill().expect("it runs");
    server.wait().expect("it ran");
    measured.expect("the service answers");
}

async fn hold_and_commit(client: &Client) -> Result<(), ClientError> {
    let (mut one, mut two) = (Duration::ZERO, Duration::ZERO);
    for number in 0..PAIRS {
        let started = Instant::now();
        let plain = create(client, AllocationRequest::default(), &format!("plain-{number}")).await?;
        one += started.elapsed();
        let started = Instant::now();
        let hold = AllocationRequest { hold_ms: Some(60_000), ..AllocationRequest::default() };
        let held = create(client, hold, &format!("held-{number}")).await?.allocation.id.expect("an id");
        client.allocation_commit(&held).await?;
        two += started.elapsed();
        client.allocation_release(&held).await?;
        client.allocation_release(&plain.allocation.id.expect("an id")).await?;
    }
    let mean_us = |sum: Duration| sum.as_secs_f64() * 1e6 / f64::from(PAIRS);
    let (one, two) = (mean_us(one), mean_us(two));
    println!("one request {one:.0} us, hold and commit {two:.0} us: {:.2} times, {PAIRS} in turns", two / one);
    Ok(())
}

async fn starts(client: &Client) -> Result<(), ClientError> {
    let first = now_ms() + 5_000;
    let mut due = std::collections::BTreeMap::new();
    for number in 0..BOOKINGS {
        let at = first + number * STARTS_MS / BOOKINGS;
        let booking = AllocationRequest { starts_at: Some(api::instant::Instant(at)), ..AllocationRequest::default() };
        let booked = create(client, booking, &format!("booked-{number}")).await?;
        due.insert(booked.allocation.id.expect("an id"), at);
        assert!(now_ms() < first, "the bookings took longer than there was time");
    }
    let mut late_ms = vec![];
    let mut events = client.events(Some(0), None);
    while late_ms.len() < due.len() {
        let event = events.next().await?;
        if event.kind == EventKind::AllocationStarted {
            let data = serde_json::to_value(&event.data).expect("a document");
            let at = data["allocation"]["id"].as_str().and_then(|id| due.get(id)).expect("it was booked");
            late_ms.push(event.at.0.saturating_sub(*at));
        }
    }
    late_ms.sort_unstable();
    let [half, most] = [late_ms.len() / 2, late_ms.len() - 1].map(|at| late_ms[at]);
    println!("{BOOKINGS} bookings started {half} ms late in the median, {most} ms at most");
    Ok(())
}

async fn create(client: &Client, request: AllocationRequest, key: &str) -> Result<AllocationOutcome, ClientError> {
    let (ingress, egress) = ("WA".to_owned(), "NJ".to_owned());
    let request = AllocationRequest { ingress, egress, class_type: Some(0), bandwidth_bps: 100, ..request };
    client.allocation_create(&request, key, Effect::Real).await
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 500 million")
}
