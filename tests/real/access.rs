//! Who is let in, by the program itself: beyond this machine, over TLS, with tokens of its own and of an OpenID provider; and
//! that no secret is in anything it writes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};

use crate::client::{ask, ask_with};
use crate::dashboard::which;
use crate::running::Running;

const PROGRAM: &str = env!("CARGO_BIN_EXE_watermaster");

fn said(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn token(data: &str, more: &[&str]) -> String {
    let (code, token, error) = said(&[&["token", "create", "--data", data], more].concat());
    assert_eq!(code, Some(0), "{error}");
    token.trim().to_owned()
}

fn get(server: &Running, token: &str, path: &str) -> (u16, Value) {
    ask_with(server.address, "GET", path, &[("authorization", &format!("Bearer {token}"))], None).unwrap()
}

#[test]
fn beyond_this_machine_nobody_is_let_in_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let everywhere = ["serve", "--listen", "0.0.0.0:0", "--data", data, "--mqtt-listen", "127.0.0.1:0"];
    let (code, _, error) = said(&everywhere);
    assert!(
        code == Some(78) && error.contains("--insecure-no-authentication") && error.lines().count() == 1,
        "{error}"
    );
    let (code, _, error) = said(&[&everywhere[..], &["--authentication", "required"]].concat());
    assert!(code == Some(78) && error.contains("token create"), "{error}");
    let anonymous = ["broker", "--mqtt-listen", "0.0.0.0:0", "--mqtt-anonymous", "always"];
    let (code, _, error) = said(&anonymous);
    assert!(code == Some(78) && error.contains("--mqtt-users"), "{error}");

    let secret = token(data, &["--role", "requester", "--name", "deploy", "--expires-in", "90d"]);
    let (_, listed, _) = said(&["token", "list", "--data", data]);
    assert!(listed.contains("deploy") && !listed.contains(&secret), "{listed}");
    let arguments = ["--data", data, "--mqtt-listen", "127.0.0.1:0", "--authentication", "required"];
    let server = Running::start_at("0.0.0.0:0", &arguments);
    for path in ["/v1/topologies", "/v1/events", "/metrics", "/v1/session"] {
        assert_eq!(server.get(path).0, 401, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.get(path).0, 200, "{path}");
    }
    assert_eq!(get(&server, &secret, "/v1/topologies").0, 200);
    assert_eq!(get(&server, &secret, "/v1/tokens").0, 403);
    // The command line says who it is, and a revoked token is one no more.
    let url = format!("http://{}", server.address);
    let ours = || {
        Command::new(PROGRAM).args(["topology", "list", "--server", &url]).env("WATERMASTER_TOKEN", &secret).output()
    };
    assert!(ours().unwrap().status.success());
    let id = listed.lines().find(|line| line.contains("deploy")).unwrap().split(' ').next().unwrap();
    assert_eq!(said(&["token", "revoke", "--data", data, id]).0, Some(0));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while ours().unwrap().status.success() {
        assert!(std::time::Instant::now() < deadline, "a revoked token is still good");
        std::thread::yield_now();
    }
}

#[test]
fn over_tls_a_client_speaks_http_2() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let paths = [folder.path().to_str().unwrap(), certificate.to_str().unwrap(), key.to_str().unwrap()];
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut serving = Command::new(PROGRAM)
        .args(["serve", "--listen", &address, "--mqtt-listen", "127.0.0.1:0", "--data", paths[0]])
        .args(["--tls-certificate", paths[1], "--tls-key", paths[2]])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serving.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(&format!("https://{address}/"))));
    let fetch = |more: &[&str]| {
        let url = format!("https://{address}/v1/topologies");
        let ca = ["--cacert", paths[1], "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", &url];
        let output = Command::new("curl").args(more).args(ca).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!((fetch(&[]), fetch(&["--http1.1"])), ("2 200".to_owned(), "1.1 200".to_owned()));
    serving.kill().unwrap();
    serving.wait().unwrap();
    let (code, _, error) = said(&["serve", "--data", paths[0], "--tls-certificate", paths[1]]);
    assert!(code == Some(2) && error.contains("--tls-key"), "{error}");
}

/// `oauth2-mock-server` and tokens of it.
struct Provider {
    process: Child,
    input: ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    said: Value,
}

