//! The arrows between the rooms, enforced: this table is the only copy, and every `crate::` path in the sources is held
//! to it. The kernel is besides held to what a pure machine may touch.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may name. A room that is not listed may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("kernel", &[]),
    ("formats", &["kernel"]),
    ("journal", &["kernel"]),
    ("southbound", &["kernel"]),
    ("app", &["kernel", "journal", "southbound"]),
    // Of mqtt only what a topic filter is.
    ("http", &["app", "kernel", "formats", "mqtt"]),
    ("mqtt", &[]),
    ("front", &["app", "formats", "kernel", "mqtt"]),
    ("gateway", &["mqtt"]),
    ("config", &["kernel", "mqtt"]),
    ("telemetry", &["app", "config", "kernel", "mqtt"]),
    ("service", &["app", "config", "formats", "front", "http", "journal", "kernel", "mqtt", "telemetry"]),
    ("client", &[]),
    ("cli", &["client", "config", "formats", "gateway", "http", "kernel", "mqtt", "service", "telemetry"]),
    ("main", &["cli"]),
];

/// What the kernel may never say.
const NOT_IN_THE_KERNEL: [&str; 16] = [
    "tokio::",
    "serde",
    "axum::",
    "sqlx::",
    "reqwest::",
    "tracing::",
    "std::time",
    "std::thread",
    "std::fs",
    "std::net::Tcp",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "HashMap",
    "HashSet",
    "f64",
    "rand::",
];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn room(path: &Path) -> String {
    let inside = path.strip_prefix(sources()).unwrap();
    inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The code without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn rooms_name_only_those_they_may() {
    let mut broken = vec![];
    for path in files(&sources()) {
        let from = room(&path);
        if from == "lib" {
            continue;
        }
        let allowed = ARROWS.iter().find(|(name, _)| *name == from);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{} is in no room of the map", path.display()));
        let text = code(&path);
        for root in ["crate::", "watermaster::"] {
            for (at, _) in text.match_indices(root) {
                let rest = &text[at + root.len()..];
                let to: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                // The target of a log line is a text, not a name.
                let is_text = text[..at].ends_with('"');
                if !is_text && !to.is_empty() && to != from && !allowed.contains(&to.as_str()) {
                    broken.push(format!("{} names {to}", path.display()));
                }
            }
        }
    }
    broken.dedup();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_kernel_is_pure() {
    let mut broken = vec![];
    for path in files(&sources().join("kernel")) {
        // The LP is the one place for floats.
        let text = code(&path);
        for word in NOT_IN_THE_KERNEL {
            let allowed = word == "f64" && path.ends_with("optimize.rs");
            if text.contains(word) && !allowed {
                broken.push(format!("{} says {word}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_file_says_what_it_holds() {
    for path in files(&sources()) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not say what it holds", path.display());
    }
}
