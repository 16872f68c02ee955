//! A gateway whose interface is served over TLS, with streams and callbacks over it: consumers that do not know the authority
//! get nothing, a renewed certificate is taken without a restart.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mqtt::transport::{ClientCertificates, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates::Authority;

const PROGRAM: &str = env!("CARGO_BIN_EXE_watermaster");
const PATIENCE: Duration = Duration::from_secs(60);

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn gateway(folder: &Path, [certificate, key]: &[String; 2], authority: &str) -> (Killed, SocketAddr) {
    let listen = free_address();
    let mut process = Command::new(PROGRAM)
        .args(["gateway", "--id", "ag1", "--node", "WA", "--tls-certificate", certificate, "--tls-key", key])
        .args(["--listen", &listen.to_string(), "--mqtt-listen", &free_address().to_string()])
        .args(["--generate", "topic=plant/1/t,payload_bytes=100,rate_bps=80000"])
        .env("SSL_CERT_FILE", authority)
        .stdout(Stdio::piped())
        .stderr(File::create(folder.join("gateway.log")).unwrap())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let names = lines.by_ref().map_while(Result::ok).find(|line| line.contains("/v1/contents")).unwrap();
    assert!(names.contains(&format!("https://{listen}/")), "{names}");
    std::thread::spawn(move || lines.for_each(drop));
    (Killed(process), listen)
}

/// What a consumer that reads a stream says at its end, and whether it ends well.
fn consumer(gateway: SocketAddr, authority: &str) -> (String, bool) {
    let output = Command::new(PROGRAM)
        .args(["consumer", "--name", "c", "--stream", "--for-ms", "3000"])
        .args(["--subscribe", &format!("gateway=https://{gateway},topic=plant/#,qos_level=1")])
        .env("SSL_CERT_FILE", authority)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

fn curl(authority: &str, arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "10", "--cacert", authority]).args(arguments).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes batches over TLS; where, and how many so far.
async fn receiver([certificate, key]: [String; 2]) -> (SocketAddr, Arc<AtomicU64>) {
    let tls = Tls::read(Path::new(&certificate), Path::new(&key), ClientCertificates::NotAsked).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, taken) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (tls, count) = (tls.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let mut seen = vec![];
                // Up to the end of the head, then as much as it says.
                while !seen.ends_with(b"\r\n\r\n") {
                    seen.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8_lossy(&seen).to_lowercase();
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
                stream.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
                stream.shutdown().await.unwrap();
            });
        }
    });
    (address, taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_callbacks_go_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "theirs"));
    let [ca, other_ca] = [&ours, &theirs].map(|authority| authority.file("ca.pem"));
    let pair = ours.server("gateway", "DNS:localhost,IP:127.0.0.1");
    let (_gateway, at) = gateway(folder.path(), &pair, &ca);

    let (said, is_well) = consumer(at, &ca);
    assert!(is_well && said.contains("plant/1/t"), "{said}");
    let (said, is_well) = consumer(at, &other_ca);
    assert!(!is_well && !said.contains("plant/1/t"), "{said}");
    let mut plain = TcpStream::connect(at).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = vec![];
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // Whoever never ends a handshake keeps nobody out.
    let silent: Vec<_> = (0..300).map(|_| TcpStream::connect(at).unwrap()).collect();
    let base = format!("https://{at}/v1");
    assert!(curl(&ca, &[&format!("{base}/contents")]).contains("plant/1/t"));
    drop(silent);

    let (receiver, taken) = receiver(ours.server("receiver", "IP:127.0.0.1")).await;
    let wish = format!(r#"{{"topic":"plant/#","qos_level":1,"node":"WA","callback_url":"https://{receiver}/in"}}"#);
    let json = ["-H", "content-type: application/json", "-d"];
    let made = curl(&ca, &[&json[..], &[&wish, &format!("{base}/subscriptions")]].concat());
    assert!(made.contains("\"id\""), "{made}");
    eventually("batches are taken over TLS", || taken.load(Ordering::SeqCst) >= 3);

    let renewed = theirs.server("gateway", "IP:127.0.0.1");
    for (from, to) in renewed.iter().zip(&pair) {
        fs::copy(from, to).unwrap();
    }
    eventually("the renewed certificate is shown", || {
        curl(&other_ca, &[&format!("{base}/contents")]).contains("plant/1/t")
    });
}
