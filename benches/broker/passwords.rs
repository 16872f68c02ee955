//! What wrong passwords cost the clients that are there: the same messages as in `latency`, at a broker that has users, without
//! and with 1,000 wrong passwords a second, from one other address of this machine and from 250; each with a name of its own, so
//! that none is held back for its name. Broker and generator share both cores, as the passwords are compared on whichever is free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::time::MissedTickBehavior;

use crate::host::{self, Host, Kind};
use crate::latency;

const EVERY: Duration = Duration::from_millis(1);
/// From how many addresses they come; none of them is that of the clients.
const ADDRESSES: [u8; 3] = [0, 1, 250];

/// All in turn, the rounds with the least p99 of each.
pub(crate) fn compare(runtime: &Runtime, rounds: u64, seconds: u64) {
    host::pin_this_process("0-1");
    let mut best = ADDRESSES.map(|_| [f64::MAX, f64::MAX, 0.0]);
    for _ in 0..rounds {
        for (addresses, best) in ADDRESSES.into_iter().zip(&mut best) {
            let host = Host::start(Kind::Guarded);
            let attack = (addresses > 0).then(|| Attack::start(host.address, addresses));
            let [p50_ms, p99_ms] = runtime.block_on(latency::run(&host, seconds));
            let told = attack.map_or(0.0, |attack| attack.stop() as f64 / seconds as f64);
            if p99_ms < best[1] {
                *best = [p50_ms, p99_ms, told];
            }
        }
    }
    for (addresses, [p50_ms, p99_ms, told]) in ADDRESSES.into_iter().zip(best) {
        println!(
            "passwords              {told:.0} wrong ones a second from {addresses} addresses: p50 {p50_ms:.3} ms, p99 {p99_ms:.3} ms at \
             2,000 msg/s; p99 {:.2} times",
            p99_ms / best[0][1]
        );
    }
    host::pin_this_process("1");
}

struct Attack {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Attack {
    fn start(broker: std::net::SocketAddr, addresses: u8) -> Self {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop, count) = (Arc::clone(&is_over), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut ticks = tokio::time::interval(EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    ticks.tick().await;
                    let count = Arc::clone(&count);
                    tokio::spawn(async move {
                        if attempt(broker, number, addresses).await.is_ok() {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
        });
        Self { is_over, answered, thread }
    }

    /// How many were answered.
    fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the attacker does not panic");
        self.answered.load(Ordering::Relaxed)
    }
}

/// One wrong password, until the answer.
async fn attempt(broker: std::net::SocketAddr, number: u64, addresses: u8) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % u64::from(addresses)).expect("below 250");
    socket.bind(([127, 0, 1, last + 1], 0).into())?;
    let mut stream = socket.connect(broker).await?;
    let (client, name) = (format!("x{number}"), format!("user{number}"));
    let mut packet = b"\0\x04MQTT\x04\xc2\0\0".to_vec();
    for text in [client.as_str(), &name, "wrong"] {
        packet.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
        packet.extend(text.as_bytes());
    }
    let length = u8::try_from(packet.len()).expect("short");
    packet.splice(0..0, [0x10, length]);
    stream.write_all(&packet).await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    assert!(answer[3] != 0, "a wrong password is refused");
    Ok(())
}
