//! Flat out, in a closed loop: each publisher has at most a window of messages on the way, so that nothing is dropped and
//! every message that is counted was delivered.

use std::cell::Cell;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::LocalSet;
use watermaster::mqtt::codec::{Ack, Delivery, Packet, Qos};

use crate::client::{Reader, Writer, connect, mark, publication, subscriber};
use crate::host::Host;

/// Who publishes to whom.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    qos: Qos,
    publishers: usize,
    subscribers: usize,
    /// Each publisher has its own subscriber; otherwise all are on one topic.
    is_paired: bool,
    /// Messages of one publisher on the way.
    window: u64,
}

const fn case(name: &'static str, qos: Qos, publishers: usize, subscribers: usize, window: u64) -> Case {
    Case { name, qos, publishers, subscribers, is_paired: false, window }
}

/// The cases of the issue.
pub(crate) const CASES: [Case; 7] = [
    case("qos0 1->1", Qos::AtMostOnce, 1, 1, 512),
    case("qos0 50->1", Qos::AtMostOnce, 50, 1, 64),
    case("qos0 1->50", Qos::AtMostOnce, 1, 50, 64),
    case("qos1 1->1", Qos::AtLeastOnce, 1, 1, 512),
    case("qos1 50->1", Qos::AtLeastOnce, 50, 1, 16),
    case("qos1 1->50", Qos::AtLeastOnce, 1, 50, 64),
    Case {
        name: "qos1 100 pairs",
        qos: Qos::AtLeastOnce,
        publishers: 100,
        subscribers: 100,
        is_paired: true,
        window: 4,
    },
];

/// What was measured.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    cpu_us: f64,
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
                let (reader, writer) =
                    subscriber(host.address, &format!("s{number}"), &topic(case, number), case.qos).await;
                tokio::task::spawn_local(receive(reader, writer, Rc::clone(&flows)));
            }
            for number in 0..case.publishers {
                let (reader, writer) = connect(host.address, &format!("p{number}")).await;
                tokio::task::spawn_local(publish(case, number, reader, writer, Rc::clone(&flows)));
            }
            let delivered = || flows.iter().map(|flow| flow.delivered.get()).sum::<u64>();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (before, cpu_before, start) = (delivered(), host.cpu_us(), Instant::now());
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let (count, cpu_us, elapsed) = (delivered() - before, host.cpu_us() - cpu_before, start.elapsed());
            assert!(count > 0, "{}: nothing was delivered by {:?}", case.name, host.kind);
            Figures { per_second: count as f64 / elapsed.as_secs_f64(), cpu_us: cpu_us / count as f64 }
        })
        .await
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
    let message = publication(&topic(case, number), case.qos, number as u64);
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

/// One line of the table.
pub(crate) fn print(case: &Case, [ours, mosquitto]: [Option<Figures>; 2]) {
    let Some(ours) = ours else { return };
    let (rate, ratio, cpu) = match mosquitto {
        Some(other) => (
            format!("{:.0}", other.per_second),
            format!("{:.1}x", ours.per_second / other.per_second),
            format!("{:.2}", other.cpu_us),
        ),
        None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
    };
    println!("{:<22} {:>12.0} {:>12} {:>7} {:>9.2} {:>9}", case.name, ours.per_second, rate, ratio, ours.cpu_us, cpu);
}
