//! The parts as processes of this very program: started, found, watched, ended by their own pid. What must stay true: no
//! part outlives us, however we end. Each holds the reading end of a pipe, and ends when that closes.

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

/// How long a part may take until it says where it listens.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long a part may take to end before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// How much of what a part says is read.
const OUTPUT_MAX_BYTES: u64 = 4 << 20;
/// How much of its log is shown when it failed.
const LOG_SHOWN_BYTES: usize = 2_000;
/// What tells this program things by the environment; the parts are told by us alone.
const OWN_VARIABLES: &str = "WATERMASTER_";

/// Why there is no such part, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// It cannot be started.
    #[error("{part} cannot be started: {error}")]
    Start {
        /// Which.
        part: String,
        /// Why.
        error: std::io::Error,
    },
    /// It did not say where it listens.
    #[error("{part} does not say where it listens{}", shown(.log))]
    Silent {
        /// Which.
        part: String,
        /// The end of its log.
        log: String,
    },
    /// It ended by itself.
    #[error("{part} ended by itself ({status}){}", shown(.log))]
    Ended {
        /// Which.
        part: String,
        /// How.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// Nobody knows how it is.
    #[error("{part} cannot be waited for: {error}")]
    Wait {
        /// Which.
        part: String,
        /// Why.
        error: std::io::Error,
    },
}

fn shown(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; the end of its log:\n{log}") }
}

/// A part. Killed when dropped.
pub(super) struct DemoProcess {
    name: String,
    child: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
    listens: Option<oneshot::Receiver<SocketAddr>>,
    /// The last line that it says.
    said: Option<JoinHandle<String>>,
}

impl DemoProcess {
    /// Starts this program with other arguments; its log goes to a file in `scratch`.
    pub(super) fn start(scratch: &Path, name: &str, arguments: &[String]) -> Result<Self, PartError> {
        let failed = |error| PartError::Start { part: name.to_owned(), error };
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
            // Ctrl-C is ours alone: parts end in our order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let lifeline = child.stdin.take();
        let (tell, listens) = oneshot::channel();
        let said = child.stdout.take().map(|out| tokio::spawn(listen(out, tell)));
        Ok(Self { name: name.to_owned(), child, lifeline, log, listens: Some(listens), said })
    }

    /// Where it listens, once it says so.
    pub(super) async fn address(&mut self) -> Result<SocketAddr, PartError> {
        let silent = |log| PartError::Silent { part: self.name.clone(), log };
        let Some(listens) = self.listens.take() else { return Err(silent(String::new())) };
        match timeout(START_WAIT, listens).await {
            Ok(Ok(address)) => Ok(address),
            Err(_) => Err(silent(self.log_end())),
            // It closed its output: it is about to end.
            Ok(Err(_)) => match timeout(STOP_WAIT, self.child.wait()).await {
                Ok(Ok(status)) => Err(PartError::Ended { part: self.name.clone(), status, log: self.log_end() }),
                _ => Err(silent(self.log_end())),
            },
        }
    }

    /// Whether it still runs.
    pub(super) fn check(&mut self) -> Result<(), PartError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(PartError::Ended { part: self.name.clone(), status, log: self.log_end() }),
            Err(error) => Err(PartError::Wait { part: self.name.clone(), error }),
        }
    }

    /// Has it end, and gives the last line that it said.
    pub(super) async fn stop(mut self) -> String {
        drop(self.lifeline.take());
        if timeout(STOP_WAIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        match self.said.take() {
            Some(said) => timeout(STOP_WAIT, said).await.ok().and_then(Result::ok).unwrap_or_default(),
            None => String::new(),
        }
    }

    fn log_end(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN_BYTES)..]).trim().to_owned()
    }
}

/// Reads what a part says: the first address goes to whoever waits for it, the last line is kept.
async fn listen(out: ChildStdout, tell: oneshot::Sender<SocketAddr>) -> String {
    let mut lines = BufReader::new(out.take(OUTPUT_MAX_BYTES)).lines();
    let (mut tell, mut last) = (Some(tell), String::new());
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = address_in(&line)
            && let Some(tell) = tell.take()
        {
            let _ = tell.send(address);
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
    fn addresses_are_found_in_what_parts_say() {
        let found = |line| address_in(line).map(|address| address.to_string());
        assert_eq!(found("  open   http://127.0.0.1:80/ (the dashboard)").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(found("subscribe 'gateway=http://[::1]:9,topic=#'").as_deref(), Some("[::1]:9"));
        assert_eq!(found("mqtt://127.0.0.1:80 http://somewhere"), None);
    }
}
