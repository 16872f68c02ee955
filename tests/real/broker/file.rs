//! A broker whose sessions are in a file, killed without warning: nothing that was acknowledged is lost, QoS 2 has no
//! duplicate, and order is kept. A second process with the file is refused.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mqtt::codec::Qos;

use super::load::{Load, Sessions};
use super::parts::Replica;
use super::session::client::{Client, lasting};

const PUBLISHERS: usize = 20;
const EVERY: Duration = Duration::from_millis(5);
const BETWEEN_KILLS: Duration = Duration::from_secs(2);
/// How long it goes on, unless `WATERMASTER_CHAOS_SECONDS` says otherwise.
const SECONDS: u64 = 12;

/// `serve`, with everything in a folder.
fn serve(data: &str, mqtt_listen: &str) -> Replica {
    Replica::run(&["serve", "--data", data, "--listen", "127.0.0.1:0", "--mqtt-listen", mqtt_listen])
}

#[test]
fn a_killed_service_loses_nothing_and_repeats_nothing() {
    let told = std::env::var("WATERMASTER_CHAOS_SECONDS").ok();
    let seconds = told.map_or(SECONDS, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut service = serve(data, "127.0.0.1:0");
    let address = service.address;
    let mut load = Load::open(address, &[address], Sessions::Shared);
    load.add(PUBLISHERS, EVERY);
    let (begin, mut kills) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(BETWEEN_KILLS);
        kills += 1;
        service.kill();
        service = serve(data, &address.to_string());
    }
    let mut ended = load.finish(Duration::from_secs(20));
    ended.report(&format!("{kills} times kill -9 of the only process in {seconds} s"));
    let missing = ended.missing(&[0]);
    assert!(missing.is_empty(), "{} of the acknowledged are lost: {:?}", missing.len(), missing.first());
    assert_eq!(ended.repeated(), Vec::<&(String, usize)>::new());
    assert_eq!(ended.late, vec![], "order is kept");
    assert!(ended.told.outages.len() >= kills, "nobody was hit");
}

#[test]
fn devices_find_their_sessions_again_at_a_killed_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let gateway =
        |mqtt: &str| Replica::run(&["gateway", "--data", data, "--listen", "127.0.0.1:0", "--mqtt-listen", mqtt]);
    let first = gateway("127.0.0.1:0");
    let address = first.address;
    let mut device = Client::new(address, lasting("device"));
    device.subscribe("commands/#", Qos::AtLeastOnce);
    device.vanish();
    let mut other = Client::new(address, lasting("other"));
    other.say("commands/1", "on", Qos::ExactlyOnce);
    first.kill();
    let second = gateway(&address.to_string());
    let (mut device, connack) = Client::try_enter(second.address, lasting("device")).unwrap();
    assert!(connack.session_present);
    assert_eq!(device.take(), "on");
}

#[test]
fn a_file_is_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("broker.sqlite").display());
    let replica = Replica::start(&store, &[]);
    let refused = Command::new(env!("CARGO_BIN_EXE_watermaster"))
        .args(["broker", "--mqtt-listen", "127.0.0.1:0", "--store", &store])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("is in use by another process"), "{said}");
    replica.terminate();
    // After an orderly stop the next one begins where it was.
    Replica::start(&store, &[]).terminate();
}
