//! The lab as the tests see it: real switches, a real controller, hosts that send real packets. `tests/real/lab/lab` starts
//! it and does everything that needs root; here its words are put into types, and rates are measured.
//!
//! There is one lab on a machine, so that whoever holds a [`Lab`] is alone with it, and finds it clean: no rule but link
//! discovery's, no meter, every cable in, controller and switches running.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::ask;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/lab/lab");
/// How many switches there are; host `n` is at switch `n`.
pub(crate) const SWITCHES: u32 = 4;
const PROBE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/lab/probe.py");
const STREAM_PORT: u16 = 7000;
/// iperf3's first port; each measurement that runs beside others takes another.
const IPERF_PORT: u16 = 5201;

static ALONE: Mutex<()> = Mutex::new(());

/// The lab, for one test at a time.
pub(crate) struct Lab {
    url: String,
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    /// The lab, clean.
    pub(crate) fn take() -> Self {
        // A test that failed leaves what it left: it is cleaned here.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Self { url: say(&["url"]).trim().to_owned(), _alone: alone };
        lab.clean();
        lab
    }

    /// Where the controller's REST is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every rule but link discovery's and every meter off the switches; everything up.
    pub(crate) fn clean(&self) {
        say(&["clean"]);
    }

    /// The rules of a switch, without link discovery's, as `ovs-ofctl` spells them.
    pub(crate) fn rules(&self, switch: u32) -> Vec<String> {
        let text = say(&["ofctl", "--no-stats", "dump-flows", &format!("wm-s{switch}")]);
        let rules = text.lines().filter(|line| line.contains("actions=") && !line.contains("dl_type=0x88cc"));
        // Told in the order of a hash table.
        let mut rules: Vec<String> = rules.map(|line| line.trim().to_owned()).collect();
        rules.sort();
        rules
    }

    /// The rules of all switches.
    pub(crate) fn all_rules(&self) -> Vec<Vec<String>> {
        (1..=SWITCHES).map(|switch| self.rules(switch)).collect()
    }

    /// How many meters a switch has.
    pub(crate) fn meters(&self, switch: u32) -> usize {
        say(&["meters", &switch.to_string()]).lines().filter(|line| line.starts_with("meter=")).count()
    }

    /// How many rules and how many meters there are in all.
    pub(crate) fn held(&self) -> (usize, usize) {
        (1..=SWITCHES)
            .fold((0, 0), |(rules, meters), switch| (rules + self.rules(switch).len(), meters + self.meters(switch)))
    }

    /// `ovs-ofctl` on a switch, for what somebody does behind our back.
    pub(crate) fn ofctl(&self, verb: &str, switch: u32, rest: &[&str]) -> String {
        say(&[&["ofctl", verb, &format!("wm-s{switch}")], rest].concat())
    }

    /// The cable between two neighbours, in or out.
    pub(crate) fn cable(&self, one: u32, other: u32, state: Cable) {
        let word = match state {
            Cable::In => "up",
            Cable::Out => "down",
            Cable::Silent => "silent",
        };
        say(&["link", &one.to_string(), &other.to_string(), word]);
    }

    /// The port of a switch towards a neighbour, off the switch or on it.
    pub(crate) fn port(&self, at: u32, towards: u32, state: Cable) {
        let word = match state {
            Cable::In => "in",
            Cable::Out | Cable::Silent => "out",
        };
        say(&["port", &at.to_string(), &towards.to_string(), word]);
    }

    /// BFD on every ring link, a packet each so many milliseconds.
    pub(crate) fn bfd(&self, every_ms: u32) {
        say(&["bfd", &every_ms.to_string()]);
    }

    /// The groups of a switch, as `ovs-ofctl` spells them.
    pub(crate) fn groups(&self, switch: u32) -> Vec<String> {
        let text = say(&["groups", &switch.to_string()]);
        text.lines().filter(|line| line.contains("group_id=")).map(|line| line.trim().to_owned()).collect()
    }