impl Provider {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/oidc");
        assert!(folder.join("node_modules").is_dir(), "run npm ci in tests/real/oidc: tests/run does");
        let node = which("node").unwrap_or_else(|| panic!("there is no node: tests/run installs it"));
        let mut command = Command::new(node);
        command.arg(folder.join("provider.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut provider = Self { process, input, lines: BufReader::new(output).lines(), said: Value::Null };
        provider.said = provider.next();
        provider
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// A token by the key that the provider has from now on.
    fn rotate(&mut self) -> String {
        self.input.write_all(b"\n").unwrap();
        self.next()["rotated"].as_str().unwrap().to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn tokens_of_an_openid_provider_are_what_they_say_or_nothing() {
    let mut provider = Provider::start();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("watermaster.toml");
    let issuer = provider.said["issuer"].as_str().unwrap();
    let text = format!(
        "[access]\nauthentication = \"required\"\noidc_issuer = \"{issuer}\"\noidc_role_claim = \"realm.roles\"\n\
         [access.oidc_roles]\nnet-ops = \"engineer\"\n"
    );
    fs::write(&config, text).unwrap();
    let data = folder.path().join("data");
    let arguments = ["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let server = Traced::start(folder.path(), &arguments);
    let get = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        ask_with(server.address, "GET", "/v1/session", &headers, None).unwrap()
    };
    for (name, token) in provider.said["right"].as_object().unwrap() {
        let (status, session) = get(token.as_str().unwrap());
        let who = (session["name"].as_str(), session["role"].as_str(), session["tenant"].as_str());
        assert_eq!((status, who), (200, (Some("night shift"), Some("engineer"), Some("acme"))), "{name}: {session}");
    }
    let wrong = provider.said["wrong"].as_object().unwrap().clone();
    assert_eq!(wrong.len(), 10);
    for (name, token) in &wrong {
        let (status, problem) = get(token.as_str().unwrap());
        // The answer does not say which it was.
        assert_eq!((status, &problem["detail"]), (401, &json!("the token is not valid")), "{name}: {problem}");
    }
    // The log does, of each.
    let log = fs::read_to_string(&server.log).unwrap();
    let refused: Vec<_> = log.lines().filter(|line| line.contains("a credential was refused")).collect();
    for reason in [
        "InvalidAudience",
        "InvalidIssuer",
        "InvalidSignature",
        "has no key \\\"nobody\\\"",
        "`none`",
        "HS256 are not accepted",
        "ExpiredSignature",
        "ImmatureSignature",
        "exp",
        "gives no role",
    ] {
        assert!(refused.iter().any(|line| line.contains(reason)), "{reason}: {refused:#?}");
    }
    assert!(wrong.values().all(|token| !log.contains(token.as_str().unwrap())));
    // A new key is found within seconds, whoever asked with an unknown one before.
    let rotated = provider.rotate();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while get(&rotated).0 != 200 {
        assert!(std::time::Instant::now() < deadline, "a rotated key is not found");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    // What is known holds while the provider is away.
    drop(provider);
    assert_eq!(get(&rotated).0, 200);
}

/// Also those that the command line makes and revokes in the database, while the service runs and before.
#[test]
fn tokens_are_in_the_log_whoever_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let before = token(data, &["--role", "admin", "--name", "before"]);
    let path = folder.path().join("log");
    let mut serving = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--data", data])
        .args(["--authentication", "required", "--log-format", "json"])
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serving.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.split("http://").nth(1)?.split('/').next()?.parse().ok()).unwrap();
    let logged = |message: &str, name: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let log = fs::read_to_string(&path).unwrap();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found = lines.find(|line| line["fields"]["message"] == message && line["fields"]["name"] == name);
            if let Some(line) = found {
                return line["fields"].clone();
            }
            assert!(std::time::Instant::now() < deadline, "no '{message}' of {name} in {log}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    assert_eq!(logged("access tokens", "before")["count"], 1);
    // A tenant that there is not has no token; one that the service has just made has.
    let for_acme = ["token", "create", "--data", data, "--role", "requester", "--name", "during", "--tenant", "acme"];
    let (code, token_of_none, error) = said(&for_acme);
    assert!(code == Some(1) && token_of_none.is_empty(), "{error}");
    assert!(error.contains("there is no tenant 'acme'") && error.contains("watermaster tenant put acme"), "{error}");
    let bearer = format!("Bearer {before}");
    let put = ask_with(address, "PUT", "/v1/tenants/acme", &[("authorization", &bearer)], Some("{}")).unwrap();
    assert_eq!(put.0, 201, "{}", put.1);
    let during = token(data, &["--role", "requester", "--name", "during", "--tenant", "acme"]);
    let line = logged("an access token is accepted from now on", "during");
    assert_eq!((&line["role"], &line["tenant"]), (&json!("requester"), &json!("acme")));
    let id = line["id"].as_str().unwrap();
    assert_eq!(said(&["token", "revoke", "--data", data, id]).0, Some(0));
    assert_eq!(logged("an access token is accepted no more", "during")["id"], id);
    serving.kill().unwrap();
    serving.wait().unwrap();
    let log = fs::read_to_string(&path).unwrap();
    assert!(!log.contains(&before) && !log.contains(&during));
}

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
struct Traced {
    process: Child,
    address: std::net::SocketAddr,
    mqtt_port: String,
    log: std::path::PathBuf,
}

impl Traced {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
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
    let server = crate::certificates::server(folder);
    let mut hashed =
        Command::new(PROGRAM).args(["passwd", "user"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hashed.stdin.take().unwrap().write_all(b"planted-mqtt-password\n").unwrap();
    fs::write(path("users"), hashed.wait_with_output().unwrap().stdout).unwrap();
    let secrets = [
        &["--admin-token-file", &path("admin-token"), "--mqtt-users", &path("users")][..],
        &["--controller-username", "onos", "--controller-password", "planted-controller-password"],
        &["--controller-url", "http://127.0.0.1:1", "--oidc-issuer", "http://127.0.0.1:1"],
        &["--mqtt-tls-listen", "127.0.0.1:0", "--mqtt-certificate", &server.file("server.pem")],
        &["--mqtt-key", &server.file("server.key")],
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
    let key = fs::read_to_string(server.file("server.key")).unwrap();
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
        let started = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--database-deadline-ms", "500"])
            .args([flag, unreachable])
            .args(if flag == "--store" { ["--data", data.to_str().unwrap()].as_slice() } else { &[] })
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
