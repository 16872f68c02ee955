//! How soon a broker on a file serves again after it was killed, with many sessions that are away and much that waits.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use mqtt::codec::{Packet, Qos};
use tokio::runtime::Runtime;

use crate::client::{Session, connect, publication, subscriber};
use crate::host::{Host, Kind};

const SESSIONS: usize = 100_000;
/// Messages that wait for each.
const EACH: usize = 10;
/// Clients that connect at a time.
const AT_A_TIME: usize = 100;
/// Messages on the way.
const WINDOW: usize = 500;

/// Fills a file, kills the broker, and waits until the next one accepts a client.
pub(crate) fn measure(runtime: &Runtime) {
    let mut host = Host::start(Kind::File);
    runtime.block_on(fill(host.address));
    let file_bytes = host.file_bytes();
    host.kill_all();
    let start = Instant::now();
    host.start_again();
    runtime.block_on(connect(host.address, "probe", Session::Clean));
    println!(
        "restart: {SESSIONS} sessions, {} messages that wait, a file of {:.0} MB: {:.2} s to the first CONNACK, {:.2} s of CPU, {:.0} MB resident",
        SESSIONS * EACH,
        file_bytes as f64 / 1e6,
        start.elapsed().as_secs_f64(),
        host.cpu_us() / 1e6,
        host.resident_bytes() / 1e6,
    );
}

async fn fill(address: SocketAddr) {
    let come_and_go = stream::iter(0..SESSIONS).map(|number| async move {
        let (name, topic) = (format!("absent-{number}"), format!("bench/{number}"));
        drop(subscriber(address, &name, Session::Lasting, &topic, Qos::AtLeastOnce).await);
    });
    come_and_go.buffer_unordered(AT_A_TIME).collect::<()>().await;
    let (mut reader, mut writer) = connect(address, "publisher", Session::Clean).await;
    for numbers in (0..SESSIONS * EACH).collect::<Vec<_>>().chunks(WINDOW) {
        for (number, id) in numbers.iter().zip(1..) {
            let message = publication(&format!("bench/{}", number % SESSIONS), Qos::AtLeastOnce, *number as u64);
            message.append_as(NonZeroU16::new(id).unwrap(), false, &mut writer.out);
        }
        writer.flush().await;
        for _ in numbers {
            assert!(matches!(reader.next().await, Packet::Puback(_)));
        }
    }
}
