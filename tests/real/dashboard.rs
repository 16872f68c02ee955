//! The dashboard in a real browser, against the program itself: `dashboard.mjs` drives it. And that it is small.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The three files together, compressed.
const BUNDLE_MAX_BYTES: usize = 80 * 1024;

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
fn people_book_for_next_tuesday() {
    drive("calendar.mjs");
}

#[test]
fn people_ask_for_a_backup_path_and_see_who_has_none() {
    drive("protection.mjs");
}

/// Runs a script that drives the browser.
fn drive(script: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let screens = root.join("target/screens");
    std::fs::create_dir_all(&screens).unwrap();
    let data = tempfile::tempdir().unwrap();
    let chromium = std::env::var("WATERMASTER_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let chromium = which(&chromium).unwrap_or_else(|| panic!("there is no {chromium}: tests/run installs it"));
    assert!(root.join("dashboard/node_modules/playwright-core").is_dir(), "run npm ci in dashboard: tests/run does");
    let status = Command::new("node")
        .arg(root.join("tests/real").join(script))
        .env("PROGRAM", env!("CARGO_BIN_EXE_watermaster"))
        .env("DATA", data.path())
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
