//! The program itself, killed without warning and started again: what was acknowledged is there, what was not is wholly
//! there or wholly absent. And two of them on one PostgreSQL: both decide, the journal's key arbitrates, both see all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::ask;
use crate::running::Running;

const KILLS: usize = 4;
const CLIENTS: usize = 8;

/// What the clients were told.
#[derive(Default)]
struct Told {
    /// Admitted, by id: the path that was answered.
    admitted: BTreeMap<String, Value>,
    /// Released and acknowledged.
    released: Vec<String>,
    /// A release was sent and never answered: either is right.
    uncertain: Vec<String>,
}

/// Admits and releases until told to stop or the server is gone.
fn hammer(address: SocketAddr, seed: usize, stop: &AtomicBool, told: &Mutex<Told>) {
    let nodes = ["WA", "CA1", "NJ", "TX", "IL", "GA"];
    let mut mine: Vec<String> = vec![];
    for at in seed.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (ingress, egress) = (nodes[at % 6], nodes[(at + 1 + at / 6 % 5) % 6]);
        let body = json!({"topology": "nsfnet", "ingress": ingress, "egress": egress, "class_type": at % 3,
            "bandwidth_bps": 1_000_000 + at});
        let Ok((status, answer)) = ask(address, "POST", "/v1/allocations", Some(&body.to_string())) else { return };
        if status == 201 {
            let id = answer["id"].as_str().unwrap().to_owned();
            told.lock().unwrap().admitted.insert(id.clone(), answer["path"].clone());
            mine.push(id);
        }
        if at % 3 == 0 && mine.len() > 1 {
            let id = mine.swap_remove(at % mine.len());
            match ask(address, "DELETE", &format!("/v1/allocations/{id}"), None) {
                Ok((204, _)) => told.lock().unwrap().released.push(id),
                Ok((status, answer)) => panic!("{status} {answer}"),
                Err(_) => {
                    told.lock().unwrap().uncertain.push(id);
                    return;
                }
            }
        }
    }
}

fn survives_being_killed(arguments: &[&str]) {
    let mut told = Told::default();
    let mut server = Running::start(arguments);
    for round in 0..KILLS {
        let shared = Arc::new(Mutex::new(std::mem::take(&mut told)));
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (shared, stop, address) = (Arc::clone(&shared), Arc::clone(&stop), server.address);
                std::thread::spawn(move || hammer(address, client * 1_000 + round, &stop, &shared))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(400 + 150 * round as u64));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
        told = Arc::into_inner(shared).unwrap().into_inner().unwrap();
        // Starting audits the whole state: nothing half-there would be let through.
        server = Running::start(arguments);
        check(&server, &told);
    }
    assert!(told.admitted.len() > KILLS * CLIENTS, "only {} were admitted", told.admitted.len());
    // An orderly stop writes a snapshot; a start from it knows the same.
    let before = server.living();
    server.terminate();
    let server = Running::start(arguments);
    assert_eq!(server.living(), before);
    check(&server, &told);
}

fn check(server: &Running, told: &Told) {
    let living = server.living();
    for (id, path) in &told.admitted {
        if told.released.contains(id) {
            assert!(!living.contains_key(id), "{id} was released and lives");
            let (status, over) = server.get(&format!("/v1/allocations/{id}"));
            assert_eq!((status, over["state"].as_str()), (200, Some("released")), "{over}");
        } else if !told.uncertain.contains(id) {
            let found = living.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is gone"));
            assert_eq!(&found["path"], path);
        }
    }
    // The books are what the living add up to.
    let mut reserved: BTreeMap<String, u64> = BTreeMap::new();
    for allocation in living.values() {
        for link in allocation["path"].as_array().unwrap() {
            *reserved.entry(link.as_str().unwrap().to_owned()).or_default() +=
                allocation["bandwidth_bps"].as_u64().unwrap();
        }
    }
    let (status, links) = server.get("/v1/topologies/nsfnet/links?limit=1000");
    assert_eq!(status, 200);
    for link in links["items"].as_array().unwrap() {
        let name = link["link"].as_str().unwrap();
        assert_eq!(link["reserved_bps"].as_u64().unwrap(), reserved.get(name).copied().unwrap_or(0), "{name}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    survives_being_killed(&["--data", folder.path().to_str().unwrap()]);
}

#[test]
fn what_was_acknowledged_survives_a_kill_on_postgres() {
    let database = crate::journal::ScratchUrl::new();
    survives_being_killed(&["--database", database.url()]);
}

/// A hold that the kill left without its commit lapses all the same: no link keeps anything of it.
#[test]
fn a_kill_between_hold_and_commit_leaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--data", folder.path().to_str().unwrap()];
    let server = Running::start(&arguments);
    for number in 1..=20 {
        let body = json!({"topology": "nsfnet", "ingress": "WA", "egress": "NJ", "class_type": 0,
            "bandwidth_bps": 1_000_000 * number, "hold_ms": 2_000});
        let (status, answer) = ask(server.address, "POST", "/v1/allocations", Some(&body.to_string())).unwrap();
        assert_eq!((status, answer["state"].as_str()), (201, Some("held")), "{answer}");
    }
    server.kill();
    let server = Running::start(&arguments);
    let reserved = || {
        let (status, links) = server.get("/v1/topologies/nsfnet/links?limit=1000");
        assert_eq!(status, 200);
        links["items"].as_array().unwrap().iter().map(|link| link["reserved_bps"].as_u64().unwrap()).sum::<u64>()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while reserved() > 0 {
        assert!(Instant::now() < deadline, "{} bit/s are held", reserved());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_services_share_one_postgres() {
    let database = crate::journal::ScratchUrl::new();
    let one = Running::start(&["--database", database.url()]);
    let two = Running::start(&["--database", database.url()]);
    let told = Arc::new(Mutex::new(Told::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let address = if client % 2 == 0 { one.address } else { two.address };
            let (told, stop) = (Arc::clone(&told), Arc::clone(&stop));
            std::thread::spawn(move || hammer(address, client * 1_000, &stop, &told))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let told = Arc::into_inner(told).unwrap().into_inner().unwrap();
    assert!(told.admitted.len() > CLIENTS);
    // Each follows what the other wrote.
    let deadline = Instant::now() + Duration::from_secs(20);
    while one.living() != two.living() {
        assert!(Instant::now() < deadline, "they do not agree");
        std::thread::yield_now();
    }
    check(&one, &told);
    check(&two, &told);
}

#[test]
fn an_open_event_stream_does_not_hold_up_a_stop() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    stream.write_all(b"GET /v1/events/stream?after=0 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut heard = [0; 64];
    assert!(stream.read(&mut heard).unwrap() > 0);
    server.terminate();
    let mut rest = vec![];
    stream.read_to_end(&mut rest).unwrap();
}
