//! A topology as GraphML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_xml::escape::escape;
use serde_json::{Map, Value};

use kernel::topology::Topology;

use crate::node_link::{NativeMembers, flat, members};

/// Writes a directed graph whose attributes have the names of the native format.
pub(crate) fn write(topology: &Topology) -> String {
    let NativeMembers { nodes, links } = members(topology);
    let mut text = String::from(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n",
    ));
    push_keys(&mut text, "node", &nodes);
    push_keys(&mut text, "edge", &links);
    text.push_str("  <graph edgedefault=\"directed\">\n");
    for mut node in nodes {
        let id = take(&mut node, "id");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    <node id=\"{}\">", escape(id));
        push_data(&mut text, "node", &node);
        text.push_str("    </node>\n");
    }
    for mut link in links {
        let [id, from, to] = ["id", "from", "to"].map(|member| take(&mut link, member));
        let (id, from, to) = (escape(id), escape(from), escape(to));
        let _ = writeln!(text, "    <edge id=\"{id}\" source=\"{from}\" target=\"{to}\">");
        push_data(&mut text, "edge", &link);
        text.push_str("    </edge>\n");
    }
    text.push_str("  </graph>\n</graphml>\n");
    text
}

/// Declares every member that occurs; the members of ends and ids are XML attributes.
fn push_keys(text: &mut String, domain: &str, items: &[Map<String, Value>]) {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in items.iter().flatten().filter(|(name, _)| !["id", "from", "to"].contains(&name.as_str())) {
        let kind = match value {
            Value::Number(number) if number.is_f64() => "double",
            Value::Number(_) => "long",
            _ => "string",
        };
        types.insert(name, kind);
    }
    for (name, kind) in types {
        let _ = writeln!(
            text,
            "  <key id=\"{domain}-{name}\" for=\"{domain}\" attr.name=\"{name}\" attr.type=\"{kind}\"/>"
        );
    }
}

fn push_data(text: &mut String, domain: &str, members: &Map<String, Value>) {
    for (name, value) in members {
        let value = flat(value);
        let _ = writeln!(text, "      <data key=\"{domain}-{name}\">{}</data>", escape(value));
    }
}

fn take(members: &mut Map<String, Value>, name: &str) -> String {
    members.remove(name).map(|value| flat(&value)).unwrap_or_default()
}
