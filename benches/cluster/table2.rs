//! MQTT against HTTP, as in Table II of the paper: the same report of an aggregator, 79 bytes, to the same running service,
//! each at a message every 100 ms and each flat out. Over MQTT a message is done with its PUBACK (QoS 1); over HTTP with
//! the answer, on a connection that stays and on a new one for each message. Besides, what a message takes of the service's
//! processor, and on the wire: bytes in both directions with the headers of TCP, IP and Ethernet, connections included. To
//! count them, everything runs in a network of its own (`unshare`, as root).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api::instant::Instant as Moment;
use mqtt::codec::{Delivery, Packet};

use crate::autoscaler::cpu_us as cpu_of_us;
use crate::breaking::Next;
use crate::session::client::{Client, connect, id, publish};

const MESSAGE_BYTES: usize = 79;
const CLIENTS: usize = 20;
const PACE: Duration = Duration::from_millis(100);
const LASTS: Duration = Duration::from_secs(5);
/// How old the first report is: the next ones are a millisecond younger each.
const OLDEST: Duration = Duration::from_secs(55);
/// The paper's: MQTT 18 messages a second, HTTP 4.
const PAPER: f64 = 4.5;

/// Set where the process is in a network of its own.
const IS_APART: &str = "WATERMASTER_BENCH_APART";

/// How a report travels.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Mqtt,
    Http,
    HttpEach,
}

/// The service, in a process of its own.
struct Service {
    process: Child,
    http: SocketAddr,
    mqtt: SocketAddr,
}

impl Service {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"])
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let (mut http, mut mqtt) = (None, None);
        while http.is_none() || mqtt.is_none() {
            let line = lines.next().expect("it says where it listens");
            let at = |scheme: &str| line.split(scheme).nth(1)?.split('/').next()?.trim().parse().ok();
            http = http.or_else(|| at("http://"));
            mqtt = mqtt.or_else(|| at("mqtt://"));
        }
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, http: http.unwrap(), mqtt: mqtt.unwrap() }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The report of one moment: each has to be newer than the one before it, and none is believed that is too old.
fn report(at_ms: u64) -> String {
    let at = serde_json::to_string(&Moment(at_ms)).expect("a time");
    let text = format!(r#"{{"node":"WA","at":{at},"levels":[]}}"#);
    format!("{text:<MESSAGE_BYTES$}")
}

/// One client for one round: how long each message took, in milliseconds.
fn client(service: (SocketAddr, SocketAddr), name: &str, by: By, pace: Duration) -> Vec<f64> {
    let (http, mqtt) = service;
    let mut speaker = (by == By::Mqtt).then(|| Client::new(mqtt, connect(name)));
    let mut line = None;
    let (mut waits_ms, begin) = (vec![], Instant::now());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").checked_sub(OLDEST).expect("a clock");
    let since_ms = u64::try_from(since.as_millis()).expect("a clock");
    for number in 1.. {
        let due = pace * u32::try_from(number).unwrap();
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        if begin.elapsed() >= LASTS {
            break;
        }
        let (sent, body) = (Instant::now(), report(since_ms + number));
        match &mut speaker {
            Some(speaker) => {
                let packet_id = id(u16::try_from(number % 60_000 + 1).unwrap());
                let topic = format!("watermaster/v1/aggregators/{name}/metadata");
                assert!(speaker.try_send(&Packet::Publish(publish(&topic, body, Delivery::AtLeastOnce(packet_id)))));
                let answer = speaker.next_within(Duration::from_secs(10));
                assert!(matches!(&answer, Next::Packet(packet) if matches!(**packet, Packet::Puback(_))), "{answer:?}");
            }
            None => {
                if by == By::HttpEach {
                    line = None;
                }
                let line = line.get_or_insert_with(|| {
                    let stream = TcpStream::connect(http).expect("the service listens");
                    stream.set_nodelay(true).expect("a socket");
                    BufReader::new(stream)
                });
                put(line, name, &body);
            }
        }
        waits_ms.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    waits_ms
}

fn put(line: &mut BufReader<TcpStream>, name: &str, body: &str) {
    let length = body.len();
    let ask = format!(
        "PUT /v1/aggregators/{name}/metadata HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    line.get_mut().write_all(ask.as_bytes()).expect("the service is there");
    let (mut head, mut rest) = (String::new(), 0);
    line.read_line(&mut head).expect("the service is there");
    let mut field = String::new();
    while line.read_line(&mut field).expect("the service is there") > 2 {
        if let Some((name, value)) = field.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            rest = value.trim().parse().expect("a length");
        }
        field.clear();
    }
    let mut answer = vec![0; rest];
    line.read_exact(&mut answer).expect("the service is there");
    assert!(head.contains(" 200 "), "{head}{}", String::from_utf8_lossy(&answer));
}

/// What was measured.
struct Figures {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Of the service, a message.
    cpu_us: f64,
    /// A message.
    wire_bytes: f64,
}

fn run(by: By, clients: usize, pace: Duration) -> Figures {
    let service = Service::start();
    let at = (service.http, service.mqtt);
    let (cpu_before_us, bytes_before) = (cpu_of_us(service.process.id()), loopback_bytes());
    let threads: Vec<_> =
        (0..clients).map(|number| std::thread::spawn(move || client(at, &format!("ag{number}"), by, pace))).collect();
    let mut all: Vec<f64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort_by(f64::total_cmp);
    let count = all.len() as f64;
    Figures {
        per_second: count / LASTS.as_secs_f64(),
        p50_ms: all[all.len() / 2],
        p99_ms: all[all.len() * 99 / 100],
        cpu_us: (cpu_of_us(service.process.id()) - cpu_before_us) / count,
        wire_bytes: (loopback_bytes() - bytes_before) / count,
    }
}

/// Bytes that the loopback has carried in this network.
fn loopback_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/net/dev").expect("Linux");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("a loopback");
    line.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).expect("a number")
}

