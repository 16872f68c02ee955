//! The tables of statements in `docs/broker.md` are complete, each statement stands once, and the tests exist that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How many normative statements each section of MQTT 5 has. 2.2.1-1 was withdrawn before the standard.
const VERSION_5: &str = "1.5.4:3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:6 2.2.2:2 3.1.0:2 3.1.2:30 3.1.3:12 3.1.4:6 3.2.0:2 3.2.2:22 \
    3.3.1:13 3.3.2:20 3.3.4:10 3.4.2:3 3.5.2:3 3.6.1:1 3.6.2:3 3.7.2:3 3.8.1:1 3.8.3:5 3.8.4:8 3.9.2:2 3.9.3:2 3.10.1:1 \
    3.10.3:2 3.10.4:6 3.11.2:2 3.11.3:2 3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:4 3.14.4:3 3.15.1:1 3.15.2:1 4.1.0:2 4.2.0:1 \
    4.3.1:1 4.3.2:5 4.3.3:13 4.4.0:2 4.5.0:2 4.6.0:6 4.7.0:1 4.7.1:2 4.7.2:1 4.7.3:4 4.8.2:6 4.9.0:3 4.12.0:7 4.12.1:2 \
    4.13.1:1 4.13.2:1 6.0.0:4";
/// And each section of 3.1.1 (its appendix B, and 4.3).
const VERSION_3: &str = "1.5.3:3 2.2.2:2 2.3.1:7 3.1.0:2 3.1.2:24 3.1.3:11 3.1.4:5 3.2.0:1 3.2.2:6 3.3.1:12 3.3.2:3 3.3.4:1 \
    3.3.5:2 3.6.1:1 3.8.1:1 3.8.3:4 3.8.4:6 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 3.12.4:1 3.14.1:1 3.14.4:3 4.1.0:2 4.2.0:1 \
    4.3.1:1 4.3.2:2 4.3.3:2 4.4.0:1 4.5.0:2 4.6.0:6 4.7.1:3 4.7.2:1 4.7.3:4 4.8.0:2 6.0.0:4 7.0.0:2 7.1.1:1 7.1.2:1";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

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

/// Identifiers such as 3.1.2-24, in their order.
fn statements(text: &str) -> Vec<String> {
    let words =
        text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).map(|word| word.trim_end_matches('.'));
    let is_statement = |word: &&str| {
        let Some((section, number)) = word.split_once('-') else { return false };
        section.split('.').count() == 3 && section.split('.').chain([number]).all(|part| part.parse::<u8>().is_ok())
    };
    words.filter(is_statement).map(str::to_owned).collect()
}

/// The statements of one version that a line of `packets.txt` names.
fn in_packets(is_old: bool) -> BTreeSet<String> {
    let text = read("tests/it/mqtt/codec/packets.txt");
    let lines = text.lines().filter_map(|line| {
        let [name, version, packet, _] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else { return None };
        let is_named_old = packet.contains("\" 04 ") || packet.contains("MQIsdp");
        let fits = if version == "first" { is_named_old == is_old } else { version.ends_with('3') == is_old };
        fits.then(|| statements(name.split(' ').next()?.trim_start_matches("MQTT-")).pop())?
    });
    lines.collect()
}

/// One version's part of the page: every statement stands once, and what it names is there.
fn check(part: &str, sections: &str, is_old: bool) {
    let mut known = BTreeSet::from(["packets.txt".to_owned()]);
    for folder in ["tests/it/mqtt", "crates/mqtt/src"] {
        tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut known);
    }
    let packets = in_packets(is_old);
    for row in part.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| statements")) {
        let named: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}");
        let absent: Vec<_> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(absent.is_empty(), "{row}: {absent:?}");
        let unsaid: Vec<_> = statements(row).into_iter().filter(|one| !packets.contains(one)).collect();
        assert!(unsaid.is_empty() || named != ["packets.txt"], "no line of packets.txt names {unsaid:?}");
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for statement in statements(part) {
        *counts.entry(statement).or_default() += 1;
    }
    let expected = sections.split_whitespace().flat_map(|section| {
        let (section, last) = section.split_once(':').unwrap();
        (1..=last.parse::<u8>().unwrap()).map(move |number| format!("{section}-{number}"))
    });
    let expected: BTreeMap<_, _> = expected.filter(|one| is_old || one != "2.2.1-1").map(|one| (one, 1)).collect();
    let wrong: Vec<_> = counts.iter().filter(|(one, count)| expected.get(*one) != Some(count)).collect();
    let missing: Vec<_> = expected.keys().filter(|one| !counts.contains_key(*one)).collect();
    assert!(wrong.is_empty() && missing.is_empty(), "wrong: {wrong:?}, missing: {missing:?}");
}

#[test]
fn every_statement_has_its_tests() {
    let text = read("docs/broker.md");
    let (_, text) = text.split_once("## Statements of the standard and their tests").unwrap();
    let (five, old) = text.split_once("### MQTT 3.1.1").unwrap();
    check(five, VERSION_5, false);
    check(old, VERSION_3, true);
    let alone = five.split_once("alone, each with its statement").unwrap().1.split_once("\n\n").unwrap().0;
    let packets = in_packets(false);
    let unsaid: Vec<_> = statements(alone).into_iter().filter(|one| !packets.contains(one)).collect();
    assert!(unsaid.is_empty(), "no line of packets.txt names {unsaid:?}");
}
