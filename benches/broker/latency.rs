//! At 2,000 messages a second of QoS 1, 50 publishers to one subscriber: how long a message is on the way.

use std::cell::RefCell;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::codec::{Ack, Delivery, Packet, Qos};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use crate::client::{Session, connect, mark, publication, subscriber};
use crate::host::{Host, Kind};

const PUBLISHERS: usize = 50;
const PER_TICK: u64 = 2;
const TICK: Duration = Duration::from_millis(1);
const TOPIC: &str = "bench/latency";

/// Runs all in turn and prints the best of the rounds: what others do on the machine only ever adds.
pub(crate) fn compare(runtime: &Runtime, kinds: &[Kind], rounds: u64, seconds: u64) {
    let mut results: Vec<(Kind, Vec<[f64; 2]>)> = kinds.iter().map(|kind| (*kind, vec![])).collect();
    for _ in 0..rounds {
        for (kind, results) in &mut results {
            let host = Host::start(*kind);
            results.push(runtime.block_on(run(&host, seconds)));
        }
    }
    for (kind, results) in results {
        let best = |which: usize| results.iter().map(|result| result[which]).fold(f64::MAX, f64::min);
        let name = format!("latency {kind:?}");
        println!("{name:<22} p50 {:.3} ms, p99 {:.3} ms at 2,000 msg/s", best(0), best(1));
    }
}

/// p50 and p99 in milliseconds.
pub(crate) async fn run(host: &Host, seconds: u64) -> [f64; 2] {
    let local = LocalSet::new();
    let start = Instant::now();
    let waits_ms: Rc<RefCell<Vec<f64>>> = Rc::default();
    local
        .run_until(async {
            let (mut reader, mut writer) = subscriber(host.address, "s", Session::Clean, TOPIC, Qos::AtLeastOnce).await;
            let noted = Rc::clone(&waits_ms);
            tokio::task::spawn_local(async move {
                loop {
                    while let Some(packet) = reader.take() {
                        let Packet::Publish(publish) = packet else { continue };
                        let sent = Duration::from_nanos(mark(&publish));
                        noted.borrow_mut().push((start.elapsed().saturating_sub(sent)).as_secs_f64() * 1e3);
                        if let Delivery::AtLeastOnce(id) = publish.delivery {
                            writer.put(&Packet::Puback(Ack::success(id)));
                        }
                    }
                    writer.flush().await;
                    reader.fill().await;
                }
            });
            let mut writers = vec![];
            for number in 0..PUBLISHERS {
                let (mut reader, writer) = connect(host.address, &format!("p{number}"), Session::Clean).await;
                writers.push(writer);
                tokio::task::spawn_local(async move {
                    loop {
                        reader.next().await;
                    }
                });
            }
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let count = seconds * 1000 * PER_TICK;
            for number in 0..count {
                if number % PER_TICK == 0 {
                    ticks.tick().await;
                }
                let now = u64::try_from(start.elapsed().as_nanos()).unwrap();
                let writer = &mut writers[usize::try_from(number).unwrap() % PUBLISHERS];
                let id = u16::try_from(number % 60_000 + 1).unwrap();
                publication(TOPIC, Qos::AtLeastOnce, now).append_as(
                    NonZeroU16::new(id).unwrap(),
                    false,
                    &mut writer.out,
                );
                writer.flush().await;
            }
            while waits_ms.borrow().len() < usize::try_from(count).unwrap() {
                tokio::time::sleep(TICK).await;
            }
        })
        .await;
    let mut waits_ms = waits_ms.borrow().clone();
    waits_ms.sort_by(f64::total_cmp);
    [waits_ms[waits_ms.len() / 2], waits_ms[waits_ms.len() * 99 / 100]]
}
