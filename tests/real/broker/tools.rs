//! The tools that everybody has: mosquitto_pub and mosquitto_sub, on different replicas.

use std::process::{Command, Stdio};

use mqtt::codec::{Delivery, Packet, Qos, Reason};

use super::parts::{Redis, Replica, await_that};
use super::session::client::{Client, connect, id, options, publish};

#[test]
fn mosquitto_clients_of_both_versions_meet_across_replicas() {
    let redis = Redis::start(&[]);
    let replicas = [Replica::start(&redis.url(), &[]), Replica::start(&redis.url(), &[])];
    let port = |at: usize| replicas[at].address.port().to_string();
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let mut subscriber = Command::new("mosquitto_sub")
                .args(["-h", "127.0.0.1", "-p", &port(0), "-V", version, "-q", qos, "-t", "tools/#", "-v"])
                .args(["-W", "20", "-C", "1"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("mosquitto_sub (Debian: mosquitto-clients): {error}"));
            let told = format!("hello {version} {qos}");
            // Until the subscription is there and known to the other replica.
            while subscriber.try_wait().unwrap().is_none() {
                let status = Command::new("mosquitto_pub")
                    .args(["-h", "127.0.0.1", "-p", &port(1), "-V", version, "-q", qos, "-t", "tools/1", "-m", &told])
                    .status()
                    .unwrap();
                assert!(status.success(), "{version} {qos}");
            }
            let output = subscriber.wait_with_output().unwrap();
            assert!(output.status.success(), "{version} {qos}");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("tools/1 {told}"));
        }
    }
}

/// SIGHUP reads the rules again: a subscription that they no longer allow ends, and a file with a fault changes nothing.
#[test]
fn rules_are_read_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules");
    std::fs::write(&path, "topic readwrite #\n").unwrap();
    let replica = Replica::start("memory", &["--mqtt-rules", path.to_str().unwrap()]);
    let mut client = Client::new(replica.address, connect("client"));
    client.subscribe("shared", Qos::AtLeastOnce);
    client.say("shared", "1", Qos::AtLeastOnce);
    assert_eq!(client.take(), "1");
    let mut reload = |rules: &str, allows: bool| {
        std::fs::write(&path, rules).unwrap();
        replica.signal("-HUP");
        await_that("the rules are in force", || {
            client.send(Packet::Publish(publish("probe", "", Delivery::AtLeastOnce(id(1)))));
            let Packet::Puback(ack) = client.hear() else { panic!("no PUBACK") };
            (ack.reason != Reason::NotAuthorized) == allows
        });
    };
    reload("topic readwrite other\n", false);
    reload("topic write #\n", true);
    // A word that is none: the rules stay as they were.
    reload("topic reed #\n", true);
    client.say("shared", "2", Qos::AtLeastOnce);
    client.hear_nothing();
    let refused = client.ask("shared", options(Qos::AtLeastOnce), None);
    assert_eq!(refused.reasons, [Reason::NotAuthorized]);
}
