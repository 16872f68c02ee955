//! The tools that everybody has: mosquitto_pub and mosquitto_sub, on different replicas.

use std::process::{Command, Stdio};

use super::parts::{Redis, Replica};

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
