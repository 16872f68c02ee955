//! What a connection may come through, and who is let in.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

use mqtt::auth::{Access, AccessPolicy, Anonymous, KnownClient, Rules, Users, hash_line};
use mqtt::codec::{Bytes, Packet, Reason, Version};
use mqtt::transport::{ClientCertificates, Tls, TlsError};
use mqtt::{Broker, Settings, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use super::super::codec::notation::bytes;
use super::{Raw, broker, plain, raw};

fn certificate(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mqtt/wire/certificate").join(name)
}

#[tokio::test]
async fn tls() {
    let tls =
        Tls::read(&certificate("certificate.pem"), &certificate("key.pem"), ClientCertificates::NotAsked).unwrap();
    let address = broker(Settings::default(), Transport::Tls(Arc::new(tls))).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate("certificate.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    let mut client = Raw::new(stream, Version::V5);
    client.connect(Version::V5, "secret").await;
    assert!(client.is_served().await);

    // Who speaks plainly is not heard.
    let mut plain = raw(address, Version::V5).await;
    plain.say("10 \"MQTT\" 05 02 0000 {} \"plain\"").await;
    assert_ne!(plain.hear_bytes().await.first(), Some(&0x20));
}

#[test]
fn tls_needs_a_certificate_and_its_key() {
    let none = Tls::read(&certificate("key.pem"), &certificate("key.pem"), ClientCertificates::NotAsked);
    assert!(matches!(none, Err(TlsError::NoCertificate { .. })));
    let absent = Tls::read(&certificate("absent.pem"), &certificate("key.pem"), ClientCertificates::NotAsked);
    assert!(matches!(absent, Err(TlsError::Unreadable { .. })));
}

/// MQTT-6.0.0-1 to -4.
#[tokio::test]
async fn websocket() {
    use futures_util::{SinkExt, StreamExt};
    let address = broker(Settings::default(), Transport::WebSocket).await;
    let url = format!("ws://{address}/mqtt");

    let socket = TcpStream::connect(address).await.unwrap();
    let refused = tokio_tungstenite::client_async(url.clone(), socket).await.unwrap_err();
    assert!(matches!(refused, tungstenite::Error::Http(answer) if answer.status() == 400));

    let mut request = url.clone().into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "chat, mqtt".parse().unwrap());
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut stream, answer) = tokio_tungstenite::client_async(request.clone(), socket).await.unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "mqtt");

    // Clients of 3.1 have a name of their own for it.
    let mut old = url.clone().into_client_request().unwrap();
    old.headers_mut().insert("Sec-WebSocket-Protocol", "mqttv3.1".parse().unwrap());
    let socket = TcpStream::connect(address).await.unwrap();
    let (_, answer) = tokio_tungstenite::client_async(old, socket).await.unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "mqttv3.1");

    // Packets need not end where frames do: a CONNECT in two, and its rest together with a PINGREQ.
    let mut all = bytes("10 \"MQTT\" 05 02 0000 {} \"web\"");
    all.extend(bytes("C0"));
    let (first, second) = all.split_at(5);
    for part in [first, second] {
        stream.send(Message::Binary(Bytes::copy_from_slice(part))).await.unwrap();
    }
    let mut heard = vec![];
    while !heard.ends_with(&[0xD0, 0x00]) {
        match stream.next().await.unwrap().unwrap() {
            Message::Binary(part) => heard.extend_from_slice(&part),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard[0], 0x20);

    // Text ends the connection.
    stream.send(Message::Text("C0".into())).await.unwrap();
    while let Some(Ok(message)) = stream.next().await {
        assert!(!matches!(message, Message::Text(_)), "{message:?}");
    }
}

