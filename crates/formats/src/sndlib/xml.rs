//! SNDlib's XML (sndlib.zib.de/network.xsd).

use super::{Coordinates, RawLink, RawNode, SndlibNetwork};
use crate::Format;
use crate::error::ImportError;
use crate::source_position::SourcePosition;
use crate::topology_builder::TopologyBuilder;
use crate::xml::{Tag, Xml, XmlEvent};

/// Reads a document.
pub(crate) fn read(text: &str) -> Result<TopologyBuilder, ImportError> {
    let mut xml = Xml::new(text);
    let mut reader =
        SndlibReader { network: SndlibNetwork::new(Format::SndlibXml), path: Vec::new(), text: String::new() };
    while let Some(step) = xml.step()? {
        match step {
            XmlEvent::Open(tag) => reader.open(tag)?,
            XmlEvent::Text(text) => reader.text.push_str(&text),
            XmlEvent::Close => reader.close(),
        }
    }
    reader.network.into_draft()
}

struct SndlibReader {
    network: SndlibNetwork,
    /// The names of the elements that have begun.
    path: Vec<String>,
    /// The text since the last element began.
    text: String,
}

impl SndlibReader {
    fn open(&mut self, tag: Tag) -> Result<(), ImportError> {
        if self.path.is_empty() && tag.name != "network" {
            let at = SourcePosition::line(tag.line);
            return Err(ImportError::Syntax { at, expected: "<network>", found: format!("<{}>", tag.name) });
        }
        match (self.parent(), tag.name.as_str()) {
            ("networkStructure", "nodes") => {
                self.network.coordinates = match tag.get("coordinatesType") {
                    Some("geographical") => Coordinates::Geographical,
                    Some("pixel") => Coordinates::Pixel,
                    _ => Coordinates::Unsaid,
                }
            }
            ("nodes", "node") => {
                let id = tag.need("id")?.to_owned();
                self.network.nodes.push(RawNode { id, line: tag.line, ..RawNode::default() });
            }
            ("links", "link") => {
                let id = tag.need("id")?.to_owned();
                self.network.links.push(RawLink { id, line: tag.line, ..RawLink::default() });
            }
            _ => {}
        }
        self.text.clear();
        self.path.push(tag.name);
        Ok(())
    }

    fn parent(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    fn close(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let (nodes, links) = (&mut self.network.nodes, &mut self.network.links);
        match path.as_slice() {
            ["network", "meta", "unit"] => self.network.unit = Some(text.to_owned()),
            ["network", "networkStructure", "nodes", "node", "coordinates", axis] => {
                if let Some(node) = nodes.last_mut() {
                    let coordinate = if *axis == "x" { &mut node.x } else { &mut node.y };
                    text.clone_into(coordinate);
                }
            }
            ["network", "networkStructure", "links", "link", rest @ ..] => {
                if let Some(link) = links.last_mut() {
                    set(link, rest, text);
                }
            }
            _ => {}
        }
        self.path.pop();
    }
}

fn set(link: &mut RawLink, path: &[&str], text: &str) {
    match path {
        ["source"] => text.clone_into(&mut link.source),
        ["target"] => text.clone_into(&mut link.target),
        ["routingCost"] => text.clone_into(&mut link.routing_cost),
        ["preInstalledModule", "capacity"] => text.clone_into(&mut link.pre_installed),
        ["additionalModules", "addModule", "capacity"] => link.modules.push(text.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadOptions;
    use kernel::topology::{CapacitySource, Position};

    const SMALL: &str = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>
<network xmlns=\"http://sndlib.zib.de/network\" version=\"1.0\"><meta><unit>MBITPERSEC</unit></meta>
<networkStructure><nodes coordinatesType=\"geographical\">
<node id=\"A\"><coordinates><x>8.5</x><y>47.25</y></coordinates></node><node id=\"B\"/></nodes><links>
<link id=\"L1\"><source>A</source><target>B</target><preInstalledModule><capacity>9920.0</capacity><cost>0</cost>
</preInstalledModule><additionalModules><addModule><capacity>40000</capacity></addModule></additionalModules></link>
<link id=\"L2\"><source>A</source><target>B</target><routingCost>7.0</routingCost><additionalModules><addModule>
<capacity>155.52</capacity></addModule><addModule><capacity>622.08</capacity></addModule></additionalModules></link>
</links></networkStructure><demands><demand id=\"D\"><source>A</source><target>B</target></demand></demands></network>";

    #[test]
    fn capacities_are_pre_installed_or_the_largest_module() {
        let imported = read(SMALL).unwrap().build(&ReadOptions::default()).unwrap();
        let link = |name| imported.topology.link(imported.topology.link_named(name).unwrap()).unwrap();
        assert_eq!((link("L1").capacity.as_bps(), link("L1").capacity_from), (9_920_000_000, CapacitySource::Given));
        assert_eq!((link("L2").capacity.as_bps(), link("L2").capacity_from), (622_080_000, CapacitySource::Module));
        assert_eq!((link("L2").te_metric, link("L2~").twin), (7, imported.topology.link_named("L2")));
        let (_, node) = imported.topology.nodes().next().unwrap();
        let place = Position::Geographic { latitude_udeg: 47_250_000, longitude_udeg: 8_500_000 };
        assert_eq!(node.position, Some(place));
        assert_eq!(imported.report.warnings, []);
    }

    #[test]
    fn links_must_have_ends_and_ids() {
        let error = read(&SMALL.replace("<link id=\"L2\">", "<link>")).err().unwrap();
        assert_eq!(error.line(), Some(7));
        let unended = read(&SMALL.replace("<target>B</target><pre", "<pre")).unwrap();
        assert!(matches!(unended.build(&ReadOptions::default()), Err(ImportError::UnknownNode { .. })));
    }
}
