//! PostgreSQL servers of this test's own, each on a file system of its own that can be full: a primary, and a standby that
//! follows it asynchronously.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::broker::parts::free_port;

/// Whatever is started, or follows, has done so by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(super) struct Server {
    process: Child,
    folder: TempDir,
    pub(super) port: u16,
}

/// A program of PostgreSQL, which refuses to run as root.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap_or_else(|_| panic!("PostgreSQL is not installed"));
    let newest = versions.filter_map(|entry| entry.unwrap().file_name().into_string().ok()?.parse::<u32>().ok()).max();
    let path = format!("/usr/lib/postgresql/{}/bin/{name}", newest.unwrap());
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", &path]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn must(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status} (root may do it)");
}

fn mount(folder: &Path, options: &str) {
    must(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder));
}

impl Server {
    pub(super) fn primary() -> Self {
        Self::made(|data| {
            let mut command = program("initdb");
            command.args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-D"]).arg(data);
            command
        })
    }

    pub(super) fn standby_of(primary: &Self) -> Self {
        let port = primary.port.to_string();
        Self::made(|data| {
            let mut command = program("pg_basebackup");
            let source = ["-h", "127.0.0.1", "-U", "postgres", "-p", &port, "-c", "fast", "-X", "stream", "-R", "-D"];
            command.args(source).arg(data);
            command
        })
    }

    fn made(by: impl FnOnce(&Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        must(Command::new("chmod").arg("755").arg(folder.path()));
        mount(folder.path(), "size=4g,mode=755");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        must(Command::new("chmod").arg("700").arg(&data));
        must(Command::new("chown").arg("postgres").arg(&data));
        must(&mut by(&data));
        let port = free_port();
        let process = Self::run(&folder, port);
        let server = Self { process, folder, port };
        server.await_start();
        server
    }

    fn run(folder: &TempDir, port: u16) -> Child {
        let data = folder.path().join("data");
        let mut command = program("postgres");
        command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(&data);
        for setting in ["max_wal_size=64MB", "min_wal_size=32MB", "wal_keep_size=64MB", "max_connections=200"] {
            command.args(["-c", setting]);
        }
        command.spawn().unwrap()
    }

    fn await_start(&self) {
        let port = self.port.to_string();
        eventually("PostgreSQL", || {
            program("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port]).status().unwrap().success()
        });
    }

    /// The server's own process, and those that it has for connections.
    fn pids(&self) -> Vec<String> {
        let own = self.process.id().to_string();
        let found = Command::new("pgrep").args(["-P", &own]).output().unwrap();
        let children = String::from_utf8(found.stdout).unwrap();
        std::iter::once(own).chain(children.split_whitespace().map(str::to_owned)).collect()
    }

    fn signal_all(&self, signal: &str) {
        // One of them may have ended meanwhile.
        let _ = Command::new("kill").arg(signal).args(self.pids()).stderr(Stdio::null()).status();
    }

    pub(super) fn stall(&self) {
        self.signal_all("-STOP");
    }

    pub(super) fn go_on(&self) {
        self.signal_all("-CONT");
    }

    fn end(&mut self, signal: &str) -> ExitStatus {
        must(Command::new("kill").args([signal, &self.process.id().to_string()]));
        self.process.wait().unwrap()
    }

    /// Waits until a standby receives what is written as it is written.
    pub(super) fn await_follower(&self) {
        let port = self.port.to_string();
        let asked = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        eventually("a standby that follows", || {
            let arguments = ["-U", "postgres", "-h", "127.0.0.1", "-p", &port, "-Atc", asked];
            program("psql").args(arguments).stdout(Stdio::piped()).output().unwrap().stdout == b"1\n"
        });
    }

    /// Stops once the standby, which follows, has everything.
    pub(super) fn shut_down(&mut self) {
        self.end("-INT");
    }

    /// As if power failed.
    pub(super) fn crash(&mut self) {
        self.end("-QUIT");
    }

    pub(super) fn start_again(&mut self) {
        self.process = Self::run(&self.folder, self.port);
        self.await_start();
    }

    pub(super) fn promote(&self) {
        must(program("pg_ctl").args(["promote", "-w", "-D"]).arg(self.folder.path().join("data")));
    }

    /// Leaves no space on its file system.
    pub(super) fn fill_disk(&self) {
        let used = Command::new("df").args(["-k", "--output=used"]).arg(self.folder.path()).output().unwrap();
        let used = String::from_utf8(used.stdout).unwrap();
        let used: u64 = used.lines().nth(1).unwrap().trim().parse().unwrap();
        self.resize_disk(&format!("{}k", used + 64));
    }

    /// Gives the space back; the server may have given up meanwhile.
    pub(super) fn free_disk(&mut self) {
        self.resize_disk("4g");
        if self.process.try_wait().unwrap().is_some() {
            self.start_again();
        }
    }

    fn resize_disk(&self, size: &str) {
        must(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(self.folder.path()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.go_on();
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Its children end when they find it gone.
        for _ in 0..100 {
            let unmounted = Command::new("umount").arg(self.folder.path()).stderr(Stdio::null()).status();
            if unmounted.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}
