//! Clients of MQTT that show certificates, by mosquitto: a certificate is the principal that it is over HTTP, at the broker in
//! the service and at one that runs alone.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::certificates::{Authority, VALID, server};
use crate::client::ask_with;

const ADMINISTRATOR: &str = "the-administrator-of-this-test";
const CONFIG: &str = r#"
[[access.certificates]]
subject = "DNS:plant-1.example"
role = "aggregator"
aggregator = "plant-1"
[[access.certificates]]
subject = "CN:night shift"
name = "nights"
role = "engineer"
"#;
const PREFIX: &str = "watermaster/v1/aggregators";

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A process with a listener for MQTT over TLS, and its log.
struct SecureBroker {
    process: Child,
    port: String,
    http: String,
    authority: String,
    log: std::path::PathBuf,
}

impl Drop for SecureBroker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl SecureBroker {
    fn start(command: &[&str], folder: &Path, server: &Authority, ours: &Authority) -> Self {
        let (port, http, log) = (free_port(), free_port(), folder.join(format!("log-{}", command[0])));
        let config = folder.join("watermaster.toml");
        fs::write(&config, CONFIG).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(command)
            .args(["--listen", &format!("127.0.0.1:{http}"), "--mqtt-listen", "127.0.0.1:0"])
            .args(["--mqtt-tls-listen", &format!("127.0.0.1:{port}"), "--config", config.to_str().unwrap()])
            .args(["--mqtt-certificate", &server.file("server.pem"), "--mqtt-key", &server.file("server.key")])
            .args(["--mqtt-client-authority", &ours.file("ca.pem"), "--log-format", "json"])
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            let ended = process.try_wait().unwrap();
            let said = || fs::read_to_string(&log).unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, port, http, authority: server.file("server.pem"), log }
    }

    fn mosquitto(&self, program: &str, [certificate, key]: &[String; 2], more: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(["-h", "127.0.0.1", "-p", &self.port, "-V", "mqttv5", "-q", "1", "--cafile", &self.authority])
            .args(["--cert", certificate, "--key", key])
            .args(more);
        command
    }

    /// Publishes, and answers what mosquitto says of it: nothing where it is acknowledged.
    fn publish(&self, certificate: &[String; 2], topic: &str, payload: &str) -> String {
        let output = self.mosquitto("mosquitto_pub", certificate, &["-t", topic, "-m", payload]).output();
        let Output { status, stderr, .. } =
            output.unwrap_or_else(|error| panic!("mosquitto_pub (Debian: mosquitto-clients): {error}"));
        let said = String::from_utf8_lossy(&stderr).into_owned();
        if status.success() || !said.is_empty() { said } else { status.to_string() }
    }

    /// What a subscriber hears first of what is published until then.
    fn hears(&self, certificate: &[String; 2], filter: &str, publish: impl Fn()) -> Output {
        let more = ["-t", filter, "-v", "-C", "1", "-W", "30"];
        let mut command = self.mosquitto("mosquitto_sub", certificate, &more);
        let mut subscriber = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while subscriber.try_wait().unwrap().is_none() {
            publish();
        }
        subscriber.wait_with_output().unwrap()
    }

    /// That the log has these, by and by: it has a line a second of what is refused.
    fn logs(&self, texts: [&str; 2], again: impl Fn()) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let log = || fs::read_to_string(&self.log).unwrap();
        while !texts.iter().all(|text| log().contains(text)) {
            assert!(Instant::now() < deadline, "{texts:?} are not in {}", log());
            again();
        }
    }

    /// What holds at every broker, with the certificates of an aggregator and of an engineer.
    fn check(&self, folder: &Path, ours: &Authority, [plant, nights]: [&[String; 2]; 2]) {
        let refused = "Not authorized";
        let state = |of: &str| self.publish(plant, &format!("{PREFIX}/{of}/state"), "online");
        assert_eq!(state("plant-1"), "");
        assert!(state("plant-2").contains(refused), "{}", state("plant-2"));
        assert!(self.publish(plant, "elsewhere", "x").contains(refused));
        // An engineer may everything but what only the service says.
        let heard = self.hears(nights, "elsewhere", || assert_eq!(self.publish(nights, "elsewhere", "x"), ""));
        assert_eq!(String::from_utf8_lossy(&heard.stdout).trim(), "elsewhere x");
        assert!(self.publish(nights, &format!("{PREFIX}/plant-1/rates"), "{}").contains(refused));
        // Who is not in the configuration, or is there as another kind of name, is nobody.
        for (name, alternative) in [("nobody", ""), ("night shift", "DNS:a.example"), ("x", "URI:plant-1.example")] {
            let certificate = ours.client(name, alternative, VALID);
            assert!(self.publish(&certificate, "elsewhere", "x").contains(refused), "{name} {alternative}");
        }
        // One of another authority does not come in, and the log says why.
        let theirs = Authority::new(folder, &format!("theirs-{}", self.port));
        let forged = theirs.client("night shift", "", VALID);
        self.logs(["a client's certificate was refused", "UnknownIssuer"], || {
            assert_ne!(self.publish(&forged, "elsewhere", "x"), "");
        });
    }
}

#[test]
fn a_certificate_is_the_same_principal_over_mqtt() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (server, ours) = (server(folder), Authority::new(folder, "ours"));
    let plant = ours.client("plant", "DNS:plant-1.example", VALID);
    let nights = ours.client("night shift", "", VALID);
    let data = folder.join("data");
    let serve =
        ["serve", "--data", data.to_str().unwrap(), "--authentication", "required", "--admin-token", ADMINISTRATOR];
    let service = SecureBroker::start(&serve, folder, &server, &ours);
    service.check(folder, &ours, [&plant, &nights]);
    // What it reports is taken in, and the rates are told it alone.
    let at_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let report = json!({
        "node": "WA", "at": api::instant::Instant(at_ms).to_string(), "levels": [],
        "topics": [{"topic": "t", "qos_level": 2, "arrival_bps": 40_000, "subscribers": [{"consumer": "c", "node": "NE"}]}]
    });
    assert_eq!(service.publish(&plant, &format!("{PREFIX}/plant-1/metadata"), &report.to_string()), "");
    let rates = service.hears(&plant, &format!("{PREFIX}/plant-1/rates"), || {
        std::thread::sleep(Duration::from_millis(20));
    });
    assert!(String::from_utf8_lossy(&rates.stdout).contains("\"rate_bps\""), "{rates:?}");
    let address = format!("127.0.0.1:{}", service.http).parse().unwrap();
    let bearer = format!("Bearer {ADMINISTRATOR}");
    let known = ask_with(address, "GET", "/v1/aggregators", &[("authorization", &bearer)], None).unwrap().1;
    assert_eq!(known["items"].as_array().unwrap().len(), 1, "{known}");
    assert_eq!(known["items"][0]["id"], "plant-1");
}

#[test]
fn a_broker_alone_knows_the_same_principals() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (server, ours) = (server(folder), Authority::new(folder, "ours"));
    let plant = ours.client("plant", "DNS:plant-1.example", VALID);
    let nights = ours.client("night shift", "", VALID);
    let broker = SecureBroker::start(&["broker"], folder, &server, &ours);
    broker.check(folder, &ours, [&plant, &nights]);
    let config = folder.join("watermaster.toml");
    let alone = ["broker", "--mqtt-listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_watermaster")).args(alone).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(78) && error.contains("--mqtt-client-authority"), "{error}");
}
