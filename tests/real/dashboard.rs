//! The dashboard in a real browser, against the program itself: `dashboard.mjs` drives it. And that it is small.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use axum::body::Body;
use axum::http::Request;
use kernel::units::Millis;
use tower::ServiceExt;
use watermaster::app::App;
use watermaster::http::{Context, router};
use watermaster::journal::Journal;

/// The three files together, compressed.
const BUNDLE_MAX_BYTES: usize = 110_000;

#[test]
fn people_can_work_with_the_dashboard() {
    drive("dashboard.mjs");
}

#[test]
fn people_sign_in_at_the_dashboard() {
    drive("sign_in.mjs");
}

#[test]
fn people_sign_in_by_an_openid_provider() {
    let provider = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/oidc/node_modules");
    assert!(provider.is_dir(), "run npm ci in tests/real/oidc: tests/run does");
    drive("oidc/sign_in.mjs");
}

#[test]
fn people_approve_plans_and_study_failures() {
    drive("plans.mjs");
}

#[test]
fn people_book_for_a_night_to_come() {
    drive("calendar.mjs");
}

#[test]
fn people_ask_for_a_backup_path_and_see_who_has_none() {
    drive("protection.mjs");
}

#[test]
fn people_take_a_release_back() {
    drive("undo.mjs");
}

#[test]
fn newcomers_find_what_fills_a_link_and_book_for_tonight() {
    drive("walk.mjs");
}

#[test]
fn people_look_at_the_past() {
    let data = tempfile::tempdir().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(two_days(data.path()));
    drive_over("past.mjs", data.path());
}

/// Two days of samples, of which the last hour has none: an allocation for twelve hours, a second one for six; two hours before
/// now the first one was released and a link broke.
async fn two_days(data: &Path) {
    const MINUTE_MS: u64 = 60_000;
    const NET: &str = r#"{
        "nodes": [
            {"id": "oslo", "longitude": 10.7, "latitude": 59.9},
            {"id": "rome", "longitude": 12.5, "latitude": 41.9},
            {"id": "bonn", "longitude": 7.1, "latitude": 50.7}
        ],
        "links": [
            {"id": "oslo-rome", "from": "oslo", "to": "rome", "capacity_bps": 1000000000, "bidirectional": true},
            {"id": "oslo-bonn", "from": "oslo", "to": "bonn", "capacity_bps": 1000000000, "bidirectional": true},
            {"id": "bonn-rome", "from": "bonn", "to": "rome", "capacity_bps": 1000000000, "bidirectional": true}
        ]
    }"#;
    let url = format!("sqlite://{}/watermaster.db", data.display()).parse().unwrap();
    let (app, tasks) = App::start(Journal::open(&url).await.unwrap()).await.unwrap();
    let router = router(Context::new(app.clone(), "test"));
    let ask = async |method: &str, uri: &str, body: &str| {
        let request = Request::builder().method(method).uri(uri).header("host", "service");
        let request = request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert!(answer.status().is_success(), "{method} {uri}: {answer:?}");
    };
    let now = app.now().0 / MINUTE_MS;
    let sample = async |from: u64, to: u64| {
        for minutes in (to..=from).rev().filter(|minutes| minutes % 5 == 0) {
            app.sample_links(Millis((now - minutes) * MINUTE_MS)).await.unwrap();
        }
    };
    let admit = |class_type: u8, bps: u64| {
        format!(
            r#"{{"topology":"net","ingress":"oslo","egress":"rome","class_type":{class_type},"bandwidth_bps":{bps},
            "constraints":{{"max_hops":1}}}}"#
        )
    };
    ask("PUT", "/v1/topologies/net", NET).await;
    sample(48 * 60, 12 * 60).await;
    ask("POST", "/v1/allocations", &admit(0, 400_000_000)).await;
    let first = app.read(|state| state.allocations_after(None).next().map(|one| one.id)).unwrap();
    sample(12 * 60 - 1, 6 * 60).await;
    ask("POST", "/v1/allocations", &admit(2, 300_000_000)).await;
    sample(6 * 60 - 1, 2 * 60).await;
    ask("DELETE", &format!("/v1/allocations/{first}"), "").await;
    ask("PATCH", "/v1/topologies/net/links/oslo-bonn", r#"{"state":"down"}"#).await;
    sample(2 * 60 - 1, 60).await;
    tasks.stop(&app).await;
}

/// Runs a script that drives the browser.
fn drive(script: &str) {
    drive_over(script, tempfile::tempdir().unwrap().path());
}

/// The same over a folder that has data already.
fn drive_over(script: &str, data: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let screens = root.join("target/screens");
    std::fs::create_dir_all(&screens).unwrap();
    let chromium = std::env::var("WATERMASTER_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let chromium = which(&chromium).unwrap_or_else(|| panic!("there is no {chromium}: tests/run installs it"));
    assert!(root.join("dashboard/node_modules/playwright-core").is_dir(), "run npm ci in dashboard: tests/run does");
    let status = Command::new("node")
        .arg(root.join("tests/real").join(script))
        .env("PROGRAM", env!("CARGO_BIN_EXE_watermaster"))
        .env("DATA", data)
        .env("SCREENS", &screens)
        .env("CHROMIUM", chromium)
        .env("ROOT", root)
        .status()
        .unwrap();
    assert!(status.success(), "{status}; see {}/failed.png", screens.display());
}

pub(crate) fn which(program: &str) -> Option<std::path::PathBuf> {
    if program.contains('/') {
        return Some(program.into());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[test]
fn the_dashboard_is_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard/dist");
    let mut compressed = 0;
    for file in ["index.html", "app.js", "index.css"] {
        let body = std::fs::read(folder.join(file)).unwrap();
        let mut gzip =
            Command::new("gzip").args(["-9", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut into = gzip.stdin.take().unwrap();
        let writing = std::thread::spawn(move || into.write_all(&body).unwrap());
        compressed += gzip.wait_with_output().unwrap().stdout.len();
        writing.join().unwrap();
    }
    assert!((1..=BUNDLE_MAX_BYTES).contains(&compressed), "{compressed} bytes");
}
