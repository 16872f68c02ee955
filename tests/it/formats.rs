//! Topology files: every format read and written, the networks that are shipped, and what broken files do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

use std::path::{Path, PathBuf};

use api::topology::{MissingCapacity, TopologyFormat as Format};
use formats::{ImportError, Imported, ReadOptions, read, write};
use kernel::topology::{LINKS_MAX, NODES_MAX};

/// One small file of every format, with the number of nodes and directed links in it.
const SAMPLES: [(&str, Format, usize, usize); 13] = [
    ("small.json", Format::Native, 4, 7),
    ("zoo.graphml", Format::GraphMl, 5, 10),
    ("yed.graphml", Format::GraphMl, 3, 2),
    ("zoo.gml", Format::Gml, 4, 8),
    ("small.sndlib.xml", Format::SndlibXml, 4, 8),
    ("small.sndlib.txt", Format::SndlibNative, 4, 8),
    ("small.rfc8345.json", Format::Rfc8345, 3, 4),
    ("links.node-link.json", Format::NodeLink, 3, 4),
    ("edges.node-link.json", Format::NodeLink, 4, 3),
    ("adjacency.json", Format::Adjacency, 3, 6),
    ("cytoscape.json", Format::Cytoscape, 3, 3),
    ("small.graph", Format::Repetita, 3, 6),
    ("edges.csv", Format::Csv, 3, 3),
];

const WRITTEN: [Format; 4] = [Format::Native, Format::GraphMl, Format::NodeLink, Format::Rfc8345];

/// How many broken copies are made of each sample.
const MUTATIONS: usize = 5_000;

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats/samples").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn import(bytes: &[u8]) -> Result<Imported, ImportError> {
    read(bytes, &ReadOptions::default())
}

#[test]
fn every_format_is_recognised_and_read() {
    for (name, format, nodes, links) in SAMPLES {
        let imported = import(&sample(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = &imported.report;
        assert_eq!((report.format, report.nodes, report.links), (format, nodes, links), "{name}");
        assert_eq!(report.capacity_from.values().sum::<usize>(), links, "{name}");
        let forced = ReadOptions { format: Some(format), ..ReadOptions::default() };
        assert_eq!(read(&sample(name), &forced).unwrap().topology, imported.topology, "{name}");
    }
}

#[test]
fn what_is_written_reads_back_equal() {
    for (name, ..) in SAMPLES {
        let first = import(&sample(name)).unwrap().topology;
        for format in [Format::Native, Format::GraphMl, Format::NodeLink] {
            let text = write(&first, format).unwrap();
            let again = import(text.as_bytes()).unwrap_or_else(|error| panic!("{name} as {format}: {error}\n{text}"));
            assert_eq!(again.report.format, format);
            assert_eq!(again.report.warnings, [], "{name} as {format}");
            assert_eq!(again.topology, first, "{name} as {format}");
        }
    }
}

#[test]
fn rfc_8345_keeps_what_it_has_words_for() {
    let first = import(&sample("small.json")).unwrap().topology;
    let again = import(write(&first, Format::Rfc8345).unwrap().as_bytes()).unwrap().topology;
    assert_eq!((again.node_count(), again.link_count()), (first.node_count(), first.link_count()));
    for ((_, before), (_, after)) in first.links().zip(again.links()) {
        assert_eq!((&before.name, before.te_metric, before.delay), (&after.name, after.te_metric, after.delay));
        assert_eq!((&before.srlg, before.state, before.from_port), (&after.srlg, after.state, after.from_port));
        let lost = before.capacity.checked_sub(after.capacity).unwrap();
        assert!(lost.as_bps() <= 8 + before.capacity.as_bps() / 8_000_000, "{} {lost}", before.name);
    }
}

#[test]
fn formats_that_are_only_read_say_so() {
    let topology = import(&sample("small.json")).unwrap().topology;
    for format in Format::ALL.iter().copied() {
        assert_eq!(write(&topology, format).is_ok(), WRITTEN.contains(&format), "{format}");
    }
}

#[test]
fn the_capacity_policy_is_kept() {
    let policy = |on_missing_capacity| ReadOptions { on_missing_capacity, ..ReadOptions::default() };
    let zoo = sample("zoo.graphml");
    let default = read(&zoo, &policy(MissingCapacity::Default)).unwrap();
    assert_eq!(default.report.capacity_from.get("default"), Some(&2));
    let dropped = read(&zoo, &policy(MissingCapacity::Drop)).unwrap();
    assert_eq!((dropped.report.links, dropped.report.dropped_links), (8, 2));
    let refused = read(&zoo, &policy(MissingCapacity::Error)).unwrap_err();
    assert!(matches!(refused, ImportError::NoCapacity { .. }) && refused.line().is_some(), "{refused}");
}

#[test]
fn the_networks_that_are_shipped_are_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies");
    for (name, nodes, links) in [
        ("abilene.json", 11, 28),
        ("geant.json", 40, 124),
        ("nsfnet.json", 14, 42),
        ("ring.json", 4, 8),
        ("rnp-ipe.json", 27, 82),
    ] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let options = ReadOptions { on_missing_capacity: MissingCapacity::Error, ..ReadOptions::default() };
        let Imported { topology, report } = read(&bytes, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((report.format, report.nodes, report.links), (Format::Native, nodes, links), "{name}");
        assert_eq!((report.islands, report.te_metrics_assumed), (1, 0), "{name}");
        assert_eq!(report.warnings, [], "{name}");
        assert!(topology.nodes().all(|(_, node)| node.position.is_some()), "{name}");
        assert!(topology.links().all(|(_, link)| link.delay.0 > 0 && link.twin.is_some()), "{name}");
        for format in WRITTEN {
            let again = import(write(&topology, format).unwrap().as_bytes()).unwrap();
            assert_eq!((again.report.nodes, again.report.links), (nodes, links), "{name} as {format}");
        }
    }
    let shipped = files(&folder).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    assert_eq!(shipped.count(), 5, "a network that no test knows");
}

/// A folder of published files, for those who have one: every file in it and below must read, and survive a round trip.
#[test]
fn published_files_read_where_there_are_some() {
    let Some(folder) = std::env::var_os("WATERMASTER_TOPOLOGY_CORPUS") else {
        println!("WATERMASTER_TOPOLOGY_CORPUS names no folder: only the samples were read");
        return;
    };
    let wanted = ["graphml", "gml", "xml", "txt", "json", "graph", "csv"];
    let is_wanted = |path: &PathBuf| path.extension().is_some_and(|kind| wanted.iter().any(|wanted| kind == *wanted));
    let paths: Vec<PathBuf> = files(Path::new(&folder)).into_iter().filter(is_wanted).collect();
    assert!(!paths.is_empty(), "no topology file in {}", Path::new(&folder).display());
    for path in &paths {
        let imported =
            import(&std::fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let report = &imported.report;
        println!(
            "{}: {} {} nodes, {} links, {} islands, {:?}, {} warnings",
            path.display(),
            report.format,
            report.nodes,
            report.links,
            report.islands,
            report.capacity_from,
            report.warnings.len() + report.warnings_omitted
        );
        for format in [Format::Native, Format::GraphMl, Format::NodeLink] {
            let text = write(&imported.topology, format).unwrap();
            assert_eq!(import(text.as_bytes()).unwrap().topology, imported.topology, "{} as {format}", path.display());
        }
    }
    println!("{} files", paths.len());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().contains("README")));
    found.sort();
    found
}

