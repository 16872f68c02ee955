//! What a broker does with the tenth of a core and the 300 MB that the Nucleus paper reports for one of its replicas, imposed
//! by cgroups: how many clients with a subscription and a keep-alive it holds, and how many messages pass. Memory of the
//! kernel for its sockets counts in it. Needs root, cgroups of version 1, and file handles (`ulimit -n 200000`).

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use mqtt::codec::{
    BytesMut, Connect, ConnectProperties, PACKET_MAX_BYTES, Packet, Subscribe, Subscription, SubscriptionOptions,
    UserProperties, Version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::host::{Host, Kind};
use crate::throughput;

const PERIOD_US: u64 = 100_000;
const QUOTA_US: u64 = PERIOD_US / 10;
const MEMORY_BYTES: u64 = 300_000_000;
/// What the paper's replica held; then so many more at a time.
const FIRST: usize = 12_800;
const STEP: usize = 4_000;
const MOST: usize = 100_000;
/// How long a client waits for an answer before it counts as refused.
const PATIENCE: Duration = Duration::from_secs(20);
const AT_A_TIME: usize = 100;
/// Clients of one address: it has 28,000 ports, and those of connections that are over may be taken for a minute.
const PER_ADDRESS: usize = 5_000;
const KEEP_ALIVE_S: usize = 60;
const PINGS: usize = 20;
/// CONNACK and SUBACK of 3.1.1.
const WELCOME_BYTES: usize = 4 + 5;

/// The cgroups of one broker.
struct Limits(Vec<PathBuf>);

impl Limits {
    fn impose(host: &Host) -> io::Result<Self> {
        let folder = |of: &str| PathBuf::from(format!("/sys/fs/cgroup/{of}/watermaster-bench-{}", std::process::id()));
        let limits = Self(vec![folder("cpu"), folder("memory")]);
        let [cpu, memory] = [&limits.0[0], &limits.0[1]];
        fs::create_dir(cpu)?;
        fs::create_dir(memory)?;
        fs::write(cpu.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        fs::write(cpu.join("cpu.cfs_quota_us"), QUOTA_US.to_string())?;
        fs::write(memory.join("memory.limit_in_bytes"), MEMORY_BYTES.to_string())?;
        for process in host.process_ids() {
            for folder in &limits.0 {
                fs::write(folder.join("cgroup.procs"), process.to_string())?;
            }
        }
        Ok(limits)
    }

    fn memory_bytes(&self) -> f64 {
        let text = fs::read_to_string(self.0[1].join("memory.usage_in_bytes")).unwrap_or_default();
        text.trim().parse().unwrap_or(0.0)
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        // A process that was killed is in its cgroup until it is gone.
        for folder in &self.0 {
            let deadline = Instant::now() + PATIENCE;
            while fs::remove_dir(folder).is_err() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// All in turn.
pub(crate) fn measure(runtime: &Runtime, kinds: &[Kind], seconds: u64) {
    println!("a tenth of a core and {} MB:", MEMORY_BYTES / 1_000_000);
    for kind in kinds {
        with_limits(*kind, |host, limits| runtime.block_on(hold_most(host, limits, seconds)));
        for held in [0, FIRST] {
            for case in throughput::LIMITED {
                with_limits(*kind, |host, _| {
                    let idle = runtime.block_on(join_all(host.address, 0..held));
                    let figures = runtime.block_on(throughput::run(case, host, seconds));
                    println!(
                        "limits {kind:?} {:<10} {:>9.0}/s {:>6.2} µs, {} idle connections besides",
                        case.name,
                        figures.per_second,
                        figures.cpu_us(),
                        idle.len()
                    );
                    idle
                });
            }
        }
    }
}

/// Runs one broker within its limits; `run` gives back the connections that it holds, which end after the broker does, so
/// that their ports are free at once.
fn with_limits(kind: Kind, run: impl FnOnce(&Host, &Limits) -> Vec<TcpStream>) {
    let mut host = Host::start(kind);
    match Limits::impose(&host) {
        Ok(limits) => {
            let held = run(&host, &limits);
            host.kill_all();
            drop(held);
        }
        Err(error) => println!("no limits can be imposed: {error}"),
    }
}

/// More and more clients, until one is not answered.
async fn hold_most(host: &Host, limits: &Limits, seconds: u64) -> Vec<TcpStream> {
    let mut held = vec![];
    while held.len() < MOST {
        let (start, wanted) = (Instant::now(), if held.is_empty() { FIRST } else { held.len() + STEP });
        let (begun, new) = (held.len(), join_all(host.address, held.len()..wanted).await);
        let new_per_second = new.len() as f64 / start.elapsed().as_secs_f64();
        held.extend(new);
        if held.len() < wanted {
            println!("limits {:?}: {} connections, no more ({begun} with keep-alive)", host.kind, held.len());
            return held;
        }
        let cpu_us = host.cpu_us();
        let Some((answered, elapsed)) = keep_alive(&mut held, seconds).await else {
            println!("limits {:?}: {begun} connections; of {} one is not answered", host.kind, held.len());
            return held;
        };
        println!(
            "limits {:?}: {} connections ({new_per_second:.0} a second), {:.1} MB with the kernel's, {:.1} millicores \
             for {:.0} keep-alives a second",
            host.kind,
            held.len(),
            limits.memory_bytes() / 1e6,
            (host.cpu_us() - cpu_us) / elapsed / 1e3,
            answered as f64 / elapsed,
        );
    }
    held
}

/// Those that are answered.
async fn join_all(address: SocketAddr, numbers: std::ops::Range<usize>) -> Vec<TcpStream> {
    let each = stream::iter(numbers).map(|number| timeout(PATIENCE, join(address, number)));
    let answered = each.buffer_unordered(AT_A_TIME).take_while(|joined| {
        let is_in = matches!(joined, Ok(Ok(_)));
        async move { is_in }
    });
    answered.filter_map(|joined| async move { joined.ok()?.ok() }).collect().await
}

/// Connects and subscribes to a topic of its own.
async fn join(address: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let place = u8::try_from(1 + number / PER_ADDRESS).expect("few addresses");
    socket.bind(([127, 0, 1, place], 0).into())?;
    let mut stream = socket.connect(address).await?;
    let mut bytes = BytesMut::new();
    let filter = format!("idle/{number}");
    let connect = Packet::Connect(Box::new(Connect {
        version: Version::V3,
        clean_start: true,
        keep_alive_s: u16::try_from(2 * KEEP_ALIVE_S).expect("short"),
        client_id: format!("idle-{number}").into(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }));
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        subscription_id: None,
        user: UserProperties::default(),
        subscriptions: vec![Subscription { filter: filter.into(), options: SubscriptionOptions::default() }],
    });
    for packet in [connect, subscribe] {
        packet.encode(Version::V3, PACKET_MAX_BYTES, &mut bytes).expect("small packets");
    }
    stream.write_all(&bytes).await?;
    stream.read_exact(&mut [0; WELCOME_BYTES]).await?;
    Ok(stream)
}

/// Each client says that it lives once in [`KEEP_ALIVE_S`]. How many answers came and in what time; `None`: one did not come.
async fn keep_alive(held: &mut [TcpStream], seconds: u64) -> Option<(usize, f64)> {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64((PINGS * KEEP_ALIVE_S) as f64 / held.len() as f64));
    let (start, count) = (Instant::now(), held.len());
    let mut answered = 0;
    while start.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        for _ in 0..PINGS {
            let stream = &mut held[answered % count];
            stream.write_all(&[0xC0, 0]).await.ok()?;
            timeout(PATIENCE, stream.read_exact(&mut [0; 2])).await.ok()?.ok()?;
            answered += 1;
        }
    }
    Some((answered, start.elapsed().as_secs_f64()))
}
