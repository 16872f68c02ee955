//! XML with bounds and places: a pull reader that reads past a DOCTYPE (nothing is fetched, nothing it defines is expanded),
//! refuses entities that are neither XML's nor HTML's and deep nesting. Names come without their namespace prefix.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::{EscapeError, resolve_predefined_entity};
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::error::ImportError;
use super::source_position::{LineIndex, SourcePosition};
use super::{DEPTH_MAX, XML_ATTRIBUTES_MAX};

/// One step through a document.
pub(super) enum XmlEvent {
    /// An element begins. An empty one ends in the next step.
    Open(Tag),
    /// A piece of text; one text may come in several.
    Text(String),
    /// The innermost element ends.
    Close,
}

/// The beginning of an element.
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) line: usize,
}

impl Tag {
    /// The value of an attribute.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of an attribute that must be there.
    pub(super) fn need(&self, name: &'static str) -> Result<&str, ImportError> {
        let missing =
            || ImportError::Missing { at: SourcePosition::line(self.line).of(format!("<{}>", self.name)), field: name };
        self.get(name).ok_or_else(missing)
    }
}

/// Walks through a document.
pub(super) struct Xml<'a> {
    reader: Reader<&'a [u8]>,
    lines: LineIndex<'a>,
    depth: usize,
    rooted: bool,
}

impl<'a> Xml<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_end_names = true;
        Self { reader, lines: LineIndex::new(text), depth: 0, rooted: false }
    }

    /// The next step; `None` at the end.
    pub(super) fn step(&mut self) -> Result<Option<XmlEvent>, ImportError> {
        loop {
            let line = self.line();
            let event = self
                .reader
                .read_event()
                .map_err(|problem| ImportError::Xml { at: SourcePosition::line(line), problem: Box::new(problem) })?;
            match event {
                Event::Start(start) | Event::Empty(start) => return self.open(&start, line).map(Some),
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Some(XmlEvent::Close));
                }
                Event::Text(text) if self.depth == 0 => outside(&text.xml10_content(), line)?,
                Event::Text(text) => return Ok(Some(XmlEvent::Text(text.xml10_content().into_owned()))),
                Event::CData(text) => return Ok(Some(XmlEvent::Text(text.xml10_content().into_owned()))),
                Event::GeneralRef(reference) => {
                    return resolve(&reference, line).map(|text| Some(XmlEvent::Text(text)));
                }
                Event::DocType(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => return self.end(line).map(|()| None),
            }
        }
    }

    /// The line that the reader has come to.
    pub(super) fn line(&mut self) -> usize {
        self.lines.at(usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX))
    }

    fn open(&mut self, start: &BytesStart<'_>, line: usize) -> Result<XmlEvent, ImportError> {
        self.depth += 1;
        self.rooted = true;
        if self.depth > DEPTH_MAX {
            return Err(ImportError::TooDeep { at: SourcePosition::line(line), max: DEPTH_MAX });
        }
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let at = || SourcePosition::line(line);
            let attribute = attribute.map_err(|problem| xml_error(at(), problem.into()))?;
            if attributes.len() >= XML_ATTRIBUTES_MAX {
                return Err(ImportError::TooMany {
                    at: at(),
                    what: "attributes of an element",
                    max: XML_ATTRIBUTES_MAX,
                });
            }
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|problem| xml_error(at(), problem))?;
            attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(XmlEvent::Open(Tag { name: start.local_name().as_ref().to_owned(), attributes, line }))
    }

    fn end(&self, line: usize) -> Result<(), ImportError> {
        if self.depth == 0 && self.rooted {
            return Ok(());
        }
        let expected = if self.rooted { "the end of an element" } else { "an element" };
        Err(ImportError::Syntax { at: SourcePosition::line(line), expected, found: "the end of the file".to_owned() })
    }
}

/// Only blanks may stand outside the root element.
fn outside(text: &str, line: usize) -> Result<(), ImportError> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let found = super::source_position::excerpt(text.trim());
    Err(ImportError::Syntax { at: SourcePosition::line(line), expected: "an element", found })
}

fn xml_error(at: SourcePosition, problem: quick_xml::Error) -> ImportError {
    match problem {
        quick_xml::Error::Escape(EscapeError::UnrecognizedEntity(_, name)) => ImportError::Entity { at, name },
        problem => ImportError::Xml { at, problem: Box::new(problem) },
    }
}

/// A character number, or an entity that is predefined in XML (XML 1.0 §4.6) or HTML.
fn resolve(reference: &BytesRef<'_>, line: usize) -> Result<String, ImportError> {
    let at = SourcePosition::line(line);
    if let Some(character) = reference.resolve_char_ref().map_err(|problem| xml_error(at.clone(), problem))? {
        return Ok(character.to_string());
    }
    let name = reference.xml10_content();
    let text = resolve_predefined_entity(&name).map(str::to_owned);
    text.ok_or_else(|| ImportError::Entity { at, name: super::source_position::excerpt(&name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(text: &str) -> Result<String, ImportError> {
        let mut xml = Xml::new(text);
        let mut seen = String::new();
        while let Some(step) = xml.step()? {
            match step {
                XmlEvent::Open(tag) => seen += &format!("<{}@{}{:?}", tag.name, tag.line, tag.attributes),
                XmlEvent::Text(text) => seen += &text,
                XmlEvent::Close => seen += ">",
            }
        }
        Ok(seen)
    }

    #[test]
    fn references_are_resolved_and_prefixes_cut() {
        let text = "<?xml version='1.0'?><!-- c -->\n<y:a b='1 &lt; &#50;'>x&amp;&#x41;<![CDATA[<&>]]><c/></y:a>";
        assert_eq!(walk(text).unwrap(), "<a@2[(\"b\", \"1 < 2\")]x&A<&><c@2[]>>");
    }

    #[test]
    fn a_doctype_is_read_past() {
        for doctype in [
            "<!DOCTYPE a SYSTEM \"http://nowhere.invalid/a.dtd\">",
            "<!DOCTYPE a [<!ELEMENT a ANY><!ENTITY b \"c\"><!ATTLIST a d CDATA 'e'>]>",
            "<!DOCTYPE a PUBLIC '-//x//y' 'a.dtd' [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]>",
        ] {
            assert_eq!(
                walk(&format!("<?xml version='1.0'?>{doctype}<a>x&eacute;</a>")).unwrap(),
                "<a@1[]xé>",
                "{doctype}"
            );
        }
    }

    #[test]
    fn dangerous_and_broken_documents_are_refused() {
        assert!(matches!(walk("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), Err(ImportError::Entity { .. })));
        assert!(matches!(walk("<a>\n&b;</a>"), Err(ImportError::Entity { name, .. }) if name == "b"));
        assert!(matches!(walk("<a c='&b;'/>"), Err(ImportError::Entity { name, .. }) if name == "b"));
        assert!(matches!(walk(&"<a>".repeat(65)), Err(ImportError::TooDeep { .. })));
        for text in ["", "<a>", "<a></b>", "</a>", "<a b=1 b=2/>", "<a", "<a>&#xFFFFFFFF;</a>", "text", "<a/>text"] {
            assert!(walk(text).is_err(), "{text}");
        }
        assert_eq!(walk("<a>\n\n<b></c></a>").unwrap_err().line(), Some(3));
    }
}