/// Broken copies of every sample are read or refused, with a place, and never panic.
#[test]
fn broken_files_are_refused_cleanly() {
    let samples: Vec<(Format, Vec<u8>)> = SAMPLES.iter().map(|(name, format, ..)| (*format, sample(name))).collect();
    let mut random = Xorshift(0x5DEE_CE66_D1CE_CAFE);
    let (mut read_anyway, mut refused) = (0, 0);
    for (format, bytes) in &samples {
        for round in 0..MUTATIONS {
            let mut broken = bytes.clone();
            for _ in 0..=random.below(3) {
                let donor = &samples[random.below(samples.len())].1;
                mutate(&mut broken, donor, &mut random);
            }
            // Half of them with the format forced: sniffing must not be what keeps the parsers safe.
            let options = ReadOptions { format: (round % 2 == 0).then_some(*format), ..ReadOptions::default() };
            match read(&broken, &options) {
                Ok(imported) => {
                    read_anyway += 1;
                    let text = write(&imported.topology, Format::Native).unwrap();
                    let again = import(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
                    assert_eq!(again.topology, imported.topology);
                }
                Err(error) => {
                    refused += 1;
                    let place = error.place();
                    assert!(place.line.is_some() || place.element.is_some(), "{error:?}");
                }
            }
        }
    }
    println!("{read_anyway} read, {refused} refused");
    assert!(
        read_anyway > 1_000 && refused > 1_000,
        "{read_anyway} read, {refused} refused: the mutations are one-sided"
    );
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], random: &mut Xorshift) {
    if bytes.is_empty() {
        return bytes.push(b'{');
    }
    let (from, length) = (random.below(bytes.len()), random.below(40));
    let to = (from + length).min(bytes.len());
    match random.below(7) {
        0 => bytes[from] ^= 1 << random.below(8),
        1 => bytes[from] = b"\"<>[](){}&;,:-0129eE.\n\0\xFF"[random.below(24)],
        2 => bytes.truncate(from),
        3 => drop(bytes.drain(from..to)),
        4 => {
            let piece = bytes[from..to].to_vec();
            bytes.splice(from..from, piece);
        }
        5 => {
            let start = random.below(donor.len());
            let piece = &donor[start..(start + length).min(donor.len())];
            bytes.splice(from..to, piece.iter().copied());
        }
        _ => {
            let digits = b"99999999999999999999"[..=random.below(19)].to_vec();
            bytes.splice(from..from, digits);
        }
    }
}

struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

#[test]
fn files_beyond_the_limits_are_refused() {
    let too_large = vec![b' '; formats::INPUT_MAX_BYTES + 1];
    assert!(matches!(import(&too_large), Err(ImportError::TooLarge { .. })));
    let nodes: String = (0..=NODES_MAX).map(|at| format!("node [ id {at} ]\n")).collect();
    let error = import(format!("graph [\n{nodes}]").as_bytes()).unwrap_err();
    assert!(matches!(error, ImportError::TooMany { what: "nodes", .. }), "{error}");
    assert_eq!(error.line(), Some(NODES_MAX + 2));
    let edges = "edge [ source 0 target 1 ]\n".repeat(LINKS_MAX / 2 + 1);
    let error = import(format!("graph [\nnode [ id 0 ] node [ id 1 ]\n{edges}]").as_bytes()).unwrap_err();
    assert!(matches!(error, ImportError::TooMany { what: "directed links", .. }), "{error}");
}

/// Inputs made to be slow: long runs of one thing, up to the largest file that is read. A reader that were quadratic in one of
/// them would not come to an end here.
#[test]
fn hostile_files_come_to_an_end() {
    let many = |piece: &str| piece.repeat((4 << 20) / piece.len());
    let parallel = "{\"id\":\"L\",\"from\":\"a\",\"to\":\"b\"},".repeat(40_000);
    for (name, text) in [
        ("brackets", many("[")),
        ("tags", many("<a>")),
        ("attributes", format!("<graphml {}>", (0..200_000).map(|at| format!("a{at}='' ")).collect::<String>())),
        ("text", format!("<graphml><graph><node id='a'><data key='x'>{}", many("&amp;"))),
        ("blank lines", many("\n")),
        ("gml words", format!("graph [ {}", many("a 1 "))),
        ("gml references", format!("graph [ a \"{}\"", many("&#38;"))),
        ("repetita", format!("NODES 99999999\n{}", many("a 1 1\n"))),
        ("sndlib", format!("NODES (\n{}", many("a ( 1 1 )\n"))),
        (
            "one name for all links",
            format!("{{\"nodes\":[{{\"id\":\"a\"}},{{\"id\":\"b\"}}],\"links\":[{parallel}null]}}"),
        ),
        (
            "parallel edges",
            format!("graph [ node [ id a ] node [ id b ] {} ]", "edge [ source a target b ] ".repeat(40_000)),
        ),
        ("graphml keys", format!("<graphml>{}", (0..9_999).map(|at| format!("<key id='{at}'/>")).collect::<String>())),
        ("a graphml default for all", {
            let key = format!("<key id='a' attr.name='b'><default>{}</default></key>", "x".repeat(1 << 20));
            format!("<graphml>{key}<graph>{}", (0..20_000).map(|at| format!("<node id='{at}'/>")).collect::<String>())
        }),
        ("a long gml key", format!("graph [ node [ {} [ {}", "k".repeat(1 << 20), many("a 1 "))),
        ("groups without edges", {
            let groups: String =
                (0..9_000).map(|at| format!("<node id='{at}'><graph><node id='n{at}'/></graph></node>")).collect();
            format!("<graphml><graph>{groups}{}", "<edge source='n0' target='n1'/>".repeat(90_000))
        }),
        ("exponents", format!("[{}", many("1e9,"))),
        ("csv", format!("source,target\n{}", many("a,b\n"))),
        ("csv columns", format!("source,target{}", many(",c"))),
        ("networks", format!("{{\"ietf-network:networks\":{{\"network\":[{}{{}}]}}}}", many("{},"))),
        ("digits", format!("{{\"nodes\":[{{\"id\":\"a\",\"latitude\":{}}}]}}", many("9"))),
    ] {
        let outcome = import(text.as_bytes());
        if name != "parallel edges" {
            let error = outcome.err().unwrap_or_else(|| panic!("{name} was read"));
            println!("{name}: {}", error.to_string().chars().take(100).collect::<String>());
        }
    }
}
