//! A service in a process of its own, on a free port.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::ask;

/// A running service, killed when dropped.
pub(crate) struct Running {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(&[], arguments)
    }

    /// At an address of this machine that others can reach.
    pub(crate) fn start_at(listen: &str, arguments: &[&str]) -> Self {
        Self::start_as(listen, &[], arguments, Stdio::inherit())
    }

    /// With more variables in its environment.
    pub(crate) fn start_in(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::start_as("127.0.0.1:0", environment, arguments, Stdio::inherit())
    }

    /// With a file for its log besides.
    pub(crate) fn start_as(listen: &str, environment: &[(&str, &str)], arguments: &[&str], log: Stdio) -> Self {
        let started = Self::try_start(listen, environment, arguments, log);
        started.unwrap_or_else(|status| panic!("it says where it listens: {status}"))
    }

    /// Or what it ended with before it listened.
    pub(crate) fn try_start(
        listen: &str,
        environment: &[(&str, &str)],
        arguments: &[&str],
        log: Stdio,
    ) -> Result<Self, ExitStatus> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(["serve", "--listen", listen])
            .args(arguments)
            .env("RUST_LOG", "warn")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let rest = line.split("http://").nth(1)?.split('/').next()?.to_owned();
            rest.parse().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        match found {
            Some(address) => Ok(Self { process, address }),
            None => Err(process.wait().unwrap()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL: no time for anything.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops it, or lets it go on.
    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap().success());
    }

    pub(crate) fn terminate(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let started = Instant::now();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(started.elapsed() < Duration::from_secs(15), "it stops in bounded time");
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        ask(self.address, "GET", path, None).unwrap()
    }

    /// Every living allocation by id.
    pub(crate) fn living(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        let mut path = "/v1/allocations?state=active&limit=1000".to_owned();
        loop {
            let (status, page) = self.get(&path);
            assert_eq!(status, 200, "{page}");
            for item in page["items"].as_array().unwrap() {
                found.insert(item["id"].as_str().unwrap().to_owned(), item.clone());
            }
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/allocations?state=active&limit=1000&after={next}"),
                None => return found,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
