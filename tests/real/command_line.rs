//! The command line against the program itself: what people type, and what programs read.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::client::ask;
use crate::running::Running;

/// Runs the program against a service.
fn run(server: &Running, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watermaster"))
        .args(arguments)
        .env("WATERMASTER_SERVER", format!("http://{}", server.address))
        .output()
        .unwrap()
}

fn words(server: &Running, arguments: &[&str]) -> String {
    let output = run(server, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(server: &Running, arguments: &[&str]) -> Value {
    serde_json::from_str(&words(server, &[arguments, &["--json"]].concat())).unwrap()
}

/// The folder is made, and one that cannot be is named.
#[test]
fn man_pages_are_written_into_a_new_folder() {
    let folder = tempfile::tempdir().unwrap();
    let man =
        |into: &std::path::Path| Command::new(env!("CARGO_BIN_EXE_watermaster")).arg("man").arg(into).output().unwrap();
    let pages = folder.path().join("share/man1");
    assert!(man(&pages).status.success());
    assert!(pages.join("watermaster-allocation-create.1").is_file());
    let file = pages.join("watermaster.1");
    let refused = man(&file);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(file.to_str().unwrap()), "{said}");
}

/// As in `watermaster ... | head -c 1`.
#[test]
fn whoever_has_read_enough_may_stop() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    for arguments in [&["link", "list", "nsfnet", "--json"][..], &["link", "list", "nsfnet"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watermaster"));
        let server = format!("http://{}", server.address);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.args(arguments).env("WATERMASTER_SERVER", server).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

/// As when a supervisor reads where a service is and no more.
#[test]
fn a_service_runs_whether_or_not_somebody_reads_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_watermaster"));
    command.args(["serve", "--listen", &address.to_string(), "--mqtt-listen", "127.0.0.1:0", "--data"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut service = command.arg(folder.path()).stdout(writer).spawn().unwrap();
    while ask(address, "GET", "/v1/topologies", None).is_err() {
        assert!(service.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    service.kill().unwrap();
    service.wait().unwrap();
}

/// As in `watermaster consumer ... | less`, where nobody scrolls on.
#[test]
fn a_consumer_ends_though_nobody_reads_what_it_writes() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (listen, device) = (free(), free());
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_watermaster"))
        .args(["gateway", "--listen", &listen, "--mqtt-listen", &device, "--generate", "topic=t,rate_bps=4000000"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut consumer = Command::new(env!("CARGO_BIN_EXE_watermaster"))
        .args(["consumer", "--name", "c", "--stream", "--node", "gateway", "--subscribe"])
        .arg(format!("gateway=http://{listen},topic=#,qos_level=1"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe and the lines that wait for it hold.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(Command::new("kill").args(["-INT", &consumer.id().to_string()]).status().unwrap().success());
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let status = loop {
        match consumer.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(std::time::Instant::now() < end, "it does not end"),
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn bandwidth_is_asked_for_changed_and_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let create = ["allocation", "create", "--ingress", "WA", "--egress", "CA1", "--max-hops", "1"];
    let ask = |more: &[&'static str]| [&create[..], more].concat();

    let tried = words(&server, &ask(&["--class-type", "0", "--bandwidth", "9G", "--dry-run"]));
    assert!(tried.starts_with("would be admitted\n"), "{tried}");
    let named = ["--name", "ACME east", "--customer", "ACME", "--note", ""];
    let low = json(&server, &ask(&[&["--class-type", "0", "--bandwidth", "9G"], &named[..]].concat()));
    assert_eq!((&low["name"], &low["customer"], low.get("note")), (&"ACME east".into(), &"ACME".into(), None));
    let low_id = low["id"].as_str().unwrap();
    let flow = ["--flow-ipv4-dst", "10.0.0.3", "--flow-ip-proto", "17", "--flow-l4-dst", "5001", "--flow-in-port", "1"];
    let tried = json(&server, &ask(&[&["--class-type", "0", "--bandwidth", "1M", "--dry-run"], &flow[..]].concat()));
    assert_eq!(
        tried["flow"],
        serde_json::json!({"in_port": 1, "ipv4_dst": "10.0.0.3/32", "ip_proto": 17, "l4_dst": 5001})
    );
    let tried = words(&server, &ask(&["--qos-level", "2", "--bandwidth", "4G", "--dry-run"]));
    assert!(tried.contains(&format!("preempted   {low_id} (ACME east, ACME)\n")), "{tried}");
    let again = ask(&["--qos-level", "2", "--bandwidth", "4G", "--key", "mine"]);
    let high = json(&server, &again);
    assert_eq!(high["preempted"], serde_json::json!([low_id]));
    assert_eq!(json(&server, &again)["id"], high["id"], "the same key is the same request");
    let id = high["id"].as_str().unwrap();

    let denied = run(&server, &ask(&["--class-type", "1", "--bandwidth", "90G"]));
    let why = String::from_utf8(denied.stderr).unwrap();
    assert_eq!(denied.status.code(), Some(1), "{why}");
    assert!(why.contains("No path has the bandwidth") && why.contains("binding link WA-CA1: "), "{why}");

    let listed = words(&server, &["allocation", "list", "--state", "active"]);
    assert!(listed.starts_with("ID") && listed.contains("WA-CA1") && listed.lines().count() == 2, "{listed}");
    assert!(words(&server, &["allocation", "resize", id, "--bandwidth", "3.5G"]).contains("3.50 Gbit/s"));
    assert_eq!(json(&server, &["allocation", "show", id])["bandwidth_bps"], 3_500_000_000_u64);
    let renamed = words(&server, &["allocation", "update", id, "--name", "west"]);
    assert!(renamed.contains("name        west") && renamed.contains("3.50 Gbit/s"), "{renamed}");
    let ends = |words: &[&str]| {
        let update = [&["allocation", "update", id], words].concat();
        json(&server, &update)["expires_at"].clone()
    };
    assert_eq!(ends(&["--expires-at", "2100-01-01T00:00:00Z"]), "2100-01-01T00:00:00.000Z");
    assert!(ends(&["--ends-at", "never", "--bandwidth", "3.5G"]).is_null());
    let found = words(&server, &["allocation", "list", "--name", "ACME*", "--customer", "ACME"]);
    assert!(found.contains("ACME east") && found.lines().count() == 2, "{found}");
    assert_eq!(run(&server, &["allocation", "update", id]).status.code(), Some(2), "nothing to change");
    assert_eq!(words(&server, &["allocation", "release", id]), format!("{id} released\n"));
    assert!(words(&server, &["allocation", "show", id]).contains("state       released"));
    assert_eq!(run(&server, &["allocation", "create", "--ingress", "WA"]).status.code(), Some(2));
}

#[test]
fn plans_are_made_listed_shown_and_applied() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let ask =
        ["allocation", "create", "--topology", "nsfnet", "--ingress", "WA", "--egress", "CA1", "--class-type", "0"];
    let others = ["WA-CA2", "WA-IL"];
    for link in others {
        words(&server, &["link", "set", "nsfnet", link, "--state", "down"]);
    }
    for _ in 0..2 {
        words(&server, &[&ask[..], &["--bandwidth", "3G"]].concat());
    }
    for link in others {
        words(&server, &["link", "set", "nsfnet", link, "--state", "up"]);
    }
    let made = words(&server, &["optimization", "create", "nsfnet", "--max-moves", "5"]);
    assert!(made.contains("objective   max_utilisation") && made.contains("before      60.0 %"), "{made}");
    let plans = json(&server, &["optimization", "list", "nsfnet", "--sort", "-sequence"]);
    let plan = plans[0]["id"].as_str().unwrap();
    assert!(words(&server, &["optimization", "show", "nsfnet", plan]).contains("WA-CA1"));
    let applied = words(&server, &["optimization", "apply", "nsfnet", plan, "--through", "1"]);
    assert_eq!(applied, "1 step made, 1 in all\n");
    assert_eq!(json(&server, &["optimization", "show", "nsfnet", plan])["moves_done"], 1);
    let requests = folder.path().join("requests.json");
    std::fs::write(&requests, r#"[{"ingress": "WA", "egress": "NJ", "class_type": 1, "bandwidth_bps": 1000000000}]"#)
        .unwrap();
    let file = requests.to_str().unwrap();
    let admit = ["optimization", "create", "nsfnet", "--objective", "admit_all", "--requests", file];
    let admitted = words(&server, &[&admit[..], &["--apply"]].concat());
    assert!(admitted.contains("after       1.00 Gbit/s") && admitted.contains("done        1"), "{admitted}");
    std::fs::write(&requests, "[{").unwrap();
    assert!(String::from_utf8(run(&server, &admit).stderr).unwrap().contains("requests.json"));
    assert!(!run(&server, &["optimization", "show", "nsfnet", "none"]).status.success());
}

/// The tour of the README, pasted whole: every request is answered as its comment says.
#[test]
fn the_tour_of_the_readme_works_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let tour = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let tour = tour.replace("http://127.0.0.1:8080", &format!("http://{}", server.address));
    let script = tour.replace("curl -s", "curl -s -w '\\n%{http_code}\\n'");
    let output = Command::new("bash").args(["-euc", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let codes: Vec<_> =
        said.lines().filter(|line| line.len() == 3 && line.bytes().all(|b| b.is_ascii_digit())).collect();
    assert_eq!(codes, ["201", "200", "201", "201", "200", "201", "409", "200", "200"], "{said}");
    let denied = said.lines().find(|line| line.contains("/problems/insufficient-bandwidth")).unwrap();
    assert!(denied.contains("binding_links") && denied.contains("largest_admissible_bps"), "{denied}");
    assert_eq!(said.matches("\"preempted\":[\"5\"]").count(), 2, "the dry run and the request name the newest: {said}");
}

#[test]
fn topologies_links_and_events_are_at_hand() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let ring = format!("{}/topologies/ring.json", env!("CARGO_MANIFEST_DIR"));
    assert!(words(&server, &["topology", "put", "a ring", &ring, "--dry-run"]).starts_with("would be put"));
    assert!(words(&server, &["topology", "put", "a ring", &ring]).starts_with("put"));
    // A second time it replaces what is there.
    assert_eq!(json(&server, &["topology", "put", "a ring", &ring])["nodes"], 4);
    let listed = words(&server, &["topology", "list"]);
    assert!(listed.contains("a ring") && listed.contains("nsfnet"), "{listed}");

    let links = json(&server, &["link", "list", "a ring"]);
    let link = links[0]["link"].as_str().unwrap();
    let drained = words(&server, &["link", "set", "a ring", link, "--state", "maintenance"]);
    assert!(drained.contains("maintenance"), "{drained}");
    let events = words(&server, &["event", "tail", "--after", "1", "--count", "3", "--json"]);
    let kinds: Vec<_> =
        events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].clone()).collect();
    assert_eq!(kinds, ["topology_put", "topology_put", "link_changed"]);
    let said = words(&server, &["event", "tail", "--after", "0", "--count", "1"]);
    assert!(said.contains("topology_put topology=nsfnet"), "{said}");
    let newest = words(&server, &["event", "list", "--newest", "--limit", "1"]);
    assert!(newest.contains("link_changed"), "{newest}");
    let sorted = json(&server, &["topology", "list", "--sort", "-links", "-o", "json"]);
    assert_eq!((&sorted[0]["topology"], &sorted[1]["topology"]), (&"nsfnet".into(), &"a ring".into()));
    let unknown = run(&server, &["tenant", "list", "--sort", "mood"]);
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("`-bandwidth_bps`"));
    // Whether the minute of its first sample has come or not.
    let past = json(&server, &["link", "history", "a ring", link, "--step-ms", "120000"]);
    let points = past["points"].as_array().unwrap();
    assert!(past["step_ms"] == 120_000 && points.iter().all(|point| point["reserved_max_bps"] == 0), "{past}");
    let unread = run(&server, &["link", "history", "a ring", link, "--step-ms", "1"]);
    assert_eq!(unread.status.code(), Some(1));
}

#[test]
fn models_and_controllers_are_shown_changed_and_watched() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&["--data", folder.path().to_str().unwrap()]);
    let file = folder.path().join("rdm.json");
    std::fs::write(&file, r#"{"model": "rdm", "path_metric": "te"}"#).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(words(&server, &["model", "put", "nsfnet", file, "--dry-run"]), "would be put  rdm\n");
    assert!(words(&server, &["model", "show", "nsfnet"]).starts_with("model       atcs\n"));
    assert_eq!(words(&server, &["model", "put", "nsfnet", file]), "put  rdm\n");
    let shown = words(&server, &["model", "show", "nsfnet"]);
    assert!(shown.contains("metric      te\n") && shown.contains("\nCT2    40.0 %  40.0 % "), "{shown}");
    let unread = run(&server, &["model", "put", "nsfnet", "/nowhere"]);
    assert_eq!(unread.status.code(), Some(1));

    let put = ["controller", "put", "lab", "--driver", "simulated", "--topology", "nsfnet"];
    assert_eq!(json(&server, &put)["driver"], "simulated");
    assert_eq!(json(&server, &["controller", "list", "-o", "json"])[0]["id"], "lab");
    assert!(words(&server, &["controller", "show", "lab"]).contains("topology    nsfnet\n"));
    assert_eq!(words(&server, &["controller", "delete", "lab"]), "lab deleted\n");
    let gone = run(&server, &["controller", "show", "lab"]);
    assert_eq!(gone.status.code(), Some(1));

    let link = words(&server, &["link", "show", "nsfnet", "WA-CA1"]);
    assert!(link.contains("from        WA\n") && link.contains("state       up\n"), "{link}");
    assert_eq!(words(&server, &["topology", "show", "nsfnet"]).lines().next(), Some("14 nodes, 42 links"));
    assert!(words(&server, &["aggregator", "list"]).starts_with("AGGREGATOR"));
    let watched = words(&server, &["controller", "watch", "--after", "0", "--count", "3"]);
    let kinds: Vec<_> = watched.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(kinds, ["controller_put", "controller_put", "controller_deleted"]);
    assert_eq!(words(&server, &["topology", "delete", "nsfnet"]), "nsfnet deleted\n");
    assert_eq!(words(&server, &["event", "list"]).lines().count(), 6);
}

#[test]
fn a_service_that_is_not_there_is_said_to_be_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_watermaster"))
        .args(["topology", "list", "--server", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot be reached"));
}

/// With nothing of the environment but `variables`.
fn run_alone(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watermaster"));
    command.env_clear().args(arguments).envs(variables.iter().copied()).output().unwrap()
}

/// What a supervisor must not try again exits with 78 (sysexits.h: EX_CONFIG).
#[test]
fn a_wrong_configuration_exits_with_78_and_a_database_that_is_away_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (unknown_key, not_whole) =
        (file("key.toml", "lisen = 1"), file("shares.toml", "[scheduler]\nshare_ppm = [1000000, 1, 1]"));
    let (users, data) = (file("users", "nobody"), folder.path().join("data").display().to_string());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"];
    let broker = ["broker", "--mqtt-listen", "127.0.0.1:0"];
    let code = |first: &[&str], rest: &[&str]| {
        let output = run_alone(&[first, rest].concat(), &[]);
        assert!(!output.stderr.is_empty(), "{rest:?}");
        output.status.code().unwrap()
    };
    for wrong in [
        &["--config", "/nowhere.toml"][..],
        &["--config", &unknown_key],
        &["--config", &not_whole],
        &["--database", "mysql://db"],
        &["--database-file", "/nowhere"],
        &["--data", &data, "--mqtt-users", "/nowhere"],
        &["--data", &data, "--mqtt-users", &users],
        &["--data", &data, "--store", "rediss+sentinel:/x"],
        &["--data", &data, "--mqtt-tls-listen", "127.0.0.1:0", "--mqtt-certificate", &users, "--mqtt-key", &users],
    ] {
        assert_eq!(code(&serve, wrong), 78, "{wrong:?}");
    }
    for wrong in [&["--mqtt-users", "/nowhere"][..], &["--store", "x"], &["--store-file", "/nowhere"]] {
        assert_eq!(code(&broker, wrong), 78, "{wrong:?}");
    }
    assert_eq!(code(&["gateway"], &["--report-every-ms", "0"]), 78);
    // Nobody listens on port 1.
    assert_eq!(code(&serve, &["--database", "postgres://127.0.0.1:1/x"]), 1);
}

#[test]
fn the_configuration_is_printed_whole_and_without_secrets_wherever_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("watermaster.database");
    std::fs::write(&url, "postgres://me:hunter2@db/water\n").unwrap();
    let url = url.to_str().unwrap();
    let printed = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = run_alone(&[&["config"], arguments].concat(), variables);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.contains("hunter2"), "{text}{:?}", output.stderr);
        text
    };
    let database = "database = \"postgres://me:***@db/water\"\n";
    assert!(printed(&["--database", "postgres://me:hunter2@db/water"], &[]).contains(database));
    assert!(printed(&[], &[("WATERMASTER_DATABASE_FILE", url)]).contains(database));
    assert!(printed(&[], &[("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())]).contains(database));
    let all = printed(&["--store", "redis://:hunter2@cache"], &[("WATERMASTER_CONTROLLER_PASSWORD", "hunter2")]);
    for line in
        ["store = \"redis://:***@cache\"", "controller_password = \"(not shown)\"", "lease_ms = ", "drain_ms = "]
    {
        assert!(all.contains(line), "{line}: {all}");
    }
    let help = run_alone(&["serve", "--help"], &[("WATERMASTER_DATABASE", "postgres://me:hunter2@db/water")]);
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("RUST_LOG=") && !help.contains("hunter2"), "{help}");
}
