//! Files of every format with some of their tokens removed, repeated, exchanged or replaced by odd ones: read or refused
//! with a place, never a panic, and what is read survives being written.

use proptest::prelude::*;
use watermaster_formats::{Format, ReadOptions, read, write};

const SAMPLES: [(Format, &str); 12] = [
    (
        Format::Native,
        r#"{"nodes":[{"id":"a","latitude":1.5,"longitude":2,"dpid":1,"host_ports":[1]},{"id":"b","x":1,"y":2}],
        "links":[{"id":"ab","from":"a","to":"b","capacity_bps":1e3,"bidirectional":true,"srlg":[1,2],"from_port":3},
        {"id":"ba","from":"b","to":"a","state":"down","te_metric":2.0,"delay_us":5}]}"#,
    ),
    (
        Format::GraphMl,
        r#"<?xml version="1.0"?><!DOCTYPE graphml SYSTEM "g.dtd"><graphml xmlns:y="y"><key id="c" for="edge" attr.name="capacity_gbps">
        <default>10</default></key><key id="u" for="graph" attr.name="delay_unit"/><key id="d" for="edge" attr.name="delay"/>
        <graph id="G" edgedefault="directed"><data key="u">ms</data><node id="a"><data key="n"><y:Geometry x="1" y="-2"/>
        <y:NodeLabel>A &amp; B</y:NodeLabel></data></node><node id="g"><graph edgedefault="undirected"><node id="b"/></graph></node>
        <edge source="a" target="b" directed="1"><data key="d">2.5</data></edge><edge source="b" target="a"><data key="c">1e1</data>
        <data key="x"><y:Arrows source="none" target="standard"/></data></edge></graph></graphml>"#,
    ),
    (
        Format::Gml,
        r#"Creator "x"
        graph [ directed 0 capacity_unit "Mbps" node [ id 1 label "S&atilde;o &#227; &" graphics [ x 1 y 2 ] ]
        node [ id 2 lat "1.5" lon 2 ] edge [ source 1 target 2 capacity 10 dist 750.0 ] edge [ source 2 target 1 delayms 1.5 ] ]"#,
    ),
    (
        Format::SndlibXml,
        r#"<network xmlns="http://sndlib.zib.de/network"><networkStructure><nodes coordinatesType="geographical"><node id="A">
        <coordinates><x>8.5</x><y>47.2</y></coordinates></node><node id="B"/></nodes><links><link id="L1"><source>A</source>
        <target>B</target><preInstalledModule><capacity>9920.0</capacity></preInstalledModule><routingCost>2</routingCost>
        <additionalModules><addModule><capacity>155</capacity></addModule></additionalModules></link></links></networkStructure></network>"#,
    ),
    (
        Format::SndlibNative,
        "?SNDlib native format; type: network\nMETA (\n unit = MBITPERSEC\n)\nNODES (\n A ( 8.5 47.25 )\n B\n)\nLINKS (\n \
        L1 ( A B ) 9920.00 0.00 0.00 0.00 ( 40000.00 133.00 )\n L2 ( B A ) 0 0 5 0 ( 155.52 1 622.08 2 )\n)\n",
    ),
    (
        Format::Rfc8345,
        r#"{"ietf-network:networks":{"network":[{"network-id":"x","node":[{"node-id":"A","te":{"geolocation":{"latitude":"1.5",
        "longitude":2}}},{"node-id":"B"}],"link":[{"link-id":"A-B","source":{"source-node":"A","source-tp":"1"},"destination":
        {"dest-node":"B","dest-tp":"2"},"te":{"te-link-attributes":{"max-link-bandwidth":{"te-bandwidth":{"generic":"0x1.8p+30"}},
        "te-default-metric":5,"te-srlgs":{"value":[1,2]},"administrative-group":"00:00:01:02","admin-status":"up"}}}]}]}}"#,
    ),
    (
        Format::NodeLink,
        r#"{"directed":false,"multigraph":true,"graph":{"capacity_unit":"Gbit/s"},"nodes":[{"id":0,"pos":[9.4,54.8]},
        {"id":"b","pos":[9.2,47.7]},{"id":[1,"x"]}],"edges":[{"source":0,"target":"b","dist":750.0,"capacity":1},
        {"source":"b","target":0,"bw":"2x10 Gbps","weight":3.6}]}"#,
    ),
    (
        Format::Adjacency,
        r#"{"directed":false,"multigraph":true,"graph":[["delay_unit","ms"]],"nodes":[{"id":"x"},{"id":2}],"adjacency":
        [[{"capacity_bps":1000,"delay":1.5,"id":2,"key":0}],[{"capacity_bps":1000,"id":"x","key":0}]]}"#,
    ),
    (
        Format::Cytoscape,
        r#"{"data":[["a","b"]],"directed":true,"elements":{"nodes":[{"data":{"id":"x"},"position":{"x":1,"y":2}},{"data":{"id":"y"}}],
        "edges":[{"data":{"id":"e","source":"x","target":"y","capacity_mbps":100}}]}}"#,
    ),
    (
        Format::Repetita,
        "NODES 2\nlabel x y\n0_New_York -74.0 40.7\n1_Chicago -87.6 41.8\n\nEDGES 2\nlabel src dest weight bw delay\n\
        edge_0 0 1 3 9953280 5100\nedge_1 1 0 3 9953280 5100\n",
    ),
    (
        Format::Csv,
        "Source;Target;Capacity (Gbit/s);Delay [ms];Directed;Source lat;Source lon;dist\n\"K; S\";Bonn;10;0.5;no;50.9;6.9;30\n\
        Bonn;\"a \"\"b\"\"\";2.5;;1;;;\n;;;;;;;\n",
    ),
    (Format::Csv, "a,b,bw\nx,y,10G\ny,x,10G\n"),
];