    /// What a port of a switch has sent, in bytes.
    pub(crate) fn sent_bytes(&self, switch: u32, port: u32) -> u64 {
        let text = self.ofctl("dump-ports", switch, &[&port.to_string()]);
        let sent =
            text.lines().find_map(|line| line.trim().strip_prefix("tx ")?.split("bytes=").nth(1)?.split(',').next());
        sent.and_then(|bytes| bytes.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    }

    /// The rules of a switch with the seconds since each was written, by cookie.
    pub(crate) fn ages(&self, switch: u32) -> Vec<(u64, f64)> {
        let text = say(&["rules", &switch.to_string()]);
        let age = |line: &str| {
            let cookie = line.split("cookie=0x").nth(1)?.split(',').next()?;
            let seconds = line.split("duration=").nth(1)?.split('s').next()?;
            Some((u64::from_str_radix(cookie, 16).ok()?, seconds.parse().ok()?))
        };
        text.lines().filter_map(age).collect()
    }

    /// Every ring link at this rate, with a class for each range of MPLS traffic classes.
    pub(crate) fn shape(&self, mbit: u32) {
        say(&["shape", &mbit.to_string()]);
    }

    /// Stops a part without warning, or starts it.
    pub(crate) fn part(&self, part: Part, verb: Verb) {
        let part = match part {
            Part::Controller => "controller",
            Part::Switches => "switchd",
        };
        let verb = match verb {
            Verb::Start => "start",
            Verb::Kill => "kill",
        };
        say(&[part, verb]);
    }

    /// Waits until the controller has all switches again.
    pub(crate) fn await_controller(&self) {
        let address = self.url.trim_start_matches("http://").parse().unwrap();
        let switches = || ask(address, "GET", "/stats/switches", None).map(|(_, seen)| seen).unwrap_or_default();
        let all = |seen: &Value| seen.as_array().is_some_and(|seen| seen.len() == SWITCHES as usize);
        await_that("the controller is back", Duration::from_secs(60), switches, all);
    }

    /// Another controller: one that has nothing of ours.
    pub(crate) fn plain_controller(&self) {
        self.part(Part::Controller, Verb::Kill);
        say(&["controller", "start", "plain"]);
    }

    /// What arrives of UDP offered at `mbit`, in Mbit/s of payload.
    pub(crate) fn udp(&self, from: u32, to: u32, mbit: u32, seconds: u32) -> f64 {
        self.start_iperf(from, to, IPERF_PORT, &Load::Udp { mbit }, seconds).arrived()
    }

    /// What TCP gets through, in Mbit/s, when the first burst is over.
    pub(crate) fn tcp(&self, from: u32, to: u32, seconds: u32) -> f64 {
        self.start_iperf(from, to, IPERF_PORT, &Load::Tcp, seconds).arrived()
    }

    /// A measurement that runs beside others; `slot` keeps them apart.
    pub(crate) fn start(&self, from: u32, to: u32, slot: u16, load: &Load, seconds: u32) -> Measuring {
        self.start_iperf(from, to, IPERF_PORT + slot, load, seconds)
    }

    fn start_iperf(&self, from: u32, to: u32, port: u16, load: &Load, seconds: u32) -> Measuring {
        let port = port.to_string();
        let mut server = inside(to, &["iperf3", "--server", "--one-off", "--forceflush", "--port", &port]);
        // It says so when it listens.
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("listening")), "iperf3 does not start");
        std::thread::spawn(move || lines.for_each(drop));
        let mut words = vec!["iperf3", "--json", "--connect-timeout", "5000", "--port", &port];
        let (address, seconds, omitted) = (address(to), seconds.to_string(), "3");
        words.extend(["--client", &address, "--time", &seconds, "--omit", omitted]);
        let figure;
        match load {
            Load::Udp { mbit } => {
                figure = format!("{mbit}M");
                words.extend(["--udp", "--bitrate", &figure, "--length", "1400"]);
            }
            Load::ManyTcp { connections } => {
                figure = connections.to_string();
                words.extend(["--parallel", &figure]);
            }
            Load::Tcp => {}
        }
        Measuring { client: inside(from, &words), server }
    }

    /// Pings until told to stop; `every_ms` apart.
    pub(crate) fn ping(&self, from: u32, to: u32, count: u32, every_ms: u32) -> Pinging {
        let interval = format!("{}.{:03}", every_ms / 1000, every_ms % 1000);
        let (count, address) = (count.to_string(), address(to));
        let mut process = inside(from, &["ping", "-n", "-D", "-i", &interval, "-c", &count, "-W", "1", &address]);
        let output = BufReader::new(process.stdout.take().unwrap());
        // Read while it goes on: with a full pipe it would stop sending.
        let told = std::thread::spawn(move || output.lines().map_while(Result::ok).collect());
        Pinging { process, told: Some(told) }
    }

    /// Numbered packets from host to host at a steady rate, until told to stop.
    pub(crate) fn stream(&self, from: u32, to: u32, packets_per_second: u32) -> Stream {
        let port = STREAM_PORT.to_string();
        let receiver = Probe::start(to, &["receive", &port]);
        let sender = Probe::start(from, &["send", &address(to), &port, &packets_per_second.to_string()]);
        Stream { sender, receiver }
    }

    /// The same to each of so many UDP ports from this one on, at so many a second in all.
    pub(crate) fn streams(&self, from: u32, to: u32, (port, count): (u16, u16), packets_per_second: u32) -> Streams {
        let (port, count, rate) = (port.to_string(), count.to_string(), packets_per_second.to_string());
        let receiver = Probe::start(to, &["receive", &port, &count]);
        let sender = Probe::start(from, &["send", &address(to), &port, &rate, &count]);
        Streams { sender, receiver }
    }

    /// Whether a packet of IPv6 gets there and back.
    pub(crate) fn reaches_v6(&self, from: u32, to: u32) -> bool {
        let to = format!("fd00:77::{to}");
        inside(from, &["ping", "-c", "2", "-i", "0.2", "-W", "1", &to]).wait().unwrap().success()
    }

    /// Whether a packet gets there and back.
    pub(crate) fn reaches(&self, from: u32, to: u32) -> bool {
        !self.ping(from, to, 2, 200).done().is_empty()
    }
}

