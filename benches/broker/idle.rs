//! What a connection with one subscription costs while nothing happens, and how fast they come.

use std::time::Instant;

use tokio::runtime::Runtime;
use watermaster::mqtt::codec::Qos;

use crate::client::subscriber;
use crate::host::{Host, Kind};

const CONNECTIONS: usize = 5_000;

/// Runs both and prints bytes a connection and connections a second.
pub(crate) fn compare(runtime: &Runtime, kinds: &[Kind]) {
    for kind in kinds {
        let host = Host::start(*kind);
        runtime.block_on(async {
            // What is set up once is not counted.
            let first = subscriber(host.address, "first", "idle/first", Qos::AtMostOnce).await;
            let (before, start) = (host.resident_bytes(), Instant::now());
            let mut held = vec![first];
            for number in 0..CONNECTIONS {
                let (name, topic) = (format!("idle-{number}"), format!("idle/{number}"));
                held.push(subscriber(host.address, &name, &topic, Qos::AtMostOnce).await);
            }
            let elapsed = start.elapsed().as_secs_f64();
            let each = (host.resident_bytes() - before) / CONNECTIONS as f64;
            let name = format!("idle {kind:?}");
            println!(
                "{name:<22} {each:.0} bytes a connection, {:.0} connections a second",
                CONNECTIONS as f64 / elapsed
            );
        });
    }
}
