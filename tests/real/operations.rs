//! What operators watch: the metrics as Prometheus reads them, the alerts and the Grafana dashboard, which ask only for
//! series that there are and leave none out, and the decision log.

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
    let controller = json!({"driver": "simulated", "topology": "nsfnet"}).to_string();
    assert_eq!(ask(server.address, "PUT", "/v1/controllers/c", Some(&controller)).unwrap().0, 201);
    let plan = json!({"objective": "max_min"}).to_string();
    assert_eq!(ask(server.address, "POST", "/v1/topologies/nsfnet/optimizations", Some(&plan)).unwrap().0, 200);
    (server, folder)
}

/// The names of series in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !is_part(c));
    let ours = words.filter(|word| word.starts_with("watermaster_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// Series that are there once switches hold rules and once they were repaired, and what the source calls them.
const SELDOM: [(&str, &str); 2] = [
    ("watermaster_southbound_install_duration_seconds", "\"southbound_install_duration\""),
    ("watermaster_southbound_repair_steps", "\"southbound_repair_steps\""),
];

#[test]
fn the_metrics_are_what_alerts_and_dashboard_ask_for() {
    let (server, _folder) = busy();
    let metrics = ask_text(server.address, "/metrics");
    // Counting follows a commit without holding it up.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut metrics = metrics;
    while !metrics.contains("watermaster_request_victims_total{") {
        assert!(std::time::Instant::now() < deadline, "{metrics}");
        std::thread::yield_now();
        metrics = ask_text(server.address, "/metrics");
    }
    let there = names(&metrics);
    let source = include_str!("../../src/telemetry.rs");
    let is_seldom = |asked: &&String| SELDOM.iter().any(|(series, name)| is_of(asked, series) && source.contains(name));
    for file in ["grafana/watermaster.json", "prometheus/watermaster.rules.yml"] {
        let asked = names(&std::fs::read_to_string(deploy().join(file)).unwrap());
        assert!(asked.len() > 5, "{asked:?}");
        let missing: Vec<_> = asked.difference(&there).filter(|asked| !is_seldom(asked)).collect();
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

/// Series that no panel shows, and why.
const UNSHOWN: [(&str, &str); 0] = [];

/// A counter ends in `_total` and a histogram in `_bucket`, `_sum` or `_count` where it is asked for.
fn is_of(asked: &str, series: &str) -> bool {
    let suffix = asked.strip_prefix(series);
    suffix.is_some_and(|suffix| ["", "_total", "_bucket", "_sum", "_count"].contains(&suffix))
}

#[test]
fn every_series_is_on_a_panel() {
    let (server, _folder) = busy();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut metrics = ask_text(server.address, "/metrics");
    while !metrics.contains("watermaster_southbound_controller_up{") {
        assert!(std::time::Instant::now() < deadline, "{metrics}");
        std::thread::yield_now();
        metrics = ask_text(server.address, "/metrics");
    }
    let dashboard = std::fs::read_to_string(deploy().join("grafana/watermaster.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let shown: BTreeSet<_> = targets.flat_map(|target| names(target["expr"].as_str().unwrap())).collect();
    let series: Vec<_> = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(series.len() > 40, "{series:?}");
    let is_shown = |series: &str| shown.iter().any(|asked| is_of(asked, series));
    let unshown: Vec<_> = series.iter().filter(|one| !is_shown(one)).collect();
    let excepted: Vec<_> = UNSHOWN.iter().map(|(series, _)| series).collect();
    assert_eq!(unshown, excepted);
}

/// Grafana reads the dashboard from a file without asking for anything: no input is left to be filled in, and the data source of
/// every query is a variable of the dashboard.
#[test]
fn the_dashboard_can_be_provisioned() {
    let folder = deploy().join("grafana");
    let text = std::fs::read_to_string(folder.join("watermaster.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["__inputs"].is_null(), "Grafana fills inputs in by its UI alone");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let source = variables.iter().find(|variable| variable["name"] == "DS_PROMETHEUS").unwrap();
    assert_eq!((&source["type"], &source["query"]), (&"datasource".into(), &"prometheus".into()));
    assert_eq!(text.matches("\"uid\": \"${DS_PROMETHEUS}\"").count(), text.matches("\"type\": \"prometheus\"").count());
    let read = |name: &str| std::fs::read_to_string(folder.join("provisioning").join(name)).unwrap();
    assert!(read("datasources/prometheus.yaml").contains("type: prometheus"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let path = "/var/lib/grafana/dashboards";
    assert!(read("dashboards/watermaster.yaml").contains(&format!("path: {path}\n")));
    assert!(readme.contains(&format!("{path}/watermaster.json")));
}

#[test]
fn prometheus_can_read_every_query_of_the_dashboard() {
    let text = std::fs::read_to_string(deploy().join("grafana/watermaster.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let rules = targets.enumerate().map(|(number, target)| {
        let expr = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
        json!({"record": format!("panel:query:{number}"), "expr": expr})
    });
    let rules: Vec<_> = rules.collect();
    assert!(rules.len() > 50, "{rules:?}");
    // JSON is YAML.
    let folder = tempfile::tempdir().unwrap();
    let groups = json!({"groups": [{"name": "panels", "rules": rules}]}).to_string();
    std::fs::write(folder.path().join("panels.yml"), groups).unwrap();
    run(Command::new("promtool").args(["check", "rules", "panels.yml"]).current_dir(folder.path()), "");
}

#[test]
fn every_alert_has_a_test() {
    let read = |name: &str| std::fs::read_to_string(deploy().join("prometheus").join(name)).unwrap();
    let (rules, tests) = (read("watermaster.rules.yml"), read("watermaster.rules.test.yml"));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    let is_tested = |alert: &&str| tests.lines().any(|line| line.trim().strip_prefix("alertname: ") == Some(*alert));
    let untested: Vec<_> = alerts.iter().filter(|alert| !is_tested(alert)).collect();
    assert_eq!(untested, Vec::<&&str>::new());
    let runbook = std::fs::read_to_string(deploy().join("../docs/operations.md")).unwrap();
    let unexplained: Vec<_> = alerts.iter().filter(|alert| !runbook.contains(&format!("`{alert}`"))).collect();
    assert_eq!(unexplained, Vec::<&&str>::new(), "not in the runbook");
}

#[test]
fn the_alerts_are_sound_and_fire_when_they_should() {
    let folder = deploy().join("prometheus");
    run(Command::new("promtool").args(["check", "rules", "watermaster.rules.yml"]).current_dir(&folder), "");
    run(Command::new("promtool").args(["test", "rules", "watermaster.rules.test.yml"]).current_dir(&folder), "");
}

/// The fields of the decisions that a service logs, after `requests` of them and one that is denied.
fn decisions(
    requests: usize,
    filter: Option<&str>,
    stop: impl Fn(&serde_json::Value) -> bool,
) -> Vec<serde_json::Value> {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--log-format", "json", "--data"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_watermaster"));
    command.args(arguments).arg(folder.path()).env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(filter.map(|filter| ("RUST_LOG", filter)));
    let mut process = command.spawn().unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = out.find_map(|line| line.split("http://").nth(1)?.split('/').next()?.parse().ok()).unwrap();
    let one = |bps: u64| json!({"ingress": "WA", "egress": "NJ", "class_type": 1, "bandwidth_bps": bps});
    let many = json!({"requests": vec![one(1_000); requests]}).to_string();
    assert_eq!(ask(address, "POST", "/v1/allocations/batch", Some(&many)).unwrap().0, 200);
    ask(address, "POST", "/v1/allocations", Some(&one(99_000_000_000).to_string())).unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let mut told = Vec::new();
    for line in lines.filter(|line| line["target"] == "watermaster::decision") {
        told.push(line["fields"].clone());
        if stop(&line["fields"]) {
            break;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    told
}

#[test]
fn a_decision_is_one_line_with_the_numbers_that_were_compared() {
    let told = decisions(1, None, |fields| fields["outcome"] == "denied");
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0]["outcome"], &told[0]["requested_bps"]), (&json!("admitted"), &json!(1_000)));
    assert!(told[0]["tightest_link"].is_string() && told[0]["left_bps"].is_u64(), "{}", told[0]);
    assert_eq!((&told[1]["outcome"], &told[1]["reason"]), (&json!("denied"), &json!("insufficient_bandwidth")));
    assert!(told[1]["binding_link"].is_string() && told[1]["available_bps"].is_u64(), "{}", told[1]);
}

#[test]
fn of_many_decisions_a_sample_is_logged_and_all_of_them_at_debug() {
    let is_denied = |fields: &serde_json::Value| fields["outcome"] == "denied";
    // Ten a second, and it takes no ten seconds.
    let sample = decisions(500, None, is_denied);
    assert!((11..100).contains(&sample.len()), "{}", sample.len());
    let all = decisions(500, Some("info,watermaster::decision=debug"), is_denied);
    assert_eq!(all.len(), 501);
}
