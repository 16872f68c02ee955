//! Replicas go up and down between a minimum and a maximum with the CPU they use, by the rule of the Kubernetes
//! HorizontalPodAutoscaler in `deploy/kubernetes`: desired = ceil(replicas × CPU / target), nothing within a tolerance, up
//! at once, down to the highest that was desired within a window. Times are a tenth or less of those in the cluster.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::balancer::Balancer;
use crate::load::{Load, Sessions};
use crate::parts::{Redis, Replica};
use crate::plot::{Axis, Line, svg, write};

const MINIMUM: usize = 1;
const MAXIMUM: usize = 5;
/// Of one core, in a hundred: what a replica should use, a tenth of the target in the cluster.
const TARGET_PERCENT: f64 = 6.0;
const TOLERANCE: f64 = 0.1;
/// As often the rule is applied (15 s in the cluster).
const ROUND: Duration = Duration::from_secs(1);
/// Rounds whose highest wish holds for going down (300 s in the cluster).
const WINDOW: usize = 10;
/// Replicas added in one round at most.
const STEP_UP: usize = 2;
/// Each publisher has a message so often.
const EVERY: Duration = Duration::from_millis(100);
/// Publishers wanted, by round: few, a rise, many, a fall, few.
const FEW: usize = 10;
const MANY: usize = 120;
const ROUNDS: usize = 80;
/// On the axis of the replicas stand as many publishers for one.
const PER_MARK: f64 = 24.0;

fn wanted(round: usize) -> usize {
    match round {
        0..10 => FEW,
        10..30 => FEW + (MANY - FEW) * (round - 9) / 20,
        30..42 => MANY,
        42..52 => MANY - (MANY - FEW) * (round - 41) / 10,
        _ => FEW,
    }
}

/// CPU time of a process so far, in microseconds.
pub(crate) fn cpu_us(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let times = tasks.map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / 1e3
    });
    times.sum()
}

struct Worker {
    replica: Replica,
    cpu_us: f64,
}

struct Scaler {
    store: String,
    balancer: Balancer,
    workers: Vec<Worker>,
    wishes: VecDeque<usize>,
    leaving: Vec<JoinHandle<()>>,
    seen: Instant,
}

impl Scaler {
    fn add(&mut self, listen: &str) -> SocketAddr {
        let replica = Replica::start_on(listen, &self.store, &[]);
        let (address, cpu_us) = (replica.address, cpu_us(replica.pid()));
        self.balancer.add(address);
        self.workers.push(Worker { replica, cpu_us });
        address
    }

    /// What the replicas have used since the last look, of one core each, in a hundred: on average.
    fn look(&mut self) -> f64 {
        let elapsed_us = self.seen.elapsed().as_secs_f64() * 1e6;
        self.seen = Instant::now();
        let mut used_us = 0.0;
        for worker in &mut self.workers {
            let now_us = cpu_us(worker.replica.pid());
            used_us += now_us - std::mem::replace(&mut worker.cpu_us, now_us);
        }
        100.0 * used_us / elapsed_us / self.workers.len() as f64
    }

    /// One application of the rule.
    fn scale(&mut self, cpu_percent: f64) {
        let ratio = cpu_percent / TARGET_PERCENT;
        let count = self.workers.len();
        let wish = if (ratio - 1.0).abs() <= TOLERANCE { count as f64 } else { (count as f64 * ratio).ceil() };
        let wish = (MINIMUM..=MAXIMUM).find(|many| *many as f64 >= wish).unwrap_or(MAXIMUM);
        self.wishes.push_back(wish);
        if self.wishes.len() > WINDOW {
            self.wishes.pop_front();
        }
        for _ in count..wish.min(count + STEP_UP) {
            self.add("127.0.0.1:0");
        }
        // One at a time: its clients have to come again.
        if self.wishes.len() == WINDOW
            && self.wishes.iter().all(|wish| *wish < count)
            && let Some(worker) = self.workers.pop()
        {
            self.balancer.remove(worker.replica.address);
            self.leaving.push(std::thread::spawn(move || worker.replica.terminate()));
        }
    }
}

/// Up to what divides into the marks of an axis.
fn round(most: f64) -> f64 {
    (most / 5.0).ceil() * 5.0
}

/// CPU and replicas against time.
pub(crate) fn figures_4_and_5() {
    let redis = Redis::start(&[]);
    let balancer = Balancer::start(&[]);
    let (store, wishes, leaving) = (redis.url(), VecDeque::new(), vec![]);
    let mut scaler = Scaler { store, balancer, workers: vec![], wishes, leaving, seen: Instant::now() };
    let first: Vec<_> = (0..MINIMUM).map(|_| scaler.add("127.0.0.1:0")).collect();
    let mut load = Load::open(scaler.balancer.address, &first, Sessions::Shared);
    scaler.look();
    let (mut cpu, mut replicas, mut publishers) = (vec![], vec![], vec![]);
    let begin = Instant::now();
    for round in 0..ROUNDS {
        let (want, have) = (wanted(round), if round == 0 { 0 } else { wanted(round - 1) });
        load.add(want.saturating_sub(have), EVERY);
        load.retire(have.saturating_sub(want));
        let due = ROUND * u32::try_from(round + 1).unwrap();
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        let at_s = begin.elapsed().as_secs_f64();
        let percent = scaler.look();
        cpu.push((at_s, percent));
        publishers.push((at_s, want as f64));
        replicas.push((at_s, scaler.workers.len() as f64));
        scaler.scale(percent);
        // Steps, not slopes.
        replicas.push((at_s, scaler.workers.len() as f64));
    }
    scaler.leaving.drain(..).for_each(|leaving| leaving.join().unwrap());
    let mut ended = load.finish(Duration::from_secs(10));
    ended.report(&format!("{MINIMUM} to {MAXIMUM} replicas, {FEW} to {MANY} publishers and back"));
    let highest = replicas.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    println!("replicas: {MINIMUM} at first, {highest:.0} at most, {:.0} at last", replicas.last().unwrap().1);
    let most = cpu.iter().map(|(_, percent)| *percent).fold(TARGET_PERCENT, f64::max);
    let (most, seconds) = (round(most), round(begin.elapsed().as_secs_f64()));
    let target = vec![(0.0, TARGET_PERCENT), (seconds, TARGET_PERCENT)];
    let parts = publishers.into_iter().map(|(at, count)| (at, count / PER_MARK)).collect();
    let axes = [
        &Axis { name: "seconds", most: seconds },
        &Axis { name: "replicas; publishers / 24", most: MAXIMUM as f64 },
        &Axis { name: "CPU of a replica, % of a core", most },
    ];
    let lines = [
        Line { name: "replicas", points: replicas, is_right: false },
        Line { name: "CPU, mean of the replicas", points: cpu, is_right: true },
        Line { name: "its target", points: target, is_right: true },
        Line { name: "publishers / 24", points: parts, is_right: false },
    ];
    write("broker-autoscaler", &svg("Replicas follow the CPU they use", axes, &lines));
}
