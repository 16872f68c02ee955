//! Who is let in, by the program itself: beyond this machine, over TLS, with tokens of its own and of an OpenID provider.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};

use crate::client::ask_with;
use crate::dashboard::which;
use crate::running::Running;
use crate::secrets::Traced;

const PROGRAM: &str = env!("CARGO_BIN_EXE_watermaster");

pub(crate) fn said(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn token(data: &str, more: &[&str]) -> String {
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

    /// A token that ends in some seconds.
    fn soon(&mut self) -> String {
        self.input.write_all(b"soon\n").unwrap();
        self.next()["soon"].as_str().unwrap().to_owned()
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

fn mosquitto(program: &str, port: &str, password: &str, more: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", port, "-V", "mqttv5", "-q", "1", "-u", "any", "-P", password]).args(more);
    command
}

/// Whether a token comes in over MQTT.
fn publishes(port: &str, token: &str) -> bool {
    let output = mosquitto("mosquitto_pub", port, token, &["-t", "elsewhere", "-m", "x"]).output();
    output.unwrap_or_else(|error| panic!("mosquitto_pub (Debian: mosquitto-clients): {error}")).status.success()
}

/// A token of the provider is a password of the broker, in the service and alone: the same principal, with what its role may
/// there, until the token ends.
#[test]
fn a_token_of_an_openid_provider_is_a_password() {
    let mut provider = Provider::start();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("watermaster.toml");
    let issuer = provider.said["issuer"].as_str().unwrap();
    let text = format!(
        "[access]\noidc_issuer = \"{issuer}\"\noidc_role_claim = \"realm.roles\"\n\
         [access.oidc_roles]\nnet-ops = \"engineer\"\n[mqtt]\nanonymous = \"never\"\n"
    );
    fs::write(&config, text).unwrap();
    let (data, config) = (folder.path().join("data"), config.to_str().unwrap());
    let server = Traced::start(folder.path(), &["--data", data.to_str().unwrap(), "--config", config]);
    let log = fs::File::create(folder.path().join("log of the broker")).unwrap();
    let mut alone = Command::new(PROGRAM)
        .args(["broker", "--mqtt-listen", "127.0.0.1:0", "--config", config])
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(alone.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.split("mqtt://").nth(1)?.rsplit(':').next().map(str::to_owned)).unwrap();
    for port in [&server.mqtt_port, &port] {
        for (name, token) in provider.said["right"].as_object().unwrap() {
            assert!(publishes(port, token.as_str().unwrap()), "{name}");
        }
        for (name, token) in provider.said["wrong"].as_object().unwrap() {
            assert!(!publishes(port, token.as_str().unwrap()), "{name}");
        }
        assert!(!publishes(port, "no.such.token") && !publishes(port, "x"));
    }
    let right = provider.said["right"]["es256"].as_str().unwrap().to_owned();
    for port in [&server.mqtt_port, &port] {
        let soon = provider.soon();
        let mut subscriber = mosquitto("mosquitto_sub", port, &soon, &["-t", "elsewhere", "-R"]);
        let mut subscriber = subscriber.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut heard = BufReader::new(subscriber.stdout.take().unwrap()).lines();
        // A pipe without a reader would end it, too.
        let first = std::thread::spawn(move || (heard.next(), heard));
        while !first.is_finished() {
            assert!(publishes(port, &right));
        }
        let (first, _heard) = first.join().unwrap();
        assert_eq!(first.unwrap().unwrap(), "x");
        // Sent away, with a code that mosquitto takes for an end in order, it does not come in again.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while subscriber.try_wait().unwrap().is_none() {
            assert!(std::time::Instant::now() < deadline, "a client stays whose token has ended");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert!(!publishes(port, &soon));
    }
    alone.kill().unwrap();
    alone.wait().unwrap();
    let refused = fs::read_to_string(&server.log).unwrap();
    assert!(refused.contains("a credential was refused") && refused.contains("ExpiredSignature"));
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
