//! A broker in a process of its own, on the first core; and this process on the second.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Mosquitto,
}

/// Those that can be started here.
pub(crate) fn kinds() -> Vec<Kind> {
    let has_mosquitto =
        Command::new("mosquitto").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if has_mosquitto { vec![Kind::Ours, Kind::Mosquitto] } else { vec![Kind::Ours] }
}

/// Everything that this process does from now on happens on the second core.
pub(crate) fn pin_this_process() {
    let id = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-cp", "1", &id]).stdout(Stdio::null()).status();
    if !pinned.is_ok_and(|status| status.success()) {
        println!("taskset is missing or there is one core only: broker and generator share it");
    }
}

/// A running broker; it stops when this goes.
pub(crate) struct Host {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    child: Child,
    _config: tempfile::NamedTempFile,
}

impl Host {
    pub(crate) fn start(kind: Kind) -> Host {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let mut config = tempfile::NamedTempFile::new().expect("a file");
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).stdout(Stdio::null()).stderr(Stdio::null());
        match kind {
            Kind::Ours => {
                command.arg(env!("CARGO_BIN_EXE_watermaster"));
                command.args(["broker", "--mqtt-listen", &address.to_string()]);
            }
            Kind::Mosquitto => {
                // As generous as ours: nothing is dropped, nothing waits for more.
                write!(
                    config,
                    "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\nset_tcp_nodelay true\n\
                     max_inflight_messages 1000\nmax_queued_messages 100000\n",
                    address.port()
                )
                .expect("a file");
                command.arg("mosquitto").arg("-c").arg(config.path());
            }
        }
        let child = command.spawn().expect("the broker starts");
        let host = Host { kind, address, child, _config: config };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{kind:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        host
    }

    /// CPU time so far, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        let mut sum = 0.0;
        // Of every thread: the scheduler counts in nanoseconds.
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux").flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            sum += text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / 1e3;
        }
        sum
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("kB") * 1024.0
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
