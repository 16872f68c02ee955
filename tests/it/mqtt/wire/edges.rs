//! What a connection may come through, and who is let in.

use std::path::Path;
use std::sync::Arc;

use mqtt::auth::{Access, Anonymous, Rules, Users, hash_line};
use mqtt::codec::{Bytes, Packet, Reason, Version};
use mqtt::transport::{Tls, TlsError};
use mqtt::{Settings, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
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
    let tls = Tls::read(&certificate("certificate.pem"), &certificate("key.pem"), None).unwrap();
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
    let none = Tls::read(&certificate("key.pem"), &certificate("key.pem"), None);
    assert!(matches!(none, Err(TlsError::NoCertificate { .. })));
    let absent = Tls::read(&certificate("absent.pem"), &certificate("key.pem"), None);
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
    ] {
        let mut client = raw(address, Version::V3).await;
        client.say(connect).await;
        let mut answer = [0; 4];
        client.stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, connack, "{connect}");
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
}
