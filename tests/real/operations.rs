//! What operators run: the metrics as Prometheus reads them, the alerts and the Grafana dashboard, which ask only for
//! series that there are, and the unit for systemd.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::client::{ask, ask_text};
use crate::running::Running;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Runs a tool that has to be there and has to be content; says what it said.
fn run(tool: &mut Command, input: &str) -> String {
    let mut child = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{tool:?}: {said}");
    said
}

/// A service to which everything has happened that is counted.
fn busy() -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let post = |class_type: u8, bps: u64| {
        let body = json!({"ingress": "WA", "egress": "CA1", "class_type": class_type, "bandwidth_bps": bps,
            "constraints": {"max_hops": 1}});
        ask(server.address, "POST", "/v1/allocations", Some(&body.to_string())).unwrap().0
    };
    assert_eq!([post(0, 9_000_000_000), post(2, 4_000_000_000), post(1, 90_000_000_000)], [201, 201, 409]);
    (server, folder)
}

/// The names of series in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !is_part(c));
    let ours = words.filter(|word| word.starts_with("watermaster_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[test]
fn the_metrics_are_what_alerts_and_dashboard_ask_for() {
    let (server, _folder) = busy();
    let metrics = ask_text(server.address, "/metrics");
    // Counting follows a commit without holding it up.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut metrics = metrics;
    while !metrics.contains("watermaster_preemptions_total{") {
        assert!(std::time::Instant::now() < deadline, "{metrics}");
        std::thread::yield_now();
        metrics = ask_text(server.address, "/metrics");
    }
    let there = names(&metrics);
    for file in ["grafana/watermaster.json", "prometheus/watermaster.rules.yml"] {
        let asked = names(&std::fs::read_to_string(deploy().join(file)).unwrap());
        assert!(asked.len() > 5, "{asked:?}");
        let missing: Vec<_> = asked.difference(&there).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
    assert!(metrics.contains("watermaster_admission_requests_total{class_type=\"1\",outcome=\"denied\""), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
    lint(&metrics);
}

/// Prometheus finds nothing odd but two things: that OpenMetrics describes counters without their `_total`, which this
/// tool does not know; and that networks are counted in bits.
fn lint(metrics: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let is_known = |line: &&str| {
        line.ends_with("_total no help text") || line.ends_with("use base unit \"bytes\" instead of \"bits\"")
    };
    let odd: Vec<_> = said.lines().filter(|line| !is_known(line)).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn the_alerts_are_sound_and_fire_when_they_should() {
    let folder = deploy().join("prometheus");
    run(Command::new("promtool").args(["check", "rules", "watermaster.rules.yml"]).current_dir(&folder), "");
    run(Command::new("promtool").args(["test", "rules", "watermaster.rules.test.yml"]).current_dir(&folder), "");
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = std::fs::read_to_string(deploy().join("systemd/watermaster.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watermaster.service");
    std::fs::write(&path, unit.replace("/usr/bin/watermaster", env!("CARGO_BIN_EXE_watermaster"))).unwrap();
    let said = run(Command::new("systemd-analyze").arg("verify").arg(&path), "");
    assert!(!said.contains("watermaster.service:"), "{said}");
}

#[test]
fn each_decision_is_one_line_with_the_numbers_that_were_compared() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data"];
    let mut process = Command::new(env!("CARGO_BIN_EXE_watermaster"))
        .args(arguments)
        .arg(folder.path())
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = out.find_map(|line| line.split("http://").nth(1)?.split('/').next()?.parse().ok()).unwrap();
    for bps in [1_000_000_u64, 99_000_000_000] {
        let body = json!({"ingress": "WA", "egress": "NJ", "class_type": 1, "bandwidth_bps": bps}).to_string();
        ask(address, "POST", "/v1/allocations", Some(&body)).unwrap();
    }
    let lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let decisions = lines.filter(|line| line["target"] == "watermaster::decision");
    let told: Vec<_> = decisions.take(2).map(|line| line["fields"].clone()).collect();
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!((&told[0]["outcome"], &told[0]["requested_bps"]), (&json!("admitted"), &json!(1_000_000)));
    assert!(told[0]["tightest_link"].is_string() && told[0]["left_bps"].is_u64(), "{}", told[0]);
    assert_eq!((&told[1]["outcome"], &told[1]["reason"]), (&json!("denied"), &json!("insufficient_bandwidth")));
    assert!(told[1]["binding_link"].is_string() && told[1]["available_bps"].is_u64(), "{}", told[1]);
}
