//! Two and three replicas on one PostgreSQL drive the lab while leaders are killed, stopped and cut off from the database: what
//! stands is neither rewritten nor deleted, no packet of it is lost, what is another program's is left alone, and what is called
//! active has its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::client::ask;
use crate::journal::ScratchUrl;
use crate::lab::{Lab, SWITCHES, await_that};
use crate::line::Line;
use crate::network::{RING_FILE, SOON, wanted, with};
use crate::running::Running;

/// How long allocations come and go, unless `WATERMASTER_CHURN_SECONDS` says otherwise.
const SECONDS: u64 = 24;
/// How many come and go at most at one time.
const LIVING_MAX: usize = 150;
/// The pace of faults: every second one of them ends the one before.
const FAULT_EVERY: Duration = Duration::from_secs(3);
/// Two looks at one rule tell when it was written to within this.
const SECONDS_APART: f64 = 1.0;
const ALLOCATION_BITS: u64 = 0xff_ffff_ffff;
const TAG: u64 = 0x57;
/// The cookies of another program's rules; one has the tag of this service.
const FOREIGN: [u64; 5] = [0xf01, 0xf02, 0xf03, 0xf04, 0x57f0_0000_0000_0001];

struct Replica {
    service: Running,
    database: Line,
}

struct Replicas<'a> {
    database: &'a ScratchUrl,
    running: Vec<Replica>,
}

/// What is done to a leader, until it is undone.
enum Fault {
    Stopped(usize),
    CutOff(usize),
}

impl Fault {
    fn at(&self) -> usize {
        let (Self::Stopped(at) | Self::CutOff(at)) = self;
        *at
    }
}

impl Replicas<'_> {
    fn start_one(&mut self) {
        let options: PgConnectOptions = self.database.url().parse().unwrap();
        let database = Line::to(options.get_port());
        let url = options.host("127.0.0.1").port(database.port).to_url_lossy();
        let service = Running::start(&["--database", url.as_str()]);
        self.running.push(Replica { service, database });
    }

    fn controller(&self, at: usize) -> Option<Value> {
        ask(self.running[at].service.address, "GET", "/v1/controllers/lab", None).ok().map(|(_, seen)| seen)
    }

    /// Which replica says of itself that it leads, but for one.
    fn leader(&self, except: Option<usize>) -> Option<usize> {
        let leads = |at: &usize| self.controller(*at).is_some_and(|seen| seen["leader"]["answers"] == true);
        (0..self.running.len()).filter(|at| Some(*at) != except).find(leads)
    }

    /// Admits a request at a replica; none if that replica cannot just now.
    fn admit(&self, at: usize, wanted: &Value) -> Option<String> {
        let address = self.running[at].service.address;
        let (status, answer) = ask(address, "POST", "/v1/allocations", Some(&wanted.to_string())).ok()?;
        (status == 201).then(|| answer["id"].as_str().unwrap().to_owned())
    }

    fn release(&self, at: usize, id: &str) -> bool {
        let done = ask(self.running[at].service.address, "DELETE", &format!("/v1/allocations/{id}"), None);
        done.is_ok_and(|(status, _)| matches!(status, 204 | 404))
    }

    fn signal(&self, at: usize, name: &str) {
        let pid = self.running[at].service.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The fault of this number, done to the leader.
    fn harm(&mut self, leader: usize, number: u64) -> Option<Fault> {
        match number % 3 {
            0 => {
                self.running.remove(leader).service.kill();
                self.start_one();
                None
            }
            1 => {
                self.signal(leader, "-STOP");
                Some(Fault::Stopped(leader))
            }
            _ => {
                self.running[leader].database.cut(true);
                Some(Fault::CutOff(leader))
            }
        }
    }

    fn undo(&self, fault: &Fault) {
        match fault {
            Fault::Stopped(at) => self.signal(*at, "-CONT"),
            Fault::CutOff(at) => self.running[*at].database.cut(false),
        }
    }

    /// How many replicas say that so many allocations are in force, with nothing to do.
    fn calm(&self, living: usize) -> usize {
        let is_calm = |replica: &&Replica| {
            let seen = replica.service.get("/v1/controllers/lab").1;
            replica.service.living().len() == living
                && seen["rules"]["drifting"] == 0
                && seen["unsettled_allocations"] == 0
        };
        self.running.iter().filter(is_calm).count()
    }
}

fn flow(number: u16) -> Value {
    with(wanted(2, 4, 10_000), &json!({"flow": {"ip_proto": 17, "l4_dst": 10_000 + number}}))
}

