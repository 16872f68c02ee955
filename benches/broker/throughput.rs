//! Flat out, in a closed loop: each publisher has at most a window of messages on the way, so that nothing is dropped and
//! every message that is counted was delivered.

use std::cell::Cell;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::codec::{Ack, Delivery, Packet, Qos};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::client::{PAYLOAD_BYTES, Reader, Session, Writer, connect, mark, publication_of, subscriber};
use crate::host::{Host, Kind, cpu_of_us};

/// Who publishes to whom.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    qos: Qos,
    publishers: usize,
    subscribers: usize,
    /// Each publisher has its own subscriber; otherwise all are on one topic.
    is_paired: bool,
    /// Messages of one publisher on the way.
    window: u64,
    /// Of the subscribers.
    session: Session,
    payload_bytes: usize,
}

const fn case(name: &'static str, qos: Qos, publishers: usize, subscribers: usize, window: u64) -> Case {
    let is_paired = publishers == subscribers && publishers > 1;
    let (session, payload_bytes) = (Session::Clean, PAYLOAD_BYTES);
    Case { name, qos, publishers, subscribers, is_paired, window, session, payload_bytes }
}

const fn lasting(case: Case) -> Case {
    Case { session: Session::Lasting, ..case }
}

/// To lasting sessions, with a payload of this size.
const fn of_bytes(payload_bytes: usize, case: Case) -> Case {
    Case { session: Session::Lasting, payload_bytes, ..case }
}

/// In memory, against another broker.
pub(crate) const CASES: [Case; 9] = [
    case("qos0 1->1", Qos::AtMostOnce, 1, 1, 512),
    case("qos0 50->1", Qos::AtMostOnce, 50, 1, 64),
    case("qos0 1->50", Qos::AtMostOnce, 1, 50, 64),
    case("qos0 100 pairs", Qos::AtMostOnce, 100, 100, 16),
    case("qos1 1->1", Qos::AtLeastOnce, 1, 1, 512),
    case("qos1 50->1", Qos::AtLeastOnce, 50, 1, 16),
    case("qos1 1->50", Qos::AtLeastOnce, 1, 50, 64),
    case("qos1 100 pairs", Qos::AtLeastOnce, 100, 100, 4),
    lasting(case("qos1 50->1 lasting", Qos::AtLeastOnce, 50, 1, 16)),
];

/// On a SQLite file.
pub(crate) const FILE: [Case; 2] = [
    lasting(case("sqlite 50->1 lasting", Qos::AtLeastOnce, 50, 1, 16)),
    lasting(case("sqlite 100 pairs lasting", Qos::AtLeastOnce, 100, 100, 4)),
];

/// Two replicas on Redis behind a balancer. A publisher alone, and each of a pair, is on the other replica than its
/// subscriber; of fifty, half are.
///
/// A message of 512 bytes in its stored form is held once for all sessions that wait for it: the two sizes are on either
/// side of that.
pub(crate) const REPLICAS: [Case; 10] = [
    case("redis 1->1", Qos::AtLeastOnce, 1, 1, 512),
    case("redis 50->1", Qos::AtLeastOnce, 50, 1, 16),
    case("redis 100 pairs", Qos::AtLeastOnce, 100, 100, 4),
    lasting(case("redis 50->1 lasting", Qos::AtLeastOnce, 50, 1, 16)),
    lasting(case("redis 100 pairs lasting", Qos::AtLeastOnce, 100, 100, 4)),
    lasting(case("redis 1->1 lasting", Qos::AtLeastOnce, 1, 1, 512)),
    of_bytes(400, case("redis 1->1 lasting 400 B", Qos::AtLeastOnce, 1, 1, 512)),
    of_bytes(600, case("redis 1->1 lasting 600 B", Qos::AtLeastOnce, 1, 1, 512)),
    of_bytes(400, case("redis 1->50 lasting 400 B", Qos::AtLeastOnce, 1, 50, 64)),
    of_bytes(600, case("redis 1->50 lasting 600 B", Qos::AtLeastOnce, 1, 50, 64)),
];

/// Within the limits of the Nucleus paper.
pub(crate) const LIMITED: [&Case; 3] = [&CASES[0], &CASES[4], &CASES[5]];

/// What was measured.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    /// CPU microseconds a message, of each process.
    cpu_each_us: Vec<f64>,
    /// Of this process: the generator, and the balancer if there is one.
    own_us: f64,
}

impl Figures {
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_each_us.iter().sum()
    }
}

/// What a publisher shares with those who receive its messages.
#[derive(Default)]
struct Flow {
    delivered: Cell<u64>,
    more: Notify,
}