/// Tokens that are odd somewhere.
const ODD: [&str; 34] = [
    "",
    " ",
    "\n",
    "\"",
    "'",
    "<",
    ">",
    "&",
    "&#0;",
    "&lt;",
    "]]>",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ",",
    ";",
    "0",
    "-1",
    "1e309",
    "1e-309",
    "18446744073709551616",
    "9223372036854775807.0",
    "NaN",
    "+INF",
    "null",
    "true",
    "µs",
    "\u{feff}",
    "\0",
    "~",
    "é",
];

/// One change of a list of tokens; places count modulo its length.
#[derive(Clone, Debug)]
enum Change {
    Remove(usize),
    Repeat(usize, usize),
    Exchange(usize, usize),
    Replace(usize, usize),
    Insert(usize, usize),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = 0..10_000_usize;
    prop_oneof![
        place.clone().prop_map(Change::Remove),
        (place.clone(), 1..40_usize).prop_map(|(at, times)| Change::Repeat(at, times)),
        (place.clone(), place.clone()).prop_map(|(at, other)| Change::Exchange(at, other)),
        (place.clone(), 0..ODD.len()).prop_map(|(at, odd)| Change::Replace(at, odd)),
        (place.clone(), 0..ODD.len()).prop_map(|(at, odd)| Change::Insert(at, odd)),
        place.prop_map(Change::Cut),
    ]
}

/// Words and single characters.
fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if is_word(first) { rest.find(|c| !is_word(c)) } else { Some(first.len_utf8()) };
        let (token, behind) = rest.split_at(end.unwrap_or(rest.len()));
        tokens.push(token);
        rest = behind;
    }
    tokens
}

fn apply(tokens: &mut Vec<&str>, change: &Change) {
    let length = tokens.len().max(1);
    if tokens.is_empty() {
        tokens.push("");
    }
    match *change {
        Change::Remove(at) => drop(tokens.remove(at % length)),
        Change::Repeat(at, times) => {
            let token = tokens[at % length];
            tokens.splice(at % length..at % length, std::iter::repeat_n(token, times));
        }
        Change::Exchange(at, other) => tokens.swap(at % length, other % length),
        Change::Replace(at, odd) => tokens[at % length] = ODD[odd],
        Change::Insert(at, odd) => tokens.insert(at % length, ODD[odd]),
        Change::Cut(at) => tokens.truncate(at % length),
    }
}

#[test]
fn the_samples_are_whole_and_every_format_has_one() {
    for (format, text) in SAMPLES {
        let imported = read(text.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(imported.report.format, format);
        assert!(imported.report.links > 0, "{format}");
    }
    assert!(Format::ALL.iter().all(|format| SAMPLES.iter().any(|(sample, _)| sample == format)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutations_never_panic(
        sample in 0..SAMPLES.len(),
        named in any::<bool>(),
        wide in any::<bool>(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let (format, text) = SAMPLES[sample];
        let mut tokens = tokens(text);
        changes.iter().for_each(|change| apply(&mut tokens, change));
        let text = tokens.concat();
        let bytes = match wide {
            true => [&b"\xFF\xFE"[..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()].concat(),
            false => text.into_bytes(),
        };
        let options = ReadOptions { format: named.then_some(format), ..ReadOptions::default() };
        match read(&bytes, &options) {
            Ok(imported) => {
                let text = write(&imported.topology, Format::Native).unwrap();
                let again = read(text.as_bytes(), &ReadOptions::default()).unwrap();
                prop_assert_eq!(again.topology, imported.topology);
            }
            Err(error) => {
                let place = error.place();
                prop_assert!(place.line.is_some() || place.element.is_some(), "{error:?}");
            }
        }
    }
}