/// How many rules of this service each allocation has.
fn held(lab: &Lab) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for (_, id, _) in ours(lab) {
        *found.entry(id).or_default() += 1;
    }
    found
}

/// This service's rules: switch, allocation, and the seconds since each was written.
fn ours(lab: &Lab) -> impl Iterator<Item = (u32, u64, f64)> {
    let of = |switch| lab.ages(switch).into_iter().map(move |(cookie, age)| (switch, cookie, age));
    let all = (1..=SWITCHES).flat_map(of).filter(|(_, cookie, _)| cookie >> 56 == TAG && !FOREIGN.contains(cookie));
    all.map(|(switch, cookie, age)| (switch, cookie & ALLOCATION_BITS, age))
}

/// When the rules of each allocation were written on each switch, in seconds from the beginning; and which were written again.
#[derive(Default)]
struct Births {
    first: BTreeMap<(u32, u64), f64>,
    again: BTreeSet<u64>,
}

impl Births {
    /// Every rule is written once: one that is younger than it was has been overwritten, or was gone.
    fn look(&mut self, lab: &Lab, began: Instant) {
        for (switch, id, age) in ours(lab) {
            let born = began.elapsed().as_secs_f64() - age;
            let first = *self.first.entry((switch, id)).or_insert(born);
            if born > first + SECONDS_APART {
                self.again.insert(id);
            }
        }
    }
}

fn numbers<'a>(ids: impl IntoIterator<Item = &'a String>) -> BTreeSet<u64> {
    ids.into_iter().map(|id| id.parse().unwrap()).collect()
}

/// How long a replica may call active what another has released: it reads the journal four times a second.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// How many allocations a replica goes on to call active while the switches hold no rule of them.
fn lies(lab: &Lab, service: &Running) -> usize {
    let without_rules = || -> BTreeSet<u64> {
        let before = numbers(service.living().keys());
        let held = held(lab);
        let after = numbers(service.living().keys());
        before.intersection(&after).filter(|id| !held.contains_key(id)).copied().collect()
    };
    let (began, mut found) = (Instant::now(), without_rules());
    while !found.is_empty() && began.elapsed() < KNOWN_WITHIN {
        std::thread::sleep(Duration::from_millis(100));
        found = &found & &without_rules();
    }
    found.len()
}

/// What another program has on the switches, beside ours and of the same kind.
fn put_foreign(lab: &Lab) {
    for switch in 1..=SWITCHES {
        for rule in [
            "cookie=0xf01,priority=22144,udp,nw_src=10.88.0.1,tp_dst=9,actions=drop",
            "cookie=0xf02,priority=30000,mpls,mpls_label=90001,mpls_bos=1,actions=drop",
            "cookie=0xf03,priority=30000,mpls,mpls_label=500001,mpls_bos=1,actions=drop",
            "cookie=0x57f0000000000001,priority=50,ip,nw_src=10.88.0.2,actions=drop",
        ] {
            lab.ofctl("add-flow", switch, &[rule]);
        }
        lab.ofctl("add-meter", switch, &["meter=150000,kbps,band=type=drop,rate=1000"]);
        let user = "cookie=0xf04,priority=40,udp,nw_src=10.88.0.3,tp_dst=9,actions=meter:150000,output:1";
        lab.ofctl("add-flow", switch, &[user]);
    }
}

/// The foreign rules, with the seconds from the beginning to when they were written.
fn foreign(lab: &Lab, began: Instant) -> Vec<(u64, f64)> {
    let mut found: Vec<(u64, f64)> = (1..=SWITCHES)
        .flat_map(|switch| lab.ages(switch))
        .filter(|(cookie, _)| FOREIGN.contains(cookie))
        .map(|(cookie, age)| (cookie, began.elapsed().as_secs_f64() - age))
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    found
}

#[test]
fn packets_survive_killed_stopped_and_severed_leaders_of_three() {
    churn(3);
}

#[test]
fn packets_survive_killed_stopped_and_severed_leaders_of_two() {
    churn(2);
}

