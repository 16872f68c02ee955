//! Faults of every kind, one after the other, at three instances of the service and their database while clients admit and
//! release: instances and the database are killed, stalled and cut off, disks are full, clocks are set, standbys take over.
//! At the end nothing that was acknowledged is missing, nothing was done twice, and all instances are the same.
//!
//! What the database itself lost, because the standby that took over had not heard of it yet, is counted apart.

mod database;
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Seek;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kernel::allocation::Allocation;
use kernel::annotation::AnnotationField;
use serde_json::Value;

use self::database::{Server, eventually};
use self::load::{Field, Told};
use crate::broker::parts::free_port;
use crate::client::ask;
use crate::clocks::{FakeTime, borrowed};
use crate::line::Line;
use crate::running::Running;

/// How long it goes on, unless `WATERMASTER_FAULTS_SECONDS` says otherwise.
const SECONDS: u64 = 45;
const REPLICAS: usize = 3;
const CLIENTS: usize = 6;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// An instance of the service, which comes back at the same address.
struct Instance {
    running: Option<Running>,
    address: SocketAddr,
    line: Line,
    clock: FakeTime,
}

impl Instance {
    fn new(database: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut instance = Self { running: None, address, line: Line::to(database), clock: FakeTime::new(0) };
        instance.start();
        instance
    }

    /// As a supervisor does it: a start that the database does not answer in time is repeated.
    fn start(&mut self) {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.line.port);
        let (environment, arguments) = (self.clock.environment(), ["--database", &url]);
        let address = self.address.to_string();
        for _ in 0..STARTS_MAX {
            let mut log = tempfile::tempfile().unwrap();
            let written = log.try_clone().unwrap().into();
            match Running::try_start(&address, &borrowed(&environment), &arguments, written) {
                Ok(running) => return self.running = Some(running),
                Err(status) => {
                    log.rewind().unwrap();
                    let said = std::io::read_to_string(log).unwrap();
                    println!("an instance did not start ({status}): {}", said.lines().last().unwrap_or_default());
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
        panic!("an instance did not start {STARTS_MAX} times");
    }

    fn signal(&self, signal: &str) {
        self.running.iter().for_each(|running| running.signal(signal));
    }

    fn living(&self) -> BTreeMap<String, Value> {
        self.running.as_ref().map(Running::living).unwrap_or_default()
    }
}

/// How often an instance is started before that is called a failure.
const STARTS_MAX: usize = 20;

/// The kinds of faults.
const FAULTS: [&str; 9] = [
    "kill an instance",
    "stall an instance",
    "cut an instance off",
    "stall the database",
    "crash the database",
    "fill the database's disk",
    "set an instance's clock",
    "switch over to the standby",
    "fail over to a standby that lacks the last transactions",
];

struct World {
    instances: Vec<Instance>,
    primary: Server,
    standby: Option<Server>,
    field: Arc<Field>,
    random: Random,
}

impl World {
    fn pause(&mut self, least_ms: u64, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(least_ms + self.random.below(most_ms - least_ms)));
    }

    fn strike(&mut self, fault: usize) {
        let at = usize::try_from(self.random.below(REPLICAS as u64)).unwrap();
        match fault {
            0 => {
                self.instances[at].running.take().into_iter().for_each(Running::kill);
                self.pause(100, 1_500);
                self.instances[at].start();
            }
            1 => {
                self.instances[at].signal("-STOP");
                self.pause(500, 4_000);
                self.instances[at].signal("-CONT");
            }
            2 => {
                self.instances[at].line.cut(true);
                self.pause(500, 7_000);
                self.instances[at].line.cut(false);
            }
            3 => {
                self.primary.stall();
                self.pause(500, 7_000);
                self.primary.go_on();
            }
            4 => {
                self.primary.crash();
                self.pause(100, 1_500);
                self.primary.start_again();
            }
            5 => {
                self.primary.fill_disk();
                self.pause(500, 3_000);
                self.primary.free_disk();
            }
            6 => {
                let hours = i64::try_from(self.random.below(20)).unwrap() - 10;
                self.instances[at].clock.set(hours * 3_600);
            }
            7 => {
                let field = Arc::clone(&self.field);
                // Clients wait: it is the database's orderly change. A standby that does not follow yet is no standby.
                self.primary.await_follower();
                let _closed = field.gate.write().unwrap();
                self.check_that_nothing_is_lost();
                self.primary.shut_down();
                self.take_over();
                self.check_that_nothing_is_lost();
            }
            _ => {
                // What is written from now on never reaches the standby.
                self.standby.as_mut().unwrap().crash();
                self.pause(200, 800);
                let field = Arc::clone(&self.field);
                let _closed = field.gate.write().unwrap();
                self.check_that_nothing_is_lost();
                self.primary.crash();
                self.standby.as_mut().unwrap().start_again();
                self.take_over();
                self.count_what_the_database_lost();
            }
        }
    }

    /// The standby is the primary from now on, and has a standby of its own.
    fn take_over(&mut self) {
        let standby = self.standby.take().unwrap();
        standby.promote();
        for instance in &self.instances {
            instance.line.lead_to(standby.port);
        }
        self.standby = Some(Server::standby_of(&standby));
        self.primary = standby;
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.primary.port)
    }

