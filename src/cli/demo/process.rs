//! The demo's processes, each of this very program: started, found, checked, stopped by their own pid. What must stay true:
//! no process outlives the demo, however that ends. Each holds the reading end of a pipe, and ends when that closes.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::serve::LIFELINE;

/// How long a process may take to print the address it listens on.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long a process may take to end before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// The most that is read of a process's output.
const OUTPUT_MAX_BYTES: u64 = 4 << 20;
/// The most that is shown of a failed process's log.
const LOG_SHOWN_BYTES: usize = 2_000;
/// Environment variables of this program; the processes get arguments alone.
const OWN_VARIABLES: &str = "WATERMASTER_";

/// Why a process does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It cannot be started.
    #[error("{process} cannot be started: {error}")]
    Start { process: String, error: std::io::Error },
    /// It did not print the address it listens on.
    #[error("{process} did not print the address it listens on{}", shown(.log))]
    Silent {
        process: String,
        /// The end of its log.
        log: String,
    },
    /// It ended by itself.
    #[error("{process} ended by itself ({status}){}", shown(.log))]
    Ended {
        process: String,
        /// Its exit status.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// Its status is unknown.
    #[error("{process} cannot be waited for: {error}")]
    Wait { process: String, error: std::io::Error },
}

fn shown(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; the end of its log:\n{log}") }
}

/// A process. Killed when dropped.
pub(super) struct DemoProcess {
    name: String,
    child: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
    listens: Option<oneshot::Receiver<SocketAddr>>,
    /// The last line that it prints.
    last_line: Option<JoinHandle<String>>,
}

impl DemoProcess {
    /// Starts this program with other arguments; its log goes to a file in `scratch`.
    pub(super) fn start(scratch: &Path, name: &str, arguments: &[String]) -> Result<Self, ProcessError> {
        let failed = |error| ProcessError::Start { process: name.to_owned(), error };
        let log = scratch.join(format!("{name}.log"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        let ours = std::env::vars_os().map(|(variable, _)| variable);
        for variable in ours.filter(|variable| variable.to_string_lossy().starts_with(OWN_VARIABLES)) {
            command.env_remove(variable);
        }
        command
            .args(arguments)
            .env(LIFELINE, "1")
            .env("RUST_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(failed)?)
            // Ctrl-C reaches the demo alone: it stops its processes in order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let lifeline = child.stdin.take();
        let (sender, listens) = oneshot::channel();
        let last_line = child.stdout.take().map(|out| tokio::spawn(read_output(out, sender)));
        Ok(Self { name: name.to_owned(), child, lifeline, log, listens: Some(listens), last_line })
    }

    /// The address it listens on, once it prints that.
    pub(super) async fn address(&mut self) -> Result<SocketAddr, ProcessError> {
        let silent = |log| ProcessError::Silent { process: self.name.clone(), log };
        let Some(listens) = self.listens.take() else { return Err(silent(String::new())) };
        match timeout(START_WAIT, listens).await {
            Ok(Ok(address)) => Ok(address),
            Err(_) => Err(silent(self.log_end())),
            // It closed its output: it is about to end.
            Ok(Err(_)) => match timeout(STOP_WAIT, self.child.wait()).await {
                Ok(Ok(status)) => Err(ProcessError::Ended { process: self.name.clone(), status, log: self.log_end() }),
                _ => Err(silent(self.log_end())),
            },
        }
    }

    /// Whether it still runs.
    pub(super) fn check(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(ProcessError::Ended { process: self.name.clone(), status, log: self.log_end() }),
            Err(error) => Err(ProcessError::Wait { process: self.name.clone(), error }),
        }
    }

    /// Stops it; the last line that it printed.
    pub(super) async fn stop(mut self) -> String {
        drop(self.lifeline.take());
        if timeout(STOP_WAIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        match self.last_line.take() {
            Some(last_line) => timeout(STOP_WAIT, last_line).await.ok().and_then(Result::ok).unwrap_or_default(),
            None => String::new(),
        }
    }

    fn log_end(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN_BYTES)..]).trim().to_owned()
    }
}

/// Reads a process's output: the first address goes to `sender`, the last line is the result.
async fn read_output(out: ChildStdout, sender: oneshot::Sender<SocketAddr>) -> String {
    let mut lines = BufReader::new(out.take(OUTPUT_MAX_BYTES)).lines();
    let (mut sender, mut last) = (Some(sender), String::new());
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = address_in(&line)
            && let Some(sender) = sender.take()
        {
            let _ = sender.send(address);
        }
        last = line;
    }
    last
}

/// The address in a line with an URL.
fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = line.split_once("http://")?.1;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '[' | ']')));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_output() {
        let found = |line| address_in(line).map(|address| address.to_string());
        assert_eq!(found("  open   http://127.0.0.1:80/ (the dashboard)").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(found("subscribe 'gateway=http://[::1]:9,topic=#'").as_deref(), Some("[::1]:9"));
        assert_eq!(found("mqtt://127.0.0.1:80 http://somewhere"), None);
    }
}
