//! Topology files without a service: check, convert and compare them.
//! Reports go to standard output; what is converted goes there too, unless `--out` names a file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::connection::ConnectionError;
use api::topology::{MissingCapacity, TopologyFormat, TopologyReport};
use formats::{ExportError, INPUT_MAX_BYTES, ImportError, Imported, ReadOptions};
use kernel::units::Bandwidth;

/// How a topology file is read.
#[derive(Args, Clone, Debug)]
pub struct ReadArgs {
    /// The topology file; `-` is standard input. May be compressed with gzip
    pub file: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub how: ReadHow,
}

/// How a topology file is read, whichever it is.
#[derive(Args, Clone, Debug)]
pub struct ReadHow {
    /// The format (native, graphml, gml, sndlib-xml, sndlib, rfc8345, node-link, adjacency, cytoscape, repetita, csv);
    /// recognised by the content if not given
    #[arg(long)]
    pub format: Option<TopologyFormat>,
    /// Which network of a file that holds several (RFC 8345, GraphML, GML)
    #[arg(long)]
    pub network: Option<String>,
    /// The capacity of links that have none, in bit/s
    #[arg(long, default_value_t = formats::DEFAULT_CAPACITY.as_bps(), value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    pub default_capacity_bps: u64,
    /// What becomes of links that have no capacity: default (they get the default capacity), drop, or error
    #[arg(long, default_value_t = MissingCapacity::Default)]
    pub on_missing_capacity: MissingCapacity,
}

/// Arguments of `topology check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// How to read the file.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Fail if anything was assumed or left out, or there is a warning
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `topology diff`.
#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// The one topology file; `-` is standard input
    pub before: PathBuf,
    /// The other
    pub after: PathBuf,
    /// How both are read.
    #[command(flatten)]
    pub how: ReadHow,
    /// Print the differences as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `topology convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// How to read the file.
    #[command(flatten)]
    pub read: ReadArgs,
    /// The format to write: native, graphml, node-link or rfc8345
    #[arg(long)]
    pub to: TopologyFormat,
    /// The file to write; standard output if not given
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Why a topology file could not be checked or converted.
#[derive(Debug, thiserror::Error)]
pub enum TopologyCommandError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The file is no topology.
    #[error("{}: {source}", path.display())]
    Import {
        path: PathBuf,
        /// Why, and where in it.
        source: Box<ImportError>,
    },
    /// `--strict`, and the file does not say everything.
    #[error("{}: {assumptions} assumptions and {warnings} warnings", path.display())]
    NotStrict {
        path: PathBuf,
        /// How many kinds of values were assumed.
        assumptions: usize,
        /// How many warnings there are.
        warnings: usize,
    },
    /// Two topologies are not the same.
    #[error("the topologies differ: {count} differences")]
    Differ { count: usize },
    /// The format is only read.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The service refuses, or is not there.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The result cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        source: io::Error,
    },
}

pub(super) fn topology_check(args: &CheckArgs, out: &mut impl Write) -> Result<(), TopologyCommandError> {
    let report = import(&args.read.file, &args.read.how)?.report;
    let text = if args.json { format!("{:#}\n", serde_json::json!(report)) } else { describe(&report) };
    write_all(out, Path::new("standard output"), &text)?;
    let (assumptions, warnings) =
        (formats::assumptions(&report).len(), report.warnings.len() + report.warnings_omitted);
    if args.strict && assumptions + warnings > 0 {
        return Err(TopologyCommandError::NotStrict { path: args.read.file.clone(), assumptions, warnings });
    }
    Ok(())
}

pub(super) fn topology_convert(args: &ConvertArgs, out: &mut impl Write) -> Result<(), TopologyCommandError> {
    let text = formats::write(&import(&args.read.file, &args.read.how)?.topology, args.to)?;
    let Some(path) = &args.out else { return write_all(out, Path::new("standard output"), &text) };
    let mut file = File::create(path).map_err(|source| TopologyCommandError::Write { path: path.clone(), source })?;
    write_all(&mut file, path, &text)
}

/// As diff(1): nothing is printed where nothing differs, and the exit status tells.
pub(super) fn topology_diff(args: &DiffArgs, out: &mut impl Write) -> Result<(), TopologyCommandError> {
    let [before, after] = [&args.before, &args.after].map(|file| import(file, &args.how));
    let found = formats::diff::differences(&before?.topology, &after?.topology);
    let text = match args.json {
        true => format!("{:#}\n", serde_json::json!(found)),
        false => found.iter().map(|difference| format!("{difference}\n")).collect(),
    };
    write_all(out, Path::new("standard output"), &text)?;
    if found.is_empty() { Ok(()) } else { Err(TopologyCommandError::Differ { count: found.len() }) }
}

