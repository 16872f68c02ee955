//! A service and gateways in processes of their own that speak over MQTT with TLS: a token is the password, a wrong one is
//! a warning; the service is killed and comes back, and the gateway reports again by itself.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};

use crate::access::token;
use crate::certificates::Authority;
use crate::client::{ask, ask_text, ask_with};
use crate::running::Running;

const PATIENCE: Duration = Duration::from_secs(60);
/// Short leases: the fallback holds soon after the service is gone.
const CONFIG: &str = "[scheduler]\nlease_ms = 3000\n";

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A gateway, killed when dropped, and its log.
struct EdgeProcess {
    process: Child,
    listen: SocketAddr,
    log: std::path::PathBuf,
}

impl Drop for EdgeProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl EdgeProcess {
    fn start(folder: &Path, orchestrator: &str, authority: &str, token: &str) -> Self {
        let (listen, device) = (free_address(), free_address());
        let (log, token_file) = (folder.join(format!("{listen}.log")), folder.join(format!("{listen}.token")));
        fs::write(&token_file, token).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(["gateway", "--id", "ag1", "--node", "WA", "--orchestrator", orchestrator])
            .args(["--listen", &listen.to_string(), "--mqtt-listen", &device.to_string()])
            .args(["--token-file", token_file.to_str().unwrap(), "--report-every-ms", "200"])
            .args(["--generate", "topic=plant/1/t,payload_bytes=100,rate_bps=80000", "--fallback-bps", "1,2,3"])
            // What takes the place of the system's authorities.
            .env("SSL_CERT_FILE", authority)
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let edge = Self { process, listen, log };
        eventually("the gateway starts", || matches!(ask(listen, "GET", "/readyz", None), Ok((200, _))).then_some(()));
        edge
    }

    fn status(&self) -> Value {
        ask(self.listen, "GET", "/v1/status", None).unwrap().1
    }

    fn until(&self, what: &str, is_good: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{what}: {}", self.log.display()), || Some(self.status()).filter(|status| is_good(status)))
    }

    fn subscribe(&self, consumer: &str, node: &str, level: u8, callback: &str) {
        let terms = json!({
            "topic": "plant/#", "qos_level": level, "consumer": consumer, "node": node, "callback_url": callback
        });
        let body = terms.to_string();
        let (status, answer) = ask(self.listen, "POST", "/v1/subscriptions", Some(&body)).unwrap();
        assert_eq!(status, 201, "{answer}");
    }

    fn logged(&self, text: &str) -> usize {
        fs::read_to_string(&self.log).unwrap().lines().filter(|line| line.contains(text)).count()
    }

    /// SIGTERM: it says farewell.
    fn terminate(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }
}

fn rate(status: &Value, level: usize) -> u64 {
    status["levels"][level]["rate_bps"].as_u64().unwrap()
}

#[test]
fn a_gateway_reports_over_mqtt_to_a_service_that_dies_and_comes_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let callback = format!("http://{}/in", listener.local_addr().unwrap());
    // A consumer that takes all.
    let router = Router::new().route("/in", post(async || ()));
    runtime.spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new(folder, "authority");
    let [certificate, key] = authority.server("broker", "DNS:localhost,IP:127.0.0.1");
    let (data, config) = (folder.join("data"), folder.join("watermaster.toml"));
    fs::write(&config, CONFIG).unwrap();
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    let own = token(data, &["--role", "aggregator", "--aggregator", "ag1", "--name", "ag1"]);
    let engineer = token(data, &["--role", "engineer", "--name", "engineer"]);
    let (listen, broker) = (free_address().to_string(), free_address());
    let broker_text = broker.to_string();
    let tls = ["--mqtt-tls-listen", &broker_text, "--mqtt-certificate", &certificate, "--mqtt-key", &key];
    let common = ["--data", data, "--config", config, "--mqtt-listen", "127.0.0.1:0", "--authentication", "required"];
    let arguments = [&common[..], &tls[..]].concat();
    let start = || Running::start_at(&listen, &arguments);
    let service = start();
    let orchestrator = format!("mqtts://localhost:{}", broker.port());
    let ca = authority.file("ca.pem");

    let refused = EdgeProcess::start(folder, &orchestrator, &ca, "not-a-token");
    let status = refused.until("its reports fail", |status| status["reports"]["failed"].as_u64() > Some(0));
    assert_eq!((&status["rates_from"], &status["reports"]["taken"]), (&json!("fallback"), &json!(0)));
    assert_eq!(refused.logged("MQTT: the orchestrator cannot be used"), 1, "it is a warning once");
    assert!(refused.logged("NotAuthorized") + refused.logged("BadUserNamePassword") > 0);
    drop(refused);

    let edge = EdgeProcess::start(folder, &orchestrator, &ca, &own);
    edge.subscribe("client1", "NJ", 2, &callback);
    edge.until("rates are told", |status| status["rates_from"] == "orchestrator" && rate(status, 2) >= 80_000);
    let allocations = |service: &Running| {
        let bearer = format!("Bearer {engineer}");
        let path = "/v1/allocations?aggregator=ag1";
        let (status, answer) = ask_with(service.address, "GET", path, &[("authorization", &bearer)], None).unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["items"].as_array().unwrap().iter().filter(|item| item["ended_at"].is_null()).count()
    };
    assert!(allocations(&service) > 0);

    service.kill();
    edge.until("the fallback holds, and reports fail", |status| {
        status["rates_from"] == "fallback" && status["reports"]["failed"].as_u64() > Some(0)
    });
    let service = start();
    edge.until("the gateway is led again", |status| {
        status["rates_from"] == "orchestrator" && rate(status, 2) >= 80_000
    });
    edge.subscribe("client2", "TX", 0, &callback);
    edge.until("rates change again", |status| rate(status, 0) >= 80_000);
    assert_eq!(edge.logged("MQTT: the orchestrator is back"), 1);
    assert!(edge.logged("MQTT: the orchestrator cannot be used") <= 3, "not a line for each attempt");
    assert!(ask_text(edge.listen, "/metrics").contains("watermaster_gateway_reports_total{outcome=\"failed\"}"));
    edge.terminate();
    eventually("the farewell releases", || (allocations(&service) == 0).then_some(()));
    service.terminate();
}
