//! The tools that everybody has: mosquitto_pub and mosquitto_sub, on different replicas.

use std::io::{BufRead, BufReader};
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
                .args(["-h", "127.0.0.1", "-p", &port(0), "-V", version, "-q", qos, "-t", "tools/#", "-v", "-d"])
                .args(["-W", "20", "-C", "1"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("mosquitto_sub (Debian: mosquitto-clients): {error}"));
            let mut lines = BufReader::new(subscriber.stdout.take().unwrap()).lines().map_while(Result::ok);
            assert!(lines.any(|line| line.contains("SUBACK")), "{version} {qos}");
            // Until the other replica knows of the subscription.
            let mut heard = None;
            let told = format!("hello {version} {qos}");
            let status = Command::new("mosquitto_pub")
                .args(["-h", "127.0.0.1", "-p", &port(1), "-V", version, "-q", qos, "-t", "tools/1", "-m", &told])
                .args(["--repeat", "20", "--repeat-delay", "0.05"])
                .status()
                .unwrap();
            assert!(status.success(), "{version} {qos}");
            for line in lines {
                if line == format!("tools/1 {told}") {
                    heard = Some(line);
                }
            }
            assert!(heard.is_some(), "{version} {qos}");
            assert!(subscriber.wait().unwrap().success());
        }
    }
}
