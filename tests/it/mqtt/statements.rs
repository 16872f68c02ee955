//! The table of statements in `docs/broker.md` names tests that exist.

use std::collections::BTreeSet;
use std::path::Path;

fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/broker.md")).unwrap();
    let (_, table) = text.split_once("| statements | tests |").unwrap();
    let mut known = BTreeSet::from(["packets.txt".to_owned()]);
    for folder in ["tests/it/mqtt", "crates/mqtt/src"] {
        tests_in(&root.join(folder), &mut known);
    }
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 60, "{} rows", rows.len());
    for row in rows {
        let named: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}");
        let absent: Vec<_> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(absent.is_empty(), "{row}: {absent:?}");
    }
}
