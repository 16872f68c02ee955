//! No secret is in anything that the program writes, whatever it is told to log.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::access::{said, token};
use crate::certificates::server;
use crate::client::ask_with;

const PROGRAM: &str = env!("CARGO_BIN_EXE_watermaster");

/// What was planted, so that it can be looked for.
const PLANTED: [&str; 8] = [
    "planted-administrator-0123456789",
    "planted-controller-password",
    "planted-wrong-token",
    "planted-cookie-token",
    "aaaa.planted-jwt.bbbb",
    "planted-mqtt-password",
    "planted-database-password",
    "planted-store-password",
];

/// A program that logs all that it can.
pub(crate) struct Traced {
    process: Child,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) mqtt_port: String,
    pub(crate) log: std::path::PathBuf,
}

impl Traced {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let log = folder.join("trace");
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--authentication", "required"])
            .args(arguments)
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (mut address, mut mqtt_port) = (None, None);
        for line in lines {
            let of = |scheme: &str| Some(line.split(scheme).nth(1)?.split(['/', ' ']).next()?.to_owned());
            address = address.or_else(|| of("http://")?.parse().ok());
            mqtt_port = mqtt_port.or_else(|| of("mqtt://")?.rsplit(':').next().map(str::to_owned));
            if line.contains("stop") {
                break;
            }
        }
        let found = address.zip(mqtt_port);
        let (address, mqtt_port) = found.unwrap_or_else(|| panic!("{}", fs::read_to_string(&log).unwrap()));
        Self { process, address, mqtt_port, log }
    }

    fn ask(&self, method: &str, path: &str, header: (&str, &str), body: Option<&str>) -> (u16, String) {
        let (status, answer) = ask_with(self.address, method, path, &[header], body).unwrap();
        (status, answer.to_string())
    }

    /// Whether mosquitto comes in with a password.
    fn mqtt(&self, user: &str, password: &str) -> (bool, String) {
        let output = Command::new("mosquitto_pub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.mqtt_port,
                "-q",
                "1",
                "-t",
                "t",
                "-m",
                "x",
                "-u",
                user,
                "-P",
                password,
            ])
            .output()
            .unwrap_or_else(|error| panic!("mosquitto_pub (Debian: mosquitto-clients): {error}"));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// All that was logged, once it has ended in order.
    fn end(mut self) -> String {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap();
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Tokens, passwords, keys and URLs that were planted are in no output and no file but the one they were given in.
#[test]
fn no_secret_is_in_what_the_program_writes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = folder.join("data");
    let data = data.to_str().unwrap();
    let made = token(data, &["--role", "engineer"]);
    let [planted, ..] = PLANTED;
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    fs::write(path("admin-token"), planted).unwrap();
    let authority = server(folder);
    let mut hashed =
        Command::new(PROGRAM).args(["passwd", "user"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hashed.stdin.take().unwrap().write_all(b"planted-mqtt-password\n").unwrap();
    fs::write(path("users"), hashed.wait_with_output().unwrap().stdout).unwrap();
    let (admin_token, users) = (path("admin-token"), path("users"));
    let (certificate, key) = (authority.file("server.pem"), authority.file("server.key"));
    let secrets = [
        &["--admin-token-file", &admin_token, "--mqtt-users", &users][..],
        &["--controller-username", "onos", "--controller-password", "planted-controller-password"],
        &["--controller-url", "http://127.0.0.1:1", "--oidc-issuer", "http://127.0.0.1:1"],
        &["--mqtt-tls-listen", "127.0.0.1:0", "--mqtt-certificate", &certificate],
        &["--mqtt-key", &key],
    ]
    .concat();
    let traced = Traced::start(folder, &[&["--data", data], &secrets[..]].concat());
    let mut written = String::new();
    let bearer = |token: &str| format!("Bearer {token}");
    for (token, path) in [
        (planted, "/v1/tokens"),
        (&made, "/v1/session"),
        ("planted-wrong-token", "/v1/session"),
        ("aaaa.planted-jwt.bbbb", "/v1/session"),
    ] {
        written += &traced.ask("GET", path, ("authorization", &bearer(token)), None).1;
    }
    written += &traced.ask("GET", "/v1/session", ("cookie", "watermaster_token=planted-cookie-token"), None).1;
    let put = json!({"driver": "onos", "url": "http://127.0.0.1:1", "topology": "nsfnet"}).to_string();
    let (status, answer) = traced.ask("PUT", "/v1/controllers/c", ("authorization", &bearer(planted)), Some(&put));
    assert_eq!(status, 201, "{answer}");
    written += &answer;
    for (user, password, is_right) in
        [("user", "planted-mqtt-password", true), ("any", &*made, true), ("user", "planted-wrong-token", false)]
    {
        let (is_in, said) = traced.mqtt(user, password);
        assert_eq!(is_in, is_right, "{said}");
    }
    written += &traced.end();
    written +=
        &said(&[&["config", "--database", "postgres://u:planted-database-password@h/d"], &secrets[..]].concat()).1;
    written += &said(&["config", "--store", "redis://:planted-store-password@h"]).1;
    for entry in fs::read_dir(data).unwrap() {
        written += &String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap());
    }
    assert!(written.contains("TRACE") || written.contains("\"TRACE\""), "all that can be logged is");
    let key = fs::read_to_string(key).unwrap();
    let key = key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned);
    for secret in PLANTED.into_iter().map(str::to_owned).chain([made]).chain(key) {
        assert!(!written.contains(&secret), "{secret}");
    }
}