fn import(file: &Path, how: &ReadHow) -> Result<Imported, TopologyCommandError> {
    let path = || file.to_owned();
    let bytes = read_file(file).map_err(|source| TopologyCommandError::Read { path: path(), source })?;
    let options = ReadOptions {
        format: how.format,
        default_capacity: Bandwidth::saturating_from_bps(how.default_capacity_bps),
        on_missing_capacity: how.on_missing_capacity,
        network: how.network.clone(),
    };
    formats::read(&bytes, &options)
        .map_err(|source| TopologyCommandError::Import { path: path(), source: Box::new(source) })
}

/// The bytes of a file, one more than are allowed at the most: the reader says that there are too many.
pub(in crate::cli) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let input: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    let mut bytes = Vec::new();
    input.take(INPUT_MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write_all(out: &mut impl Write, path: &Path, text: &str) -> Result<(), TopologyCommandError> {
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| TopologyCommandError::Write { path: path.to_owned(), source })
}

fn describe(report: &TopologyReport) -> String {
    let capacities = report.capacity_from.iter().map(|(source, count)| format!("{source} {count}"));
    let assumed = formats::assumptions(report);
    let mut lines = vec![
        format!("format      {}", report.format),
        format!("nodes       {}", report.nodes),
        format!("links       {} (each way counted)", report.links),
        format!("islands     {}", report.islands),
        format!("capacities  {}", capacities.collect::<Vec<_>>().join(", ")),
        format!("assumed     {}", assumed.len()),
    ];
    lines.extend(assumed.iter().map(|assumed| format!("  {assumed}")));
    lines.push(format!("warnings    {}", report.warnings.len() + report.warnings_omitted));
    lines.extend(report.warnings.iter().map(|warning| format!("  {warning}")));
    if report.warnings_omitted > 0 {
        lines.push(format!("  and {} more", report.warnings_omitted));
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    enum Program {
        Check(CheckArgs),
        Convert(ConvertArgs),
        Diff(DiffArgs),
    }

    fn output(args: &[&str]) -> Result<String, TopologyCommandError> {
        let program = Program::try_parse_from([&["topology"], args].concat()).unwrap();
        let mut out = Vec::new();
        match &program {
            Program::Check(args) => topology_check(args, &mut out)?,
            Program::Convert(args) => topology_convert(args, &mut out)?,
            Program::Diff(args) => topology_diff(args, &mut out)?,
        }
        Ok(String::from_utf8(out).unwrap())
    }

    fn shipped(name: &str) -> String {
        format!("{}/topologies/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn check_reports_in_words_or_json() {
        let text = output(&["check", &shipped("abilene.json")]).unwrap();
        assert!(text.contains("nodes       11\nlinks       28 (each way counted)"), "{text}");
        assert!(text.contains("capacities  given 28\n"), "{text}");
        assert!(text.contains("assumed     1\n  28 delays: 4.9 µs a kilometre\n"), "{text}");
        let json = output(&["check", "--json", &shipped("abilene.json")]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["capacity_from"]["given"], 28);
        assert_eq!(json["format"], "native");
    }

    #[test]
    fn convert_writes_what_check_reads() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("ring.graphml");
        let out = out.to_str().unwrap();
        assert_eq!(output(&["convert", &shipped("ring.json"), "--to", "graphml", "--out", out]).unwrap(), "");
        assert!(
            output(&["check", out, "--format", "graphml"]).unwrap().contains("format      graphml\nnodes       4\n")
        );
        let error = output(&["convert", &shipped("ring.json"), "--to", "gml"]).unwrap_err();
        assert!(matches!(error, TopologyCommandError::Export(_)), "{error}");
    }

    #[test]
    fn strict_fails_on_what_was_assumed_or_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let whole = output(&["convert", &shipped("abilene.json"), "--to", "native"]).unwrap();
        let check = |text: &str| {
            let path = folder.path().join("network");
            std::fs::write(&path, text).unwrap();
            output(&["check", "--strict", path.to_str().unwrap()])
        };
        assert!(check(&whole).unwrap().contains("assumed     0\nwarnings    0\n"));
        let error = check("source,target\na,b\n").unwrap_err();
        assert!(matches!(error, TopologyCommandError::NotStrict { assumptions: 3, warnings: 1, .. }), "{error}");
    }

    #[test]
    fn diff_is_silent_where_nothing_differs() {
        let folder = tempfile::tempdir().unwrap();
        let (before, after) = (shipped("ring.json"), folder.path().join("ring.graphml"));
        let after = after.to_str().unwrap();
        output(&["convert", &before, "--to", "graphml", "--out", after]).unwrap();
        assert_eq!(output(&["diff", &before, after]).unwrap(), "");
        let error = output(&["diff", &before, &shipped("abilene.json")]).unwrap_err();
        assert!(matches!(error, TopologyCommandError::Differ { count } if count > 20), "{error}");
    }

    #[test]
    fn errors_name_the_file_and_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        std::fs::write(&path, "{\"nodes\": [\n{\"id\": 1}]}").unwrap();
        let error = output(&["check", path.to_str().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("bad.json: line 2, column 8, nodes[0].id: invalid type"), "{error}");
        assert!(matches!(output(&["check", "/nowhere"]), Err(TopologyCommandError::Read { .. })));
    }
}
