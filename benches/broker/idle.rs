//! What connections with one subscription each cost while nothing happens but their keep-alive, and how fast they come.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use mqtt::codec::{Packet, Qos};
use tokio::runtime::Runtime;

use crate::client::{Reader, Session, Writer, subscriber};
use crate::host::{Host, Kind, cpu_of_us};

/// The first step is small enough for any machine; the second is what one broker of the Nucleus paper held.
const STEPS: [usize; 2] = [5_000, 12_800];
/// Clients that connect at a time: no more than mosquitto lets wait.
const AT_A_TIME: usize = 100;
/// How often each client says that it lives.
const KEEP_ALIVE_S: usize = 60;
/// How many do so in one go.
const PINGS: usize = 20;

/// Runs all in turn.
pub(crate) fn compare(runtime: &Runtime, kinds: &[Kind], seconds: u64) {
    println!("idle connections with one subscription and a keep-alive of {KEEP_ALIVE_S} s each");
    for kind in kinds {
        let host = Host::start(*kind);
        runtime.block_on(run(&host, seconds));
    }
}

async fn run(host: &Host, seconds: u64) {
    // What is set up once is not counted.
    let mut held = connect(host.address, 0..AT_A_TIME).await;
    let empty_bytes = host.resident_bytes();
    for step in STEPS {
        let own_us = || cpu_of_us(std::process::id());
        let (begun, start, cpu_us, own_before_us) = (held.len(), Instant::now(), host.cpu_us(), own_us());
        held.extend(connect(host.address, begun..step).await);
        let new = (step - begun) as f64;
        let (per_second, cpu_us) = (new / start.elapsed().as_secs_f64(), (host.cpu_us() - cpu_us) / new);
        let own_us = (own_us() - own_before_us) / new;
        let each = (host.resident_bytes() - empty_bytes) / (step - AT_A_TIME) as f64;
        let millicores = keep_alive(host, &mut held, seconds).await;
        println!(
            "{:<22} {each:>6.0} bytes a connection, {:.0} MB in all, {millicores:.1} millicores, \
             {per_second:.0} connections a second at {cpu_us:.0} µs each (the generator's {own_us:.0} µs besides)",
            format!("idle {step} {:?}", host.kind),
            host.resident_bytes() / 1e6,
        );
    }
}

async fn connect(address: SocketAddr, numbers: std::ops::Range<usize>) -> Vec<(Reader, Writer)> {
    let each = stream::iter(numbers).map(|number| async move {
        let (name, topic) = (format!("idle-{number}"), format!("idle/{number}"));
        subscriber(address, &name, Session::Clean, &topic, Qos::AtMostOnce).await
    });
    each.buffer_unordered(AT_A_TIME).collect().await
}

/// Some clients at a time say that they live; gives back thousandths of a core.
async fn keep_alive(host: &Host, held: &mut [(Reader, Writer)], seconds: u64) -> f64 {
    let every = Duration::from_secs_f64((PINGS * KEEP_ALIVE_S) as f64 / held.len() as f64);
    let mut ticks = tokio::time::interval(every);
    let (start, cpu_us) = (Instant::now(), host.cpu_us());
    let mut next = 0;
    while start.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        for _ in 0..PINGS {
            let count = held.len();
            let (reader, writer) = &mut held[next % count];
            writer.put(&Packet::Pingreq);
            writer.flush().await;
            assert_eq!(reader.next().await, Packet::Pingresp);
            next += 1;
        }
    }
    (host.cpu_us() - cpu_us) / start.elapsed().as_secs_f64() / 1e3
}