fn churn(count: usize) {
    let seconds = std::env::var("WATERMASTER_CHURN_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let (lab, database) = (Lab::take(), ScratchUrl::new());
    put_foreign(&lab);
    let mut replicas = Replicas { database: &database, running: vec![] };
    (0..count).for_each(|_| replicas.start_one());
    let put = |path: &str, body: &str| {
        let (status, answer) = ask(replicas.running[0].service.address, "PUT", path, Some(body)).unwrap();
        assert!(matches!(status, 200 | 201), "{status} {answer}");
    };
    put("/v1/topologies/ring", RING_FILE);
    put("/v1/controllers/lab", &json!({"driver": "ryu", "url": lab.url(), "topology": "ring"}).to_string());
    await_that("one leads", SOON, || replicas.leader(None), Option::is_some);
    for standing in [wanted(1, 3, 1_000_000), wanted(3, 1, 1_000_000)] {
        replicas.admit(0, &standing).unwrap();
    }
    await_that("all say so", SOON, || replicas.calm(2), |calm| *calm == count);
    let began = Instant::now();
    let theirs = foreign(&lab, began);
    let pings = lab.ping(1, 3, u32::MAX, 10);

    let mut births = Births::default();
    let mut living: Vec<String> = vec![];
    let (mut number, mut admitted, mut released) = (0_u16, 0, 0);
    let (mut faults, mut found_lies, mut looks) = (0, 0, 0);
    let mut fault: Option<Fault> = None;
    // When a leader was harmed, until another one leads; how long that took at most.
    let (mut leaderless, mut takeover): (Option<Instant>, Duration) = (None, Duration::ZERO);
    let (mut next_fault, mut next_look) = (FAULT_EVERY, Duration::from_secs(1));
    while began.elapsed() < Duration::from_secs(seconds) {
        if began.elapsed() > next_fault {
            next_fault += FAULT_EVERY;
            if let Some(fault) = fault.take() {
                replicas.undo(&fault);
            } else if let Some(at) = replicas.leader(None) {
                leaderless = Some(Instant::now());
                fault = replicas.harm(at, faults);
                faults += 1;
            }
        }
        let able: Vec<usize> =
            (0..replicas.running.len()).filter(|at| fault.as_ref().is_none_or(|fault| fault.at() != *at)).collect();
        let at = able[usize::from(number) % able.len()];
        if leaderless.is_some() && replicas.leader(fault.as_ref().map(Fault::at)).is_some() {
            takeover = takeover.max(leaderless.take().unwrap().elapsed());
        }
        if began.elapsed() > next_look {
            next_look += Duration::from_secs(1);
            looks += 1;
            births.look(&lab, began);
            found_lies += lies(&lab, &replicas.running[at].service);
        }
        number += 1;
        if !living.is_empty() && (number % 3 == 0 || living.len() >= LIVING_MAX) {
            let gone = living.remove(usize::from(number) % living.len());
            if replicas.release(at, &gone) {
                released += 1;
            } else {
                living.push(gone);
            }
        } else {
            let new = replicas.admit(at, &flow(number));
            admitted += usize::from(new.is_some());
            living.extend(new);
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    if let Some(fault) = fault {
        replicas.undo(&fault);
    }
    let (sent, answers) = pings.stop();
    // The last may have been on its way.
    let answered: BTreeSet<u32> = answers.iter().map(|(number, _)| *number).collect();
    let lost = (1..sent).filter(|number| !answered.contains(number)).count();

    // An admission whose answer was lost with its replica stands all the same.
    let known = || replicas.running.iter().map(|one| one.service.living().len()).max().unwrap();
    await_that("all agree", Duration::from_secs(60), || (known(), replicas.calm(known())), |(_, calm)| *calm == count);
    let in_force = known();
    let held = held(&lab);
    let (rules, missing) = (held.values().sum::<usize>(), in_force.saturating_sub(held.len()));
    let added = held.len().saturating_sub(in_force);
    births.look(&lab, began);
    let rewritten = births.again.len();
    let touched =
        theirs.iter().zip(foreign(&lab, began)).filter(|(one, other)| (one.1 - other.1).abs() > SECONDS_APART).count();
    println!(
        "{count} replicas, {seconds} s, {faults} faults, {admitted} admitted and {released} released, takeover {takeover:?} at most: \
         {lost} of {sent} packets lost, {rewritten} living rules overwritten, {missing} missing, {added} of released ones added, \
         {touched} foreign rules touched, {found_lies} lies in {looks} looks",
    );
    assert_eq!(lost, 0, "packets of what stands are lost");
    assert_eq!((rewritten, missing, added, touched, found_lies), (0, 0, 0, 0, 0));
    assert_eq!(foreign(&lab, began).len(), theirs.len());
    assert!(faults >= 3 && living.len() > 10, "{faults} faults, {} allocations", living.len());
    assert_eq!(rules, 3 * in_force, "no rule of what is over, none too few");
    // Its own meters, and the foreign one of each switch.
    assert_eq!((1..=SWITCHES).map(|switch| lab.meters(switch)).sum::<usize>(), in_force + SWITCHES as usize);
}