/// MQTT 3.1: byte 1 of CONNACK is reserved, and an empty client identifier has return code 2.
#[tokio::test]
async fn clients_of_3_1_are_answered_in_their_words() {
    let address = plain().await;
    for (connect, connack) in [
        ("10 \"MQIsdp\" 03 00 0000 \"old\"", [0x20, 2, 0, 0]),
        // Its session is there now, which 3.1.1 would say.
        ("10 \"MQIsdp\" 03 00 0000 \"old\"", [0x20, 2, 0, 0]),
        ("10 \"MQTT\" 04 00 0000 \"old\"", [0x20, 2, 1, 0]),
        ("10 \"MQIsdp\" 03 02 0000 \"\"", [0x20, 2, 0, 2]),
        // [MQTT-3.1.2-2] of 3.1.1: a level that is not served has return code 1.
        ("10 \"MQTT\" 02 02 0000 \"old\"", [0x20, 2, 0, 1]),
    ] {
        let mut client = raw(address, Version::V3).await;
        client.say(connect).await;
        let mut answer = [0; 4];
        client.stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, connack, "{connect}");
    }
}

/// In 3.1 (3.6, 3.8, 3.10) PUBREL, SUBSCRIBE and UNSUBSCRIBE say when they are sent again.
#[tokio::test]
async fn clients_of_3_1_may_say_that_they_repeat() {
    let mut client = raw(plain().await, Version::V3).await;
    for (packet, answer) in [
        ("10 \"MQIsdp\" 03 02 0000 \"old\"", &[0x20, 2, 0, 0][..]),
        ("8A 0001 \"t\" 00", &[0x90, 3, 0, 1, 0]),
        ("6A 0002", &[0x70, 2, 0, 2]),
        ("AA 0003 \"t\"", &[0xB0, 2, 0, 3]),
    ] {
        client.say(packet).await;
        let mut bytes = vec![0; answer.len()];
        client.stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, answer, "{packet}");
    }
}

#[tokio::test]
async fn users_and_rules() {
    let users = Users::parse(&hash_line("alice", b"secret").unwrap()).unwrap();
    let rules = Rules::parse("user alice\ntopic readwrite alice/#\n").unwrap();
    let access = Access::new(Anonymous::Never, Some(users), Some(rules));
    let address = broker(Settings { access: Arc::new(access), ..Settings::default() }, Transport::Tcp).await;

    for (connect, reason) in [
        ("10 \"MQTT\" 05 02 0000 {} \"c\"", Reason::NotAuthorized),
        ("10 \"MQTT\" 05 C2 0000 {} \"c\" \"alice\" \"wrong\"", Reason::BadUserNameOrPassword),
        ("10 \"MQTT\" 05 C2 0000 {} \"c\" \"bob\" \"secret\"", Reason::BadUserNameOrPassword),
        ("10 \"MQTT\" 05 C6 0000 {} \"c\" {} \"bob/will\" \"m\" \"alice\" \"secret\"", Reason::NotAuthorized),
    ] {
        let mut client = raw(address, Version::V5).await;
        client.say(connect).await;
        let Some(Packet::Connack(connack)) = client.hear().await else { panic!("{connect}") };
        assert_eq!(connack.reason, reason, "{connect}");
        assert_eq!(client.hear().await, None);
    }

    let mut alice = raw(address, Version::V5).await;
    alice.say("10 \"MQTT\" 05 C2 0000 {} \"a\" \"alice\" \"secret\"").await;
    let Some(Packet::Connack(connack)) = alice.hear().await else { panic!("no CONNACK") };
    assert_eq!(connack.reason, Reason::Success);
    alice.say("82 0001 {} \"alice/#\" 01 \"#\" 01 \"bob/x\" 00 \"$share/g/bob/x\" 00").await;
    let Some(Packet::Suback(suback)) = alice.hear().await else { panic!("no SUBACK") };
    let refused = Reason::NotAuthorized;
    assert_eq!(suback.reasons, [Reason::GrantedQos1, refused, refused, refused]);
    alice.say("32 \"bob/x\" 0002 {} 'm'").await;
    let Some(Packet::Puback(puback)) = alice.hear().await else { panic!("no PUBACK") };
    assert_eq!(puback.reason, Reason::NotAuthorized);

    // [MQTT-3.3.5-2] of 3.1.1: what may not be published is acknowledged like any other, and not published.
    let mut old = raw(address, Version::V3).await;
    old.say("10 \"MQTT\" 04 C6 0000 \"o\" \"alice/will\" \"m\" \"alice\" \"secret\"").await;
    assert!(matches!(old.hear().await, Some(Packet::Connack(connack)) if connack.reason == Reason::Success));
    old.say("82 0001 \"alice/#\" 01 \"bob/x\" 00").await;
    let Some(Packet::Suback(suback)) = old.hear().await else { panic!("no SUBACK") };
    assert_eq!(suback.reasons, [Reason::GrantedQos1, Reason::Unspecified]);
    old.say("32 \"bob/x\" 0002 'm'").await;
    assert!(matches!(old.hear().await, Some(Packet::Puback(ack)) if ack.packet_id.get() == 2));
    assert!(old.is_served().await);
}