    /// The living allocations that the journal says, by id: the name of each.
    fn living_by_journal(&self) -> BTreeMap<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let state = runtime.block_on(async {
            let journal = watermaster::journal::Journal::open(&self.url().parse().unwrap()).await.unwrap();
            let state = journal.restore().await.unwrap();
            journal.close().await;
            state
        });
        let name = |lsp: &Allocation| {
            let annotations = &lsp.demand.attributes.annotations;
            annotations.get(AnnotationField::Name).map(ToString::to_string)
        };
        state.allocations_after(None).map(|lsp| (lsp.id.to_string(), name(lsp).unwrap_or_default())).collect()
    }

    fn await_agreement(&self) -> BTreeMap<String, String> {
        let living = self.living_by_journal();
        let ids: BTreeSet<&String> = living.keys().collect();
        for (at, instance) in self.instances.iter().enumerate() {
            eventually(&format!("agreement of instance {at} with the journal"), || {
                ask(instance.address, "GET", "/readyz", None).is_ok_and(|(status, _)| status == 200)
                    && instance.living().keys().collect::<BTreeSet<_>>() == ids
            });
        }
        living
    }

    /// Whatever clients were told is in the database, but what an asynchronous standby lost before. Nothing is on the wire.
    fn check_that_nothing_is_lost(&self) {
        let living = self.living_by_journal();
        let names: BTreeSet<&String> = living.values().collect();
        let told = self.field.told.lock().unwrap();
        let is_excused = |key: &&String| told.lost_by_database.contains(*key) || told.under_way.contains(*key);
        let kept = told.admitted.keys().filter(|key| !told.released.contains(*key));
        let lost: Vec<_> = kept.filter(|key| !names.contains(*key) && !is_excused(key)).collect();
        let risen: Vec<_> = told.released.iter().filter(|key| names.contains(*key)).collect();
        assert_eq!((lost, risen), (vec![], vec![]), "lost, and back after release");
        assert_eq!(told.odd, Vec::<String>::new());
    }

    fn count_what_the_database_lost(&self) {
        let living = self.await_agreement();
        let names: BTreeSet<&String> = living.values().collect();
        let mut told = self.field.told.lock().unwrap();
        let Told { admitted, released, lost_by_database, .. } = &mut *told;
        // What it lost may be an admission, or a release.
        released.retain(|key| !names.contains(key));
        let is_lost = |key: &&String| !names.contains(*key) && !released.contains(*key);
        lost_by_database.extend(admitted.keys().filter(is_lost).cloned());
    }

    /// Every name that was ever admitted, as often as it was.
    fn admissions(&self) -> Vec<String> {
        let (mut found, mut after) = (vec![], 0);
        loop {
            let path = format!("/v1/events?limit=1000&after={after}");
            let (status, page) = ask(self.instances[0].address, "GET", &path, None).unwrap();
            assert_eq!(status, 200, "{page}");
            let items = page["items"].as_array().unwrap();
            let Some(last) = items.last() else { return found };
            after = last["sequence"].as_u64().unwrap();
            let admitted = items.iter().filter(|event| event["kind"] == "allocation_admitted");
            found.extend(admitted.filter_map(|event| Some(event["data"]["allocation"]["name"].as_str()?.to_owned())));
        }
    }
}

#[test]
fn faults_of_every_kind_lose_nothing_and_repeat_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seconds = number("WATERMASTER_FAULTS_SECONDS").unwrap_or(SECONDS);
    let seed = number("WATERMASTER_FAULTS_SEED").unwrap_or(20_261_130);
    println!("faults for {seconds} s: WATERMASTER_FAULTS_SEED={seed}");
    let primary = Server::primary();
    let standby = Some(Server::standby_of(&primary));
    let instances: Vec<_> = (0..REPLICAS).map(|_| Instance::new(primary.port)).collect();
    let addresses = instances.iter().map(|instance| instance.address).collect();
    let field = Field { addresses, told: <_>::default(), gate: <_>::default(), stop: <_>::default() };
    let mut world = World { instances, primary, standby, field: Arc::new(field), random: Random(seed) };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let field = Arc::clone(&world.field);
            std::thread::spawn(move || field.run(client))
        })
        .collect();

    let (begin, mut struck) = (Instant::now(), [0; FAULTS.len()]);
    // Each kind once, then as it comes.
    for at in 0.. {
        let fault = if at < FAULTS.len() {
            at
        } else if begin.elapsed() > Duration::from_secs(seconds) {
            break;
        } else {
            usize::try_from(world.random.below(FAULTS.len() as u64)).unwrap()
        };
        println!("{:>5} s: {}", begin.elapsed().as_secs(), FAULTS[fault]);
        struck[fault] += 1;
        world.strike(fault);
        world.pause(500, 2_500);
    }
    world.field.stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());

    let living = world.await_agreement();
    let told = world.field.told.lock().unwrap();
    let is_there = |key: &String, id: &String| living.get(id).is_some_and(|name| name == key);
    let kept =
        told.admitted.iter().filter(|(key, _)| !told.released.contains(*key) && !told.lost_by_database.contains(*key));
    let lost: Vec<_> = kept.filter(|(key, id)| !is_there(key, id)).collect();
    let risen: Vec<_> = told.released.iter().filter(|key| is_there(key, &told.admitted[*key])).collect();
    let admissions = world.admissions();
    let twice = admissions.len() - admissions.iter().collect::<BTreeSet<_>>().len();
    println!(
        "{} s, faults {struck:?}: {} admitted, {} released, {} attempts repeated, {} lost by an asynchronous database; lost \
         {}, back after release {}, done twice {twice}, odd answers {}",
        begin.elapsed().as_secs(),
        told.admitted.len(),
        told.released.len(),
        told.repeated,
        told.lost_by_database.len(),
        lost.len(),
        risen.len(),
        told.odd.len(),
    );
    assert_eq!((lost, risen, twice, &told.odd), (vec![], vec![], 0, &vec![]));
    assert!(told.admitted.len() > 100 * CLIENTS, "the clients did nothing");
    let verified = Command::new(env!("CARGO_BIN_EXE_watermaster"))
        .args(["journal", "verify", "--database", &world.url()])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
}
