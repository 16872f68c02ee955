//! The REST interface for operators of a broker without a service around it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use mqtt::codec::{Delivery, Publish, Qos};

use super::session::client::{Client, lasting, publish};

const TOKEN: &str = "an administrator's token of the test";

/// A broker as a process, where it listens for MQTT and for operators.
struct Operated {
    process: Child,
    mqtt: SocketAddr,
    rest: SocketAddr,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watermaster"));
    command.args(["broker", "--mqtt-listen", "127.0.0.1:0"]).args(arguments).env("RUST_LOG", "error");
    command
}

impl Operated {
    fn start(arguments: &[&str]) -> Self {
        let mut process = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut after = |word: &str| {
            let found = lines.find_map(|line| line.split(word).nth(1)?.split('/').next()?.parse().ok());
            found.unwrap_or_else(|| panic!("it does not say where {word} is"))
        };
        let (mqtt, rest) = (after("mqtt://"), after("http://"));
        Self { process, mqtt, rest }
    }

    async fn ask(&self, method: reqwest::Method, path: &str, token: Option<&str>) -> (u16, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.request(method, format!("http://{}{path}", self.rest));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

impl Drop for Operated {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_alone_is_operated_as_that_of_a_service() {
    use reqwest::Method;
    let broker = Operated::start(&["--operator-listen", "127.0.0.1:0"]);
    let mut client = Client::new(broker.mqtt, lasting("meter-7"));
    client.subscribe("commands/#", Qos::AtLeastOnce);
    let topic = format!("plant/{}", "x".repeat(20_000));
    client.say_all(Publish { retain: true, ..publish(&topic, "21.5", Delivery::AtMostOnce) });
    client.hear_nothing();
    let (status, clients) = broker.ask(Method::GET, "/v1/broker/clients", None).await;
    assert!(status == 200 && clients.contains("\"meter-7\""), "{status} {clients}");
    let (status, session) = broker.ask(Method::GET, "/v1/broker/sessions/meter-7", None).await;
    assert!(status == 200 && session.contains("commands/#"), "{status} {session}");
    let (status, metrics) = broker.ask(Method::GET, "/metrics", None).await;
    assert!(status == 200 && metrics.contains("watermaster_mqtt_connections 1"), "{status} {metrics}");
    let (status, retained) = broker.ask(Method::GET, &format!("/v1/broker/retained?topic={topic}"), None).await;
    assert!(status == 200 && retained.contains(&topic), "{status}");
    let (status, cleared) = broker.ask(Method::DELETE, "/v1/broker/retained?topic=plant/%23", None).await;
    assert_eq!((status, &*cleared), (200, "{\"cleared\":1}"));
    assert_eq!(broker.ask(Method::DELETE, "/v1/broker/sessions/meter-7", None).await.0, 204);
    assert_eq!(broker.ask(Method::GET, "/v1/broker/sessions/meter-7", None).await.0, 404);
    // Nothing of a service is there, and what is not there is a problem document.
    let (status, problem) = broker.ask(Method::GET, "/v1/topologies", None).await;
    assert!(status == 404 && problem.contains("\"type\""), "{status} {problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_this_machine_operators_need_a_token() {
    use reqwest::Method;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{TOKEN}").unwrap();
    let path = file.path().to_str().unwrap();
    let refused = command(&["--operator-listen", "0.0.0.0:0"]).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(78) && text.contains("without authentication"), "{text}");
    let nobody = ["--operator-listen", "127.0.0.1:0", "--authentication", "required"];
    assert_eq!(command(&nobody).output().unwrap().status.code(), Some(78));
    let required = ["--operator-listen", "127.0.0.1:0", "--authentication", "required", "--admin-token-file", path];
    let broker = Operated::start(&required);
    for path in ["/v1/broker/clients", "/v1/broker/retained", "/v1/broker/sessions/x", "/metrics"] {
        assert_eq!(broker.ask(Method::GET, path, None).await.0, 401, "{path}");
        assert_eq!(broker.ask(Method::GET, path, Some("a token that nobody has")).await.0, 401, "{path}");
    }
    assert_eq!(broker.ask(Method::DELETE, "/v1/broker/sessions/x", None).await.0, 401);
    assert_eq!(broker.ask(Method::GET, "/v1/broker/clients", Some(TOKEN)).await.0, 200);
    assert_eq!(broker.ask(Method::GET, "/metrics", Some(TOKEN)).await.0, 200);
    let everywhere = ["--operator-listen", "0.0.0.0:0", "--admin-token-file", path];
    let broker = Operated::start(&everywhere);
    let here = Operated {
        rest: SocketAddr::from(([127, 0, 0, 1], broker.rest.port())),
        mqtt: broker.mqtt,
        process: Command::new("true").spawn().unwrap(),
    };
    assert_eq!(here.ask(Method::GET, "/v1/broker/clients", None).await.0, 401);
    assert_eq!(here.ask(Method::GET, "/v1/broker/clients", Some(TOKEN)).await.0, 200);
}
