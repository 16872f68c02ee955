//! What is measured, in processes of its own: a broker on the first core while this process has the second; or two of our
//! replicas on one Redis behind a balancer, all of them wherever there is room.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::balancer;

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    /// Ours with a file of users.
    Guarded,
    /// Ours on a SQLite file that commits to the operating system.
    File,
    /// Ours on a SQLite file that commits to the disk.
    FileOnDisk,
    Mosquitto,
    /// Two replicas of ours on Redis behind a balancer.
    Replicas,
}

/// Whether a program is on the PATH.
pub(crate) fn is_there(program: &str) -> bool {
    Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Everything that this process does from now on happens on these cores.
pub(crate) fn pin_this_process(cores: &str) {
    let id = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-acp", cores, &id]).stdout(Stdio::null()).status();
    if !pinned.is_ok_and(|status| status.success()) {
        println!("taskset is missing or there is one core only: broker and generator share it");
    }
}

/// A running broker; it stops when this goes.
pub(crate) struct Host {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    children: Vec<Child>,
    /// Its files.
    folder: tempfile::TempDir,
}

/// Rules about topics, in the form that both read.
const RULES: &str = "topic read $SYS/#\ntopic readwrite bench/#\ntopic readwrite idle/#\npattern write of/%c/#\n";

impl Host {
    pub(crate) fn start(kind: Kind) -> Host {
        // Also for a broker that gives up the rights it was started with.
        let rights = fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(rights).tempdir().expect("a folder");
        let mut host = Host { kind, address: free_address(), children: vec![], folder };
        let address = host.address;
        fs::write(host.rules(), RULES).expect("a file");
        match kind {
            Kind::Ours => host.run_ours("0", address, "memory"),
            Kind::Guarded => {
                let line = mqtt::auth::hash_line("somebody", b"right").expect("a hash");
                fs::write(host.users(), line).expect("a file");
                host.run_ours("0-1", address, "memory");
            }
            Kind::File => host.run_ours("0", address, &host.file("normal")),
            Kind::FileOnDisk => host.run_ours("0", address, &host.file("full")),
            Kind::Mosquitto => {
                // As generous as ours: nothing is dropped, nothing waits for more.
                let text = format!(
                    "listener {} 127.0.0.1\nallow_anonymous true\nacl_file {}\npersistence false\nlog_type none\n\
                     set_tcp_nodelay true\nmax_inflight_messages 1000\nmax_queued_messages 100000\n",
                    address.port(),
                    host.rules()
                );
                let path = host.folder.path().join("mosquitto.conf");
                fs::write(&path, text).expect("a file");
                host.run("0", "mosquitto", &["-c".to_owned(), path.display().to_string()]);
            }
            Kind::Replicas => host.start_replicas(),
        }
        host.await_listener(host.address);
        host
    }

    fn start_replicas(&mut self) {
        let redis = free_address();
        let arguments = format!("--bind 127.0.0.1 --save  --appendonly no --port {}", redis.port());
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        self.run("0-1", "redis-server", &arguments);
        self.await_listener(redis);
        let behind = [free_address(), free_address()];
        for address in behind {
            self.run_ours("0-1", address, &format!("redis://{redis}"));
            self.await_listener(address);
        }
        self.address = balancer::start(behind.to_vec());
    }

    fn file(&self, synchronous: &str) -> String {
        format!("sqlite://{}?synchronous={synchronous}", self.folder.path().join("broker.sqlite").display())
    }

    /// What the SQLite file and its log take.
    pub(crate) fn file_bytes(&self) -> u64 {
        let files = fs::read_dir(self.folder.path()).expect("a folder").flatten();
        let ours = files.filter(|file| file.file_name().to_string_lossy().starts_with("broker.sqlite"));
        ours.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
    }

    /// The processes that serve.
    pub(crate) fn process_ids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// SIGKILL, to all.
    pub(crate) fn kill_all(&mut self) {
        for mut child in self.children.drain(..).rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts ours again on the file that it had.
    pub(crate) fn start_again(&mut self) {
        self.run_ours("0", self.address, &self.file("normal"));
        self.await_listener(self.address);
    }

    fn rules(&self) -> String {
        self.folder.path().join("rules").display().to_string()
    }

    fn users(&self) -> String {
        self.folder.path().join("users").display().to_string()
    }

    fn run_ours(&mut self, cores: &str, address: SocketAddr, store: &str) {
        let (address, rules, users) = (address.to_string(), self.rules(), self.users());
        let mut arguments = vec!["broker", "--mqtt-listen", &address, "--mqtt-rules", &rules, "--store", store];
        if self.kind == Kind::Guarded {
            arguments.extend(["--mqtt-users", &users]);
        }
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        self.run(cores, env!("CARGO_BIN_EXE_watermaster"), &arguments);
    }

    fn run(&mut self, cores: &str, program: &str, arguments: &[String]) {
        let mut command = Command::new("taskset");
        command.args(["-c", cores, program]).args(arguments).stdout(Stdio::null());
        if std::env::var_os("LOUD").is_none() {
            command.stderr(Stdio::null());
        }
        self.children.push(command.spawn().expect("the broker starts"));
    }

    fn await_listener(&self, address: SocketAddr) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{:?} does not listen", self.kind);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// CPU time so far, in microseconds: of each process, in the order of their start.
    pub(crate) fn cpu_each_us(&self) -> Vec<f64> {
        self.children.iter().map(|child| cpu_of_us(child.id())).collect()
    }

    /// CPU time so far, in microseconds: of all that serve, but not of the balancer.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_each_us().iter().sum()
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> f64 {
        let of = |child: &Child| {
            let text = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("Linux");
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
            line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("kB") * 1024.0
        };
        self.children.iter().map(of).sum()
    }
}

/// CPU time of a process so far, in microseconds: of every thread, as the scheduler counts in nanoseconds.
pub(crate) fn cpu_of_us(process: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("Linux").flatten();
    let times = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    times.sum::<f64>() / 1e3
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill_all();
    }
}