/// Runs this again in a network of its own; whether that can be had.
fn run_apart() -> bool {
    let me = std::env::current_exe().expect("a program");
    let status = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" table2"])
        .arg(me)
        .env(IS_APART, "1")
        .status();
    status.is_ok_and(|status| status.success())
}

/// The table.
pub(crate) fn compare() {
    if std::env::var_os(IS_APART).is_none() {
        if run_apart() {
            return;
        }
        println!("no network of its own can be had: bytes are those of everything on the loopback");
    }
    println!(
        "{MESSAGE_BYTES}-byte reports, {} s each; p50 and p99 of a message in milliseconds, CPU of the service and bytes on \
         the wire for each",
        LASTS.as_secs()
    );
    println!(
        "| clients | pace | MQTT QoS 1, msg/s (p50, p99) | HTTP, one connection | HTTP, a connection each | MQTT / HTTP |"
    );
    println!("|---:|---|---:|---:|---:|---:|");
    for (clients, pace, said) in [
        (1, PACE, "100 ms"),
        (CLIENTS, PACE, "100 ms"),
        (1, Duration::ZERO, "flat out"),
        (CLIENTS, Duration::ZERO, "flat out"),
    ] {
        let [mqtt, http, each] = [By::Mqtt, By::Http, By::HttpEach].map(|by| run(by, clients, pace));
        let cell = |figures: &Figures| {
            let Figures { per_second, p50_ms, p99_ms, cpu_us, wire_bytes } = figures;
            format!("{per_second:.0} ({p50_ms:.2}, {p99_ms:.2}) {cpu_us:.0} µs {wire_bytes:.0} B")
        };
        let times = |other: &Figures| mqtt.per_second / other.per_second;
        let ratios = format!("{:.1}, {:.1}", times(&http), times(&each));
        println!("| {clients} | {said} | {} | {} | {} | {ratios} |", cell(&mqtt), cell(&http), cell(&each));
    }
    println!("(the paper: {PAPER} times)");
}
