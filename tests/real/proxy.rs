//! The recipe for nginx in front of the service, run.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::ask;
use crate::running::Running;

/// `admin:secret`, as HTTP spells it.
const CREDENTIALS: &str = "authorization: Basic YWRtaW46c2VjcmV0\r\n";

/// A running nginx, stopped when dropped.
struct Nginx {
    process: Child,
    own_host: SocketAddr,
    prefix: SocketAddr,
    _folder: tempfile::TempDir,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Nginx {
    /// With the recipe as it is but for its ports and the file of users.
    fn start(service: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (own_host, prefix) = (free_address(), free_address());
        let mut recipe =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx/watermaster.conf")).unwrap();
        for (from, to) in [
            ("127.0.0.1:8080", service.to_string()),
            ("127.0.0.1:8000", own_host.to_string()),
            ("127.0.0.1:8001", prefix.to_string()),
            ("/etc/nginx/watermaster.users", file("users")),
        ] {
            assert!(recipe.contains(from), "{from}");
            recipe = recipe.replace(from, &to);
        }
        fs::write(file("users"), "admin:{PLAIN}secret\n").unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", file(kind)))
            .concat();
        let (pid, log, main) = (file("pid"), file("log"), file("nginx.conf"));
        let text = format!(
            "daemon off;\nuser root;\npid {pid};\nerror_log {log};\nevents {{}}\nhttp {{\naccess_log off;\ngzip on;\n\
             gzip_proxied any;\ngzip_types application/json text/event-stream;\n{temporary}{recipe}}}\n"
        );
        fs::write(&main, text).unwrap();
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists()).unwrap();
        let process = Command::new(nginx).args(["-c", &main, "-e", &log]).spawn().unwrap();
        let nginx = Self { process, own_host, prefix, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(own_host).is_err() {
            assert!(Instant::now() < deadline, "{}", fs::read_to_string(&log).unwrap_or_default());
            std::thread::yield_now();
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with a master that is told to, not with one that is killed.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// What a browser with a session does: the status and the body.
fn browse(at: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{headers}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn nginx_lets_in_whoever_may_come_and_hands_on_what_browsers_send() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let nginx = Nginx::start(server.address);
    let own = nginx.own_host;

    assert_eq!(browse(own, "GET", "/v1/topologies", "", "").0, 401);
    let (status, page) = browse(own, "GET", "/", CREDENTIALS, "");
    assert!(status == 200 && page.contains("<script"), "{status} {page}");
    assert_eq!(browse(own, "GET", "/metrics", CREDENTIALS, "").0, 403);
    let request = json!({"ingress": "WA", "egress": "NJ", "class_type": 1, "bandwidth_bps": 1_000_000}).to_string();
    let post = |at: SocketAddr, path: &str, origin: &str| {
        let site = if origin == format!("http://{at}") { "same-origin" } else { "cross-site" };
        let headers = format!("{CREDENTIALS}origin: {origin}\r\nsec-fetch-site: {site}\r\n");
        browse(at, "POST", path, &headers, &request).0
    };
    assert_eq!(post(own, "/v1/allocations", &format!("http://{own}")), 201);
    assert_eq!(post(own, "/v1/allocations", "http://elsewhere.example"), 403);

    let prefix = nginx.prefix;
    assert_eq!(browse(prefix, "GET", "/watermaster/v1/topologies", "", "").0, 401);
    assert_eq!(browse(prefix, "GET", "/watermaster/v1/topologies", CREDENTIALS, "").0, 200);
    assert_eq!(post(prefix, "/watermaster/v1/allocations", &format!("http://{prefix}")), 201);
    assert_eq!(browse(prefix, "GET", "/watermaster/readyz", CREDENTIALS, "").0, 200);
    // The page finds its parts from where it is.
    let (status, page) = browse(prefix, "GET", "/watermaster/", CREDENTIALS, "");
    assert!(status == 200 && page.contains("src=\"./app.js\"") && !page.contains("=\"/"), "{status} {page}");
    assert_eq!(browse(prefix, "GET", "/watermaster/app.js", CREDENTIALS, "").0, 200);
}

#[test]
fn events_come_through_nginx_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let nginx = Nginx::start(server.address);
    for (at, path) in [(nginx.own_host, "/v1/events/stream"), (nginx.prefix, "/watermaster/v1/events/stream")] {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {at}\r\naccept-encoding: gzip\r\n{CREDENTIALS}\r\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.is_empty()), "the head of the answer");
        let request = json!({"ingress": "WA", "egress": "NJ", "class_type": 1, "bandwidth_bps": 1_000_000});
        assert_eq!(ask(server.address, "POST", "/v1/allocations", Some(&request.to_string())).unwrap().0, 201);
        let came = lines.map_while(Result::ok).find(|line| line.starts_with("data:"));
        assert!(came.is_some(), "{path}: no event within ten seconds");
    }
}
