//! Redis, sentinels and replicas of the broker as processes of their own, on free ports of this machine; each is stopped
//! by its own process id.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Whatever is started is there by then.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A Redis server.
pub(crate) struct Redis {
    process: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Redis {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_on(free_port(), arguments)
    }

    pub(crate) fn start_on(port: u16, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
            .args(arguments)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server (Debian: redis-server) cannot be started: {error}"));
        let redis = Self { process, port, _folder: folder };
        await_that("Redis answers", || redis.ask("PING").starts_with("+PONG"));
        redis
    }

    /// A sentinel of the master at this port; two of them have to agree.
    pub(crate) fn start_sentinel(master: u16) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor water 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds water 1000\nsentinel failover-timeout water 4000\n"
        );
        std::fs::write(&file, text).unwrap();
        let process = Command::new("redis-sentinel")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-sentinel (Debian: redis-sentinel) cannot be started: {error}"));
        let sentinel = Self { process, port, _folder: folder };
        await_that("the sentinel answers", || sentinel.ask("PING").starts_with("+PONG"));
        sentinel
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Says one inline command; the beginning of the answer.
    pub(crate) fn ask(&self, command: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return String::new() };
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        if stream.write_all(format!("{command}\r\n").as_bytes()).is_err() {
            return String::new();
        }
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    pub(crate) fn signal(&self, signal: &str) {
        signal_to(self.process.id(), signal);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn signal_to(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
    // A process that is told to stop may run on for a moment on another processor.
    while signal == "-STOP" && !is_stopped(pid) {
        std::thread::yield_now();
    }
}

/// Whether every thread of a process is stopped (proc(5): stat).
fn is_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    })
}

/// A replica of the broker.
pub(crate) struct Replica {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Replica {
    pub(crate) fn start(store: &str, arguments: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", store, arguments)
    }

    pub(crate) fn start_on(listen: &str, store: &str, arguments: &[&str]) -> Self {
        Self::run(&[&["broker", "--mqtt-listen", listen, "--store", store], arguments].concat())
    }

    /// Any command of the program that has a broker.
    pub(crate) fn run(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(arguments)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| line.split("mqtt://").nth(1)?.parse().ok());
        std::thread::spawn(move || lines.for_each(drop));
        let Some(address) = found else { panic!("it says where it listens: {:?}", process.wait()) };
        Self { process, address }
    }

    pub(crate) fn signal(&self, signal: &str) {
        signal_to(self.pid(), signal);
    }

    /// SIGKILL: no time for anything.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn terminate(mut self) {
        self.signal("-TERM");
        assert!(self.process.wait().unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has of memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for something that will come.
pub(crate) fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