/// A cable.
#[derive(Clone, Copy)]
pub(crate) enum Cable {
    In,
    Out,
    /// It drops all that is sent, and looks well at both ends.
    Silent,
}

/// What can be killed and started.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Controller,
    /// ovs-vswitchd, which is all four switches: it forgets every rule.
    Switches,
}

/// What is done to a part.
#[derive(Clone, Copy)]
pub(crate) enum Verb {
    Start,
    Kill,
}

/// What iperf3 sends.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    Udp { mbit: u32 },
    Tcp,
    ManyTcp { connections: u32 },
}

/// A measurement on its way.
pub(crate) struct Measuring {
    client: Child,
    server: Child,
}

impl Measuring {
    /// What arrived, in Mbit/s.
    pub(crate) fn arrived(mut self) -> f64 {
        let client = std::mem::replace(&mut self.client, Command::new("true").spawn().unwrap());
        let output = client.wait_with_output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let received = report["end"]["sum_received"]["bits_per_second"].as_f64();
        received.unwrap_or_else(|| panic!("iperf3: {}", report["error"])) / 1e6
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        for process in [&mut self.client, &mut self.server] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// `tests/real/lab/probe.py` in a host.
struct Probe {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Probe {
    fn start(host: u32, words: &[&str]) -> Self {
        let mut process = inside(host, &[&["python3", PROBE], words].concat());
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line == "ready"), "the probe does not start");
        Self { process, lines }
    }

    /// What it counted.
    fn stop(mut self) -> Value {
        assert!(Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap().success());
        let counted = self.lines.next().unwrap().unwrap();
        serde_json::from_str(&counted).unwrap()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Numbered packets on their way.
pub(crate) struct Stream {
    sender: Probe,
    receiver: Probe,
}

/// What became of numbered packets.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Arrivals {
    /// How many different ones arrived.
    pub(crate) received: u64,
    /// How many arrived more than once.
    pub(crate) twice: u64,
    /// Those that did not, in a row: the number of the first, and how many.
    pub(crate) gaps: Vec<(u64, u64)>,
}

/// Numbered packets of many flows on their way.
pub(crate) struct Streams {
    sender: Probe,
    receiver: Probe,
}

impl Streams {
    /// Stops; the most packets in a row that did not arrive, of each flow: -1 where not one did.
    pub(crate) fn stop(self) -> Vec<i64> {
        self.sender.stop();
        std::thread::sleep(Duration::from_millis(200));
        serde_json::from_value(self.receiver.stop()["gaps"].take()).unwrap()
    }
}

impl Stream {
    /// Stops, and tells.
    pub(crate) fn stop(self) -> Arrivals {
        self.sender.stop();
        // What is on its way arrives.
        std::thread::sleep(Duration::from_millis(200));
        serde_json::from_value(self.receiver.stop()).unwrap()
    }
}

/// Pings on their way.
pub(crate) struct Pinging {
    process: Child,
    told: Option<JoinHandle<Vec<String>>>,
}

impl Pinging {
    /// When each answer came, in seconds, by its number.
    pub(crate) fn done(self) -> Vec<(u32, f64)> {
        self.lines().iter().filter_map(|line| answered(line)).collect()
    }

    /// Stops; how many packets were sent, and when each answer came, by its number.
    pub(crate) fn stop(self) -> (u32, Vec<(u32, f64)>) {
        assert!(Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap().success());
        let lines = self.lines();
        let sent = lines.iter().find_map(|line| line.split(" packets transmitted").next()?.parse().ok());
        (sent.unwrap(), lines.iter().filter_map(|line| answered(line)).collect())
    }

    /// How long each packet that was answered took there and back, in milliseconds, from the quickest on.
    pub(crate) fn round_trips(self) -> Vec<f64> {
        let mut took: Vec<f64> = self.lines().iter().filter_map(|line| round_trip(line)).collect();
        took.sort_by(f64::total_cmp);
        took
    }

    fn lines(mut self) -> Vec<String> {
        let lines = self.told.take().unwrap().join().unwrap();
        let _ = self.process.wait();
        lines
    }
}

impl Drop for Pinging {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `[1700000000.123] 64 bytes from 10.77.0.3: icmp_seq=7 ttl=64 time=0.9 ms`.
fn answered(line: &str) -> Option<(u32, f64)> {
    let at = line.strip_prefix('[')?.split(']').next()?.parse().ok()?;
    let number = line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok()?;
    line.contains("bytes from").then_some((number, at))
}

/// The milliseconds at the end of such a line.
fn round_trip(line: &str) -> Option<f64> {
    line.split("time=").nth(1)?.strip_suffix(" ms")?.parse().ok()
}

/// The longest time without an answer, in seconds.
pub(crate) fn longest_gap(answers: &[(u32, f64)]) -> f64 {
    answers.windows(2).map(|pair| pair[1].1 - pair[0].1).fold(0.0, f64::max)
}

/// A host's address.
pub(crate) fn address(host: u32) -> String {
    format!("10.77.0.{host}")
}

/// Starts a command in a host's namespace.
pub(crate) fn inside(host: u32, words: &[&str]) -> Child {
    let mut command = Command::new(SCRIPT);
    command.args(["in", &format!("h{host}")]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs the script; what it printed. A lab that does not do as it is told is no lab.
fn say(words: &[&str]) -> String {
    let output = Command::new(SCRIPT).args(words).stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "lab {words:?}: {}\n(tests/run starts the lab; by hand: tests/real/lab/lab setup && tests/real/lab/lab up)",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something holds; says what it saw last where it never does.
pub(crate) fn await_that<T: std::fmt::Debug>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> T,
    holds: impl Fn(&T) -> bool,
) -> Duration {
    let started = Instant::now();
    loop {
        let seen = look();
        if holds(&seen) {
            return started.elapsed();
        }
        assert!(started.elapsed() < within, "{what}: not within {within:?}; last seen: {seen:?}");
        std::thread::sleep(Duration::from_millis(25));
    }
}