/// Runs one case once.
pub(crate) async fn run(case: &'static Case, host: &Host, seconds: u64) -> Figures {
    let local = LocalSet::new();
    let flows: Rc<Vec<Flow>> = Rc::new((0..case.publishers).map(|_| Flow::default()).collect());
    local
        .run_until(async {
            for number in 0..case.subscribers {
                let (name, topic) = (format!("s{number}"), topic(case, number));
                let (reader, writer) = subscriber(host.address, &name, case.session, &topic, case.qos).await;
                tokio::task::spawn_local(receive(reader, writer, Rc::clone(&flows)));
            }
            // An even number of clients between the two of a pair would put both on one replica.
            let _between = match host.kind == Kind::Replicas && case.subscribers.is_multiple_of(2) {
                true => Some(connect(host.address, "between", Session::Clean).await),
                false => None,
            };
            for number in 0..case.publishers {
                let (reader, writer) = connect(host.address, &format!("p{number}"), Session::Clean).await;
                tokio::task::spawn_local(publish(case, number, reader, writer, Rc::clone(&flows)));
            }
            let delivered = || flows.iter().map(|flow| flow.delivered.get()).sum::<u64>();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let own_us = || cpu_of_us(std::process::id());
            let (before, cpu_before, own_before, start) = (delivered(), host.cpu_each_us(), own_us(), Instant::now());
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let (count, cpu, elapsed) = (delivered() - before, host.cpu_each_us(), start.elapsed());
            assert!(count > 0, "{}: nothing was delivered by {:?}", case.name, host.kind);
            let cpu_each_us = cpu.iter().zip(cpu_before).map(|(after, before)| (after - before) / count as f64);
            let own_us = (own_us() - own_before) / count as f64;
            Figures { per_second: count as f64 / elapsed.as_secs_f64(), cpu_each_us: cpu_each_us.collect(), own_us }
        })
        .await
}

/// The best of several rounds for each of these, in turn.
pub(crate) fn best(runtime: &Runtime, case: &'static Case, kinds: &[Kind], rounds: u64, seconds: u64) -> Vec<Figures> {
    let mut best = vec![Figures::default(); kinds.len()];
    for _ in 0..rounds {
        for (kind, best) in kinds.iter().zip(&mut best) {
            let host = Host::start(*kind);
            let figures = runtime.block_on(run(case, &host, seconds));
            if best.per_second < figures.per_second {
                *best = figures;
            }
        }
    }
    best
}

fn topic(case: &Case, number: usize) -> String {
    if case.is_paired { format!("bench/{number}") } else { "bench/all".to_owned() }
}

async fn receive(mut reader: Reader, mut writer: Writer, flows: Rc<Vec<Flow>>) {
    loop {
        while let Some(packet) = reader.take() {
            let Packet::Publish(publish) = packet else { continue };
            if let Delivery::AtLeastOnce(id) = publish.delivery {
                writer.put(&Packet::Puback(Ack::success(id)));
            }
            let flow = &flows[usize::try_from(mark(&publish)).unwrap()];
            flow.delivered.set(flow.delivered.get() + 1);
            flow.more.notify_one();
        }
        writer.flush().await;
        reader.fill().await;
    }
}

async fn publish(case: &'static Case, number: usize, mut reader: Reader, mut writer: Writer, flows: Rc<Vec<Flow>>) {
    let message = publication_of(&topic(case, number), case.qos, number as u64, case.payload_bytes);
    let fan_out = if case.is_paired { 1 } else { case.subscribers as u64 };
    let flow = &flows[number];
    let (mut sent, mut acknowledged) = (0_u64, 0_u64);
    loop {
        let arrived = flow.delivered.get() / fan_out;
        let done = if case.qos == Qos::AtMostOnce { arrived } else { arrived.min(acknowledged) };
        for _ in (sent - done)..case.window {
            sent += 1;
            let id = u16::try_from((sent - 1) % 65_535 + 1).unwrap();
            message.append_as(NonZeroU16::new(id).unwrap(), false, &mut writer.out);
        }
        writer.flush().await;
        tokio::select! {
            () = flow.more.notified() => {}
            () = reader.fill(), if case.qos != Qos::AtMostOnce => {}
        }
        while let Some(packet) = reader.take() {
            acknowledged += u64::from(matches!(packet, Packet::Puback(_)));
        }
    }
}

/// One line of the comparison.
pub(crate) fn print(case: &Case, figures: &[Figures]) {
    let Some((ours, others)) = figures.split_first() else { return };
    print!("{:<24} {:>9.0}/s {:>6.2} µs", case.name, ours.per_second, ours.cpu_us());
    for other in others {
        let ratio = ours.per_second / other.per_second;
        print!("  {:>9.0}/s {:>6.2} µs  {ratio:>5.1}x", other.per_second, other.cpu_us());
    }
    println!();
}

/// One line about memory and a file.
pub(crate) fn print_file(case: &Case, figures: &[Figures]) {
    let [file, on_disk, memory] = figures else { return };
    let of = |figures: &Figures| format!("{:.0}/s {:.2} µs", figures.per_second, figures.cpu_us());
    println!("{:<24} normal {}, full {}, memory {}", case.name, of(file), of(on_disk), of(memory));
}

/// One line about the replicas.
pub(crate) fn print_replicas(case: &Case, figures: &[Figures]) {
    for Figures { per_second, cpu_each_us, own_us } in figures {
        let (redis, brokers) = (cpu_each_us[0], cpu_each_us[1..].iter().sum::<f64>());
        let all = redis + brokers;
        let name = case.name;
        println!(
            "{name:<24} {per_second:>9.0}/s {all:>6.2} µs in all: Redis {redis:.2}, replicas {brokers:.2}; \
             generator and balancer besides {own_us:.2}"
        );
    }
}
