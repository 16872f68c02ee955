//! PgBouncer between the service and PostgreSQL. In transaction mode sessions do not last from one statement to the next:
//! the service says that it cannot work so. In session mode it works.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::broker::parts::free_port;
use crate::client::ask;
use crate::journal::ScratchUrl;
use crate::running::Running;

struct Pooler {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Pooler {
    fn start(database: &ScratchUrl, mode: &str) -> Self {
        let options: PgConnectOptions = database.url().parse().unwrap();
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let name = options.get_database().unwrap();
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port={} user={}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
             auth_type=any\npool_mode={mode}\ndefault_pool_size=8\nunix_socket_dir=\n\
             ignore_startup_parameters=extra_float_digits\n",
            options.get_host(),
            options.get_port(),
            options.get_username(),
        );
        std::fs::write(&file, text).unwrap();
        // It refuses to run as root.
        let mut command = match Command::new("id").arg("-u").output().unwrap().stdout.as_slice() {
            b"0\n" => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer"]);
                command
            }
            _ => Command::new("pgbouncer"),
        };
        assert!(Command::new("chmod").arg("755").arg(folder.path()).status().unwrap().success());
        let process = command.arg(&file).stderr(Stdio::null()).spawn();
        let process =
            process.unwrap_or_else(|error| panic!("pgbouncer (Debian: pgbouncer) cannot be started: {error}"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { process, url: format!("postgres://postgres@127.0.0.1:{port}/{name}"), _folder: folder }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_pooler_in_transaction_mode_is_refused_by_name() {
    let database = ScratchUrl::new();
    let pooler = Pooler::start(&database, "transaction");
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_watermaster"), "serve", "--listen", "127.0.0.1:0"]);
    let Output { status, stderr, .. } = command.args(["--database", &pooler.url]).output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && status.code() != Some(124), "{status}: {said}");
    assert!(said.contains("a pooler in transaction mode cannot be used, one in session mode can"), "{said}");
}

#[test]
fn a_pooler_in_session_mode_serves() {
    let database = ScratchUrl::new();
    let pooler = Pooler::start(&database, "session");
    let server = Running::start(&["--database", &pooler.url]);
    let body = r#"{"ingress": "WA", "egress": "NJ", "class_type": 0, "bandwidth_bps": 1000}"#;
    assert_eq!(ask(server.address, "POST", "/v1/allocations", Some(body)).unwrap().0, 201);
    assert_eq!(server.living().len(), 1);
}
