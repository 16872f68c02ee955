//! The formats that are read, and their names on the command line and in queries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A topology file format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = TopologyFormat)]
pub enum Format {
    /// Watermaster's own JSON.
    #[serde(rename = "native")]
    Native,
    /// GraphML, as of the Topology Zoo, networkx and yEd.
    #[serde(rename = "graphml")]
    GraphMl,
    /// GML (Graph Modelling Language), as of the Topology Zoo and networkx.
    #[serde(rename = "gml")]
    Gml,
    /// SNDlib's XML.
    #[serde(rename = "sndlib-xml")]
    SndlibXml,
    /// SNDlib's native text format.
    #[serde(rename = "sndlib")]
    SndlibNative,
    /// RFC 8345 network topology JSON, with the TE attributes of RFC 8795.
    #[serde(rename = "rfc8345")]
    Rfc8345,
    /// networkx node-link JSON.
    #[serde(rename = "node-link")]
    NodeLink,
    /// REPETITA's `.graph` text format.
    #[serde(rename = "repetita")]
    Repetita,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::Native,
        Self::GraphMl,
        Self::Gml,
        Self::SndlibXml,
        Self::SndlibNative,
        Self::Rfc8345,
        Self::NodeLink,
        Self::Repetita,
    ];

    /// Its name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::GraphMl => "graphml",
            Self::Gml => "gml",
            Self::SndlibXml => "sndlib-xml",
            Self::SndlibNative => "sndlib",
            Self::Rfc8345 => "rfc8345",
            Self::NodeLink => "node-link",
            Self::Repetita => "repetita",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What becomes of links that have no capacity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingCapacity {
    /// They get the default capacity, and say so.
    #[default]
    Default,
    /// They are left out.
    Drop,
    /// The file is refused.
    Error,
}

impl MissingCapacity {
    const ALL: [Self; 3] = [Self::Default, Self::Drop, Self::Error];

    /// Its name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Drop => "drop",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for MissingCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is not one of those known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{word}' is not one of {known}")]
pub struct UnknownWord {
    /// The word.
    pub word: String,
    /// Those known, for people to read.
    pub known: &'static str,
}

impl FromStr for Format {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let known = "native, graphml, gml, sndlib-xml, sndlib, rfc8345, node-link, repetita";
        let found = Self::ALL.into_iter().find(|format| format.name() == word);
        found.ok_or_else(|| UnknownWord { word: word.to_owned(), known })
    }
}

impl FromStr for MissingCapacity {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == word);
        found.ok_or_else(|| UnknownWord { word: word.to_owned(), known: "default, drop, error" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_are_those_on_the_wire() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
            assert!("yaml".parse::<Format>().unwrap_err().known.contains(format.name()));
        }
        for policy in MissingCapacity::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
        }
    }
}