/// A database asks for a password; where it cannot be reached, the reason says so without it.
#[test]
fn the_url_of_a_database_is_in_no_log() {
    let url = std::env::var("WATERMASTER_TEST_POSTGRES_URL");
    let url = url.unwrap_or_else(|_| panic!("WATERMASTER_TEST_POSTGRES_URL is not set: tests/run sets it"));
    let folder = tempfile::tempdir().unwrap();
    // The server trusts whoever comes from this machine, whatever the password.
    let schema = format!("secrets_{}", std::process::id());
    let made = Command::new("psql").args([&url, "-q", "-c", &format!("create database {schema}")]).status().unwrap();
    assert!(made.success());
    let with_password = url.replacen("postgres@", "postgres:planted-database-password@", 1);
    let (base, _) = with_password.rsplit_once('/').unwrap();
    let database = format!("{base}/{schema}");
    let admin = ["--admin-token", "planted-administrator-0123456789"];
    let traced = Traced::start(folder.path(), &[&["--database", &database], &admin[..]].concat());
    let bearer = "Bearer planted-administrator-0123456789";
    let (status, mut written) = traced.ask("GET", "/v1/topologies", ("authorization", bearer), None);
    assert_eq!(status, 200, "{written}");
    written += &traced.end();
    let dropped = Command::new("psql").args([&url, "-q", "-c", &format!("drop database {schema}")]).status().unwrap();
    assert!(dropped.success());
    for (unreachable, flag) in [
        ("postgres://u:planted-database-password@127.0.0.1:1/d", "--database"),
        ("postgres://u:planted-database-password@[", "--database"),
        ("redis://:planted-store-password@[", "--store"),
    ] {
        let data = folder.path().join("other");
        let folder = (flag == "--store").then(|| data.to_str().unwrap());
        let started = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--database-deadline-ms", "500"])
            .args([flag, unreachable])
            .args(folder.iter().flat_map(|folder| ["--data", folder]))
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        assert!(!started.status.success(), "{unreachable}");
        written += &String::from_utf8_lossy(&started.stderr);
        written += &String::from_utf8_lossy(&started.stdout);
    }
    for secret in PLANTED {
        assert!(!written.contains(secret), "{secret}");
    }
}