const PROXY_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Behind a balancer the address is the client's: what only this machine may do, the balancer's neighbours may not.
#[tokio::test]
async fn a_balancer_tells_the_address_of_the_client() {
    let address = broker(Settings { proxy_protocol: true, ..Settings::default() }, Transport::Tcp).await;
    let connect = "10 \"MQTT\" 05 02 0000 {} \"c\"";
    for (source, reason) in [([192, 0, 2, 1], Reason::NotAuthorized), ([127, 0, 0, 1], Reason::Success)] {
        let mut client = raw(address, Version::V5).await;
        let header = [PROXY_SIGNATURE, &[0x21, 0x11, 0, 12], &source, &[127, 0, 0, 1, 4, 0, 7, 0x5B]].concat();
        client.say_bytes(&header).await;
        client.say(connect).await;
        let Some(Packet::Connack(connack)) = client.hear().await else { panic!("{source:?}") };
        assert_eq!(connack.reason, reason, "{source:?}");
    }
    let mut bare = raw(address, Version::V5).await;
    bare.say(connect).await;
    bare.say_bytes(&[0; 16]).await;
    assert!(bare.hear_bytes().await.is_empty());
}

/// A page of another host does not connect with the browser's help, unless its origin is known.
/// The status with which a page is answered that connects to the broker by a host.
async fn page_answered(address: SocketAddr, host: &str, origin: Option<&str>) -> u16 {
    let mut request = format!("ws://{address}/mqtt").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    headers.insert("Host", format!("{host}:{}", address.port()).parse().unwrap());
    if let Some(origin) = origin {
        headers.insert("Origin", origin.parse().unwrap());
    }
    let socket = TcpStream::connect(address).await.unwrap();
    match tokio_tungstenite::client_async(request, socket).await {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn web_pages_connect_from_known_origins() {
    let known = vec!["https://known.example".to_owned()];
    let address = broker(Settings { websocket_origins: known, ..Settings::default() }, Transport::WebSocket).await;
    for (host, origin, status) in [
        ("127.0.0.1", None, 101),
        ("127.0.0.1", Some("http://127.0.0.1:8080"), 101),
        ("localhost", Some("http://localhost:8080"), 101),
        ("127.0.0.1", Some("http://localhost:8080"), 403),
        ("127.0.0.1", Some("https://known.example"), 101),
        ("127.0.0.1", Some("https://other.example"), 403),
        ("127.0.0.1", Some("null"), 403),
        // The page's name was made to lead here, so that to itself it is the same host.
        ("other.example", Some("http://other.example:8080"), 403),
    ] {
        assert_eq!(page_answered(address, host, origin).await, status, "{host} {origin:?}");
    }
}

/// Sockets of one address that say nothing take only the places of that address.
#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let settings = Settings { connecting_per_address_max: 2, proxy_protocol: true, ..Settings::default() };
    let address = broker(Settings { access: anyone(None), ..settings }, Transport::Tcp).await;
    let from =
        |host: u8| [PROXY_SIGNATURE, &[0x21, 0x11, 0, 12, 192, 0, 2, host, 127, 0, 0, 1, 4, 0, 7, 0x5B]].concat();
    let mut silent = vec![];
    for _ in 0..4 {
        let mut client = raw(address, Version::V5).await;
        client.say_bytes(&from(1)).await;
        silent.push(client);
    }
    let mut closed = 0;
    for client in &mut silent {
        let waited = tokio::time::timeout(std::time::Duration::from_millis(500), client.hear_bytes()).await;
        closed += usize::from(waited.is_ok());
    }
    assert_eq!(closed, 2);
    let mut other = raw(address, Version::V5).await;
    other.say_bytes(&from(2)).await;
    other.connect(Version::V5, "other").await;
}

fn anyone(rules: Option<&str>) -> Arc<Access> {
    Arc::new(Access::new(Anonymous::Always, None, rules.map(|text| Rules::parse(text).unwrap())))
}

/// Rights that are taken away end at once for a connected client, and at its return for one that is away, with what has
/// waited for it.
#[tokio::test]
async fn rights_are_looked_at_again_when_rules_change_and_a_session_is_resumed() {
    let open = anyone(Some("topic readwrite #\n"));
    let broker = Broker::embedded(Settings { access: open, ..Settings::default() }).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listening = broker.clone();
    tokio::spawn(async move { listening.listen(listener).await });
    let subscribe = "82 0001 {} \"shared/#\" 01 \"own/#\" 01";
    let lasting = |name: &str| format!("10 \"MQTT\" 05 00 0000 {{11 0000003C}} \"{name}\"");
    let mut here = raw(address, Version::V5).await;
    let mut away = raw(address, Version::V5).await;
    for (client, name) in [(&mut here, "here"), (&mut away, "away")] {
        client.say(&lasting(name)).await;
        assert!(matches!(client.hear().await, Some(Packet::Connack(_))));
        client.say(subscribe).await;
        assert!(matches!(client.hear().await, Some(Packet::Suback(_))));
    }
    away.say("E0").await;
    assert_eq!(away.hear().await, None);
    let mut publisher = raw(address, Version::V5).await;
    publisher.connect(Version::V5, "publisher").await;
    let publish = async |publisher: &mut Raw<TcpStream>, topic: &str| {
        publisher.say(&format!("32 \"{topic}\" 0001 {{}} 'm'")).await;
        let Some(Packet::Puback(ack)) = publisher.hear().await else { panic!("no PUBACK") };
        ack.reason
    };
    assert_eq!(publish(&mut publisher, "shared/1").await, Reason::Success);
    assert!(matches!(here.hear().await, Some(Packet::Publish(message)) if message.topic == "shared/1"));
    here.say("40 0001").await;
    assert!(here.is_served().await);

    broker.set_access(anyone(Some("topic write #\ntopic read own/#\n")));
    // Until the connections have looked at the rules.
    while broker.sizes().subscriptions > 3 {
        assert!(here.is_served().await);
    }
    assert_eq!(publish(&mut publisher, "own/1").await, Reason::Success);
    assert_eq!(publish(&mut publisher, "shared/2").await, Reason::Success);
    assert!(matches!(here.hear().await, Some(Packet::Publish(message)) if message.topic == "own/1"));
    assert!(here.is_served().await);
    let mut back = raw(address, Version::V5).await;
    back.say(&lasting("away")).await;
    assert!(matches!(back.hear().await, Some(Packet::Connack(connack)) if connack.session_present));
    assert!(matches!(back.hear().await, Some(Packet::Publish(message)) if message.topic == "own/1"));
    assert!(back.is_served().await);
    while broker.sizes().subscriptions > 2 {
        assert!(back.is_served().await);
    }
    assert_eq!(publish(&mut publisher, "shared/3").await, Reason::NoMatchingSubscribers);
}

/// What the operator sets is told and kept.
#[tokio::test]
async fn limits_are_settings_that_connack_tells() {
    let settings = Settings {
        keep_alive_max_s: NonZeroU16::new(30),
        receive_max: NonZeroU16::new(2).unwrap(),
        packet_max_bytes: 2000,
        session_expiry_max_s: 60,
        ..Settings::default()
    };
    let address = broker(settings, Transport::Tcp).await;
    let mut client = raw(address, Version::V5).await;
    client.say("10 \"MQTT\" 05 02 0000 {11 00000E10} \"c\"").await;
    let Some(Packet::Connack(connack)) = client.hear().await else { panic!("no CONNACK") };
    let told = connack.properties;
    assert_eq!((told.server_keep_alive_s, told.session_expiry_s), (Some(30), Some(60)));
    assert_eq!((told.receive_max.map(NonZeroU16::get), told.packet_max_bytes.map(u32::from)), (Some(2), Some(2000)));
    for id in 1..=3 {
        client.say(&format!("34 \"t\" {id:04X} {{}} 'm'")).await;
    }
    assert!(matches!(client.hear().await, Some(Packet::Pubrec(_))));
    assert!(matches!(client.hear().await, Some(Packet::Pubrec(_))));
    let Some(Packet::Disconnect(end)) = client.hear().await else { panic!("no DISCONNECT") };
    assert_eq!(end.reason, Reason::ReceiveMaximumExceeded);
}

/// Neither while its client is connected nor later does another user get it, or end it.
#[tokio::test]
async fn a_session_is_for_the_user_that_made_it() {
    let lines: String = ["alice", "bob"].map(|name| hash_line(name, b"secret").unwrap() + "\n").concat();
    let access = Access::new(Anonymous::Always, Some(Users::parse(&lines).unwrap()), None);
    let address = broker(Settings { access: Arc::new(access), ..Settings::default() }, Transport::Tcp).await;
    let connect = async |flags: &str, credentials: &str| {
        let mut client = raw(address, Version::V5).await;
        client.say(&format!("10 \"MQTT\" 05 {flags} 0000 {{ 11 0000003C }} \"same\" {credentials}")).await;
        let Some(Packet::Connack(connack)) = client.hear().await else { panic!("no CONNACK") };
        (client, connack.reason, connack.session_present)
    };
    let (alice, bob) = ("\"alice\" \"secret\"", "\"bob\" \"secret\"");
    let (mut first, reason, _) = connect("C2", alice).await;
    assert_eq!(reason, Reason::Success);
    for _ in 0..2 {
        for (flags, credentials) in [("C0", bob), ("C2", bob), ("00", ""), ("02", "")] {
            assert_eq!(connect(flags, credentials).await.1, Reason::NotAuthorized, "{flags} {credentials}");
        }
        assert!(first.is_served().await);
        let (again, reason, is_present) = connect("C0", alice).await;
        assert_eq!((reason, is_present), (Reason::Success, true));
        // The first time the refusals are beside a connection that stays, the second time beside the one that took over.
        first = again;
    }
    first.say("E0").await;
    assert_eq!(first.hear().await, None);
    assert_eq!(connect("C0", bob).await.1, Reason::NotAuthorized);
    assert!(connect("C0", alice).await.2);
}

/// Takes nothing for well formed.
#[derive(Debug)]
struct Strict;

impl AccessPolicy for Strict {
    fn verify(&self, _password: &[u8]) -> Option<KnownClient> {
        None
    }

    fn is_reserved(&self, _topic: &str) -> bool {
        false
    }

    fn check_payload(&self, _topic: &str, payload: &[u8]) -> Result<(), String> {
        Err(format!("{} bytes are no report, however they are read, and whoever sends them", payload.len()))
    }
}

/// A refusal says why, unless the client wants no words (3.1.2.11.7) or takes no packet so large (3.4.2.2.2).
#[tokio::test]
async fn a_payload_is_refused_with_its_reason() {
    let access = Arc::new(Access::default().with_policy(Arc::new(Strict)));
    let address = broker(Settings { access, ..Settings::default() }, Transport::Tcp).await;
    let told = Some("1 bytes are no report, however they are read, and whoever sends them");
    for (properties, told) in [("{}", told), ("{ 17 00 }", None), ("{ 27 00000030 }", None)] {
        let mut client = raw(address, Version::V5).await;
        client.say(&format!("10 \"MQTT\" 05 02 0000 {properties} \"c\"")).await;
        let Some(Packet::Connack(_)) = client.hear().await else { panic!("no CONNACK") };
        for publish in ["32 \"t\" 0002 {} 'm'", "34 \"t\" 0003 {} 'm'"] {
            client.say(publish).await;
            let Some(Packet::Puback(ack) | Packet::Pubrec(ack)) = client.hear().await else { panic!("{publish}") };
            assert_eq!(
                (ack.reason, ack.reason_string.as_deref()),
                (Reason::PayloadFormatInvalid, told),
                "{properties}"
            );
        }
    }
}
