//! Three replicas on one PostgreSQL drive the lab while leaders are killed and stopped: what stands is neither rewritten nor
//! deleted, and no packet of it is lost.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::ask;
use crate::journal::ScratchUrl;
use crate::lab::{Lab, await_that};
use crate::network::{RING_FILE, SOON, wanted, with};
use crate::running::Running;

/// How long allocations come and go, unless `WATERMASTER_CHAOS_SECONDS` says otherwise.
const SECONDS: u64 = 24;

struct Replicas<'a> {
    database: &'a ScratchUrl,
    running: Vec<Running>,
}

impl Replicas<'_> {
    fn start_one(&mut self) {
        self.running.push(Running::start(&["--database", self.database.url()]));
    }

    fn controller(&self, at: usize) -> Value {
        self.running[at].get("/v1/controllers/lab").1
    }

    /// Which replica says of itself that it leads.
    fn leader(&self) -> Option<usize> {
        (0..self.running.len()).find(|at| self.controller(*at)["leader"]["answers"] == true)
    }

    /// Admits a request at a replica; none if that replica cannot just now.
    fn admit(&self, at: usize, wanted: &Value) -> Option<String> {
        let address = self.running[at].address;
        let (status, answer) = ask(address, "POST", "/v1/allocations", Some(&wanted.to_string())).ok()?;
        (status == 201).then(|| answer["id"].as_str().unwrap().to_owned())
    }

    fn release(&self, at: usize, id: &str) -> bool {
        let done = ask(self.running[at].address, "DELETE", &format!("/v1/allocations/{id}"), None);
        done.is_ok_and(|(status, _)| matches!(status, 204 | 404))
    }
}

fn flow(number: u16) -> Value {
    with(wanted(2, 4, 10_000), &json!({"flow": {"ip_proto": 17, "l4_dst": 10_000 + number}}))
}

#[test]
fn packets_survive_killed_and_stopped_leaders() {
    let seconds = std::env::var("WATERMASTER_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let (lab, database) = (Lab::take(), ScratchUrl::new());
    let mut replicas = Replicas { database: &database, running: vec![] };
    for _ in 0..3 {
        replicas.start_one();
    }
    let put = |path: &str, body: &str| {
        let (status, answer) = ask(replicas.running[0].address, "PUT", path, Some(body)).unwrap();
        assert!(matches!(status, 200 | 201), "{status} {answer}");
    };
    put("/v1/topologies/ring", RING_FILE);
    put("/v1/controllers/lab", &json!({"driver": "ryu", "url": lab.url(), "topology": "ring"}).to_string());
    await_that("one leads", SOON, || replicas.leader(), Option::is_some);
    let standing: Vec<String> = [wanted(1, 3, 1_000_000), wanted(3, 1, 1_000_000)]
        .iter()
        .map(|wanted| replicas.admit(0, wanted).unwrap())
        .collect();
    let all_calm = |replicas: &Replicas<'_>, living: usize| {
        let calm = |running: &Running| {
            let seen = running.get("/v1/controllers/lab").1;
            running.living().len() == living && seen["rules"]["drifting"] == 0 && seen["unsettled_allocations"] == 0
        };
        replicas.running.iter().filter(|running| calm(running)).count()
    };
    await_that("all three say so", SOON, || all_calm(&replicas, 2), |calm| *calm == 3);
    let began = Instant::now();
    let pings = lab.ping(1, 3, u32::try_from(seconds * 100).unwrap(), 10);

    let (mut living, mut number, mut stopped): (Vec<String>, u16, Option<usize>) = (vec![], 0, None);
    let signal = |name: &str, running: &Running| {
        assert!(Command::new("kill").args([name, &running.pid().to_string()]).status().unwrap().success());
    };
    let mut next_fault = Duration::from_secs(3);
    let mut faults = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        if began.elapsed() > next_fault {
            next_fault += Duration::from_secs(3);
            faults += 1;
            if let Some(at) = stopped.take() {
                signal("-CONT", &replicas.running[at]);
            } else if let Some(at) = replicas.leader() {
                if faults % 4 == 1 {
                    replicas.running.remove(at).kill();
                    replicas.start_one();
                } else {
                    signal("-STOP", &replicas.running[at]);
                    stopped = Some(at);
                }
            }
        }
        let able: Vec<usize> = (0..replicas.running.len()).filter(|at| Some(*at) != stopped).collect();
        let at = able[usize::from(number) % able.len()];
        number += 1;
        if number % 3 == 0 && !living.is_empty() {
            let gone = living.remove(usize::from(number) % living.len());
            if !replicas.release(at, &gone) {
                living.push(gone);
            }
        } else {
            living.extend(replicas.admit(at, &flow(number)));
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    if let Some(at) = stopped {
        signal("-CONT", &replicas.running[at]);
    }
    let answers = pings.done();
    assert_eq!(answers.len() as u64, seconds * 100, "packets of what stands are lost; {faults} faults");
    assert!(faults >= 4 && living.len() > 10, "{faults} faults, {} allocations", living.len());

    // An admission whose answer was lost with its replica stands all the same.
    let known = replicas.running.iter().map(|running| running.living().len()).max().unwrap();
    await_that("all three agree", Duration::from_secs(60), || all_calm(&replicas, known), |calm| *calm == 3);
    assert!(known >= living.len() + 2, "{known} {}", living.len());
    let (rules, meters) = lab.held();
    assert_eq!((rules, meters), (3 * known, known), "no rule of what is over, none too few");
    // What stands was written once, at the beginning.
    let age = began.elapsed().as_secs_f64();
    let ids: Vec<u64> = standing.iter().map(|id| id.parse().unwrap()).collect();
    let mut seen = 0;
    for (cookie, seconds) in
        (1..=4).flat_map(|switch| lab.ages(switch)).filter(|(cookie, _)| ids.contains(&(cookie & 0xff_ffff_ffff)))
    {
        assert!(seconds >= age, "rule {cookie:#x} is {seconds} s old, and stood {age} s ago");
        seen += 1;
    }
    assert_eq!(seen, 6);
}
