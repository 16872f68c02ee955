//! The proof of concept, whole: what it tells and draws is checked, nothing outlives it, and people find their way from
//! what it prints (`demo.mjs`, in a browser).

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dashboard::which;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watermaster"));
    command.args(["demo", "--fast", "--listen", "127.0.0.1:0"]);
    command
}

#[test]
fn the_demo_tells_the_papers_story() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("figure6.svg");
    let run = program().args(["--json", "--out"]).arg(&out).output().unwrap();
    let told = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{told}");
    let summary: Value = serde_json::from_slice(&run.stdout).unwrap();
    let run = &summary["runs"][0];
    for claim in run["claims"].as_array().unwrap() {
        assert_eq!(claim["held"], true, "{claim}\n{told}");
    }
    assert_eq!(run["claims"].as_array().unwrap().len(), 6);
    let level = |aggregator: &str, number: u64| {
        let levels = run["levels"].as_array().unwrap();
        let found = levels.iter().find(|level| level["aggregator"] == aggregator && level["qos_level"] == number);
        found.unwrap().clone()
    };
    let (heavy, other) = (level("Ag1", 0), level("Ag2", 0));
    let of = |level: &Value, name: &str| level[name].as_u64().unwrap();
    assert!(of(&heavy, "offered_bps") > of(&heavy, "sent_bps") && of(&heavy, "dropped") > 0, "{heavy}");
    assert!(of(&heavy, "granted_bps") > 5 * of(&other, "granted_bps"), "{heavy} {other}");
    assert!(of(&other["latency"], "messages") > 0 && of(&other, "dropped") == 0, "{other}");
    let steps: Vec<&Value> =
        run["events"].as_array().unwrap().iter().filter(|event| event["is_step"] == true).collect();
    assert_eq!(steps.len(), 5);

    let svg = std::fs::read_to_string(&out).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.len() < 200_000);
    assert_eq!(svg.matches("stroke-width=\"2\"").count(), 18, "buffers and rates of nine levels");
    assert_eq!(svg.matches("stroke=\"#555\"").count(), 30, "five steps in six panels");
    gone(address_in(&told).unwrap());
}

#[test]
fn nobody_outlives_the_demo() {
    for signal in ["-INT", "-TERM", "-KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program();
        // Who is killed cleans nothing up.
        command.env("TMPDIR", folder.path()).args(["--stay", "--out"]).arg(folder.path().join("figure6.svg"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut told = String::new();
        for line in lines {
            told.push_str(&line);
            told.push('\n');
            if line.contains("Client 1 subscribes") {
                break;
            }
        }
        let address = address_in(&told).unwrap_or_else(|| panic!("{told}"));
        assert!(TcpStream::connect(address).is_ok(), "it runs");
        let parts = children(&child);
        assert!(parts.len() >= 4, "an orchestrator and three gateways at least: {parts:?}");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert!(!child.wait().unwrap().success(), "the story was not told to its end");
        gone(address);
        let deadline = Instant::now() + Duration::from_secs(20);
        while parts.iter().any(|pid| is_ours(*pid)) {
            assert!(Instant::now() < deadline, "{signal}: some of {parts:?} are still there");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn people_find_their_way_from_the_demo() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let screens = root.join("target/screens");
    std::fs::create_dir_all(&screens).unwrap();
    let chromium = std::env::var("WATERMASTER_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let chromium = which(&chromium).unwrap_or_else(|| panic!("there is no {chromium}: tests/run installs it"));
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("node")
        .arg(root.join("tests/real/demo.mjs"))
        .env("PROGRAM", env!("CARGO_BIN_EXE_watermaster"))
        .env("OUT", folder.path().join("figure6.svg"))
        .env("SCREENS", &screens)
        .env("CHROMIUM", chromium)
        .env("ROOT", root)
        .status()
        .unwrap();
    assert!(status.success(), "{status}; see {}/demo-failed.png", screens.display());
}

fn address_in(told: &str) -> Option<SocketAddr> {
    told.split("http://").nth(1)?.split('/').next()?.parse().ok()
}

/// Waits until nobody listens there.
fn gone(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "somebody still listens on {address}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The processes that a process started.
fn children(child: &Child) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", child.id());
    let from_main = std::fs::read_to_string(path).unwrap_or_default();
    // A runtime starts them from any of its threads.
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let all = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let text = all.chain([from_main]).collect::<Vec<_>>().join(" ");
    let mut pids: Vec<u32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Whether a process is there and is this program: numbers are given again.
fn is_ours(pid: u32) -> bool {
    let Ok(command) = std::fs::read_to_string(format!("/proc/{pid}/cmdline")) else { return false };
    command.contains("watermaster")
}
