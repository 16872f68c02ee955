//! `watermaster topology check F` and `watermaster topology convert F --to FORMAT`: topology files without a server; and
//! `watermaster topology put NAME F` and `watermaster topology list` with one.
//! Reports go to standard output; what is converted goes there too, unless `--out` names a file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::allocation::effect;
use super::connection::{ConnectionError, PAGE, ServiceConnection, count, effects, table};
use api::client::Upload;
use api::topology::{MissingCapacity, TopologyFormat, TopologyReport, TopologySummary};
use formats::{ExportError, INPUT_MAX_BYTES, ImportError, Imported, ReadOptions};
use kernel::units::Bandwidth;

/// What to do with a topology file.
#[derive(Subcommand, Clone, Debug)]
pub enum TopologyCommand {
    /// Read a topology file of any supported format and report what is in it and what was assumed
    Check(CheckArgs),
    /// Read a topology file of any supported format and write it in another
    Convert(ConvertArgs),
    /// Upload a topology to a running service
    Put(PutArgs),
    /// List the topologies of a running service
    List(ListArgs),
}

/// How a topology file is read.
#[derive(Args, Clone, Debug)]
pub struct ReadArgs {
    /// The topology file; `-` is standard input
    pub file: PathBuf,
    /// Its format (native, graphml, gml, sndlib-xml, sndlib, rfc8345, node-link, repetita); recognised by its content if not given
    #[arg(long)]
    pub format: Option<TopologyFormat>,
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

/// Arguments of `topology put`.
#[derive(Args, Clone, Debug)]
pub struct PutArgs {
    /// Which service.
    #[command(flatten)]
    connection: ServiceConnection,
    /// What it is to be called
    pub name: String,
    /// How to read the file.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Re-route or end allocations that do not fit, instead of refusing the upload
    #[arg(long)]
    pub evict: bool,
    /// The revision that is replaced; whichever is there if not given
    #[arg(long)]
    pub revision: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `topology list`.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Which service.
    #[command(flatten)]
    connection: ServiceConnection,
}

/// Why a topology file could not be checked or converted.
#[derive(Debug, thiserror::Error)]
pub enum TopologyCommandError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no topology.
    #[error("{}: {source}", path.display())]
    Import {
        /// Which file.
        path: PathBuf,
        /// Why, and where in it.
        source: Box<ImportError>,
    },
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
        /// Why.
        source: io::Error,
    },
}

/// Does what the command says, on standard output.
///
/// # Errors
/// When the file cannot be read, is no topology, or the result cannot be written.
pub fn run(command: &TopologyCommand) -> Result<(), TopologyCommandError> {
    let mut stdout = io::stdout().lock();
    match command {
        TopologyCommand::Check(args) => topology_check(args, &mut stdout),
        TopologyCommand::Convert(args) => topology_convert(args, &mut stdout),
        TopologyCommand::Put(args) => {
            drop(stdout);
            topology_put(args)
        }
        TopologyCommand::List(args) => {
            drop(stdout);
            Ok(topology_list(args)?)
        }
    }
}

fn topology_put(args: &PutArgs) -> Result<(), TopologyCommandError> {
    let path = || args.read.file.clone();
    let file = read_file(&args.read.file).map_err(|source| TopologyCommandError::Read { path: path(), source })?;
    let how = Upload {
        format: args.read.format,
        default_capacity_bps: Some(args.read.default_capacity_bps),
        on_missing_capacity: Some(args.read.on_missing_capacity),
        evict: args.evict,
        revision: args.revision.clone(),
        effect: effect(args.dry_run),
    };
    let report = args.connection.wait(async |client| Ok(client.topology_put(&args.name, file, &how).await?))?;
    args.connection.show(&report, || {
        let word = if args.dry_run { "would be put" } else { "put" };
        let head = format!(
            "{word}  {} ({}): {}, {}\n",
            report.topology,
            report.report.format,
            count(report.report.nodes, "node"),
            count(report.report.links, "link")
        );
        let warnings = report.report.warnings.iter().map(|warning| format!("  {warning}\n"));
        head + &effects(&report.effects) + &warnings.collect::<String>()
    })?;
    Ok(())
}

fn topology_list(args: &ListArgs) -> Result<(), ConnectionError> {
    let found = args.connection.wait(async |client| {
        let mut found: Vec<TopologySummary> = vec![];
        let mut after: Option<String> = None;
        loop {
            let page = client.topology_list(PAGE, after.as_deref()).await?;
            found.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    })?;
    args.connection.show(&found, || {
        let row = |one: &TopologySummary| {
            let counts = [one.nodes, one.links, one.allocations].map(|count| count.to_string());
            [vec![one.topology.clone(), one.model.to_string()], counts.to_vec(), vec![one.revision.clone()]].concat()
        };
        let rows: Vec<_> = found.iter().map(row).collect();
        table(&["TOPOLOGY", "MODEL", "NODES", "LINKS", "ALLOCATIONS", "REVISION"], &rows)
    })
}

fn topology_check(args: &CheckArgs, out: &mut impl Write) -> Result<(), TopologyCommandError> {
    let report = import(&args.read)?.report;
    let text = if args.json { format!("{:#}\n", serde_json::json!(report)) } else { describe(&report) };
    write_all(out, Path::new("standard output"), &text)
}

fn topology_convert(args: &ConvertArgs, out: &mut impl Write) -> Result<(), TopologyCommandError> {
    let text = formats::write(&import(&args.read)?.topology, args.to)?;
    let Some(path) = &args.out else { return write_all(out, Path::new("standard output"), &text) };
    let mut file = File::create(path).map_err(|source| TopologyCommandError::Write { path: path.clone(), source })?;
    write_all(&mut file, path, &text)
}

fn import(args: &ReadArgs) -> Result<Imported, TopologyCommandError> {
    let path = || args.file.clone();
    let bytes = read_file(&args.file).map_err(|source| TopologyCommandError::Read { path: path(), source })?;
    let options = ReadOptions {
        format: args.format,
        default_capacity: Bandwidth::saturating_from_bps(args.default_capacity_bps),
        on_missing_capacity: args.on_missing_capacity,
    };
    formats::read(&bytes, &options)
        .map_err(|source| TopologyCommandError::Import { path: path(), source: Box::new(source) })
}

/// The bytes of a file, one more than are allowed at the most: the reader says that there are too many.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
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
    let mut lines = vec![
        format!("format      {}", report.format),
        format!("nodes       {}", report.nodes),
        format!("links       {} (each way counted)", report.links),
        format!("islands     {}", report.islands),
        format!("capacities  {}", capacities.collect::<Vec<_>>().join(", ")),
        format!("assumed     {} delays, {} TE metrics", report.delays_assumed, report.te_metrics_assumed),
        format!("left out    {} edges", report.dropped_links),
        format!("warnings    {}", report.warnings.len() + report.warnings_omitted),
    ];
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
    struct Program {
        #[command(subcommand)]
        command: TopologyCommand,
    }

    fn output(args: &[&str]) -> Result<String, TopologyCommandError> {
        let program = Program::try_parse_from([&["topology"], args].concat()).unwrap();
        let mut out = Vec::new();
        match &program.command {
            TopologyCommand::Check(args) => topology_check(args, &mut out)?,
            TopologyCommand::Convert(args) => topology_convert(args, &mut out)?,
            TopologyCommand::Put(_) | TopologyCommand::List(_) => panic!("these ask a service"),
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
    fn errors_name_the_file_and_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        std::fs::write(&path, "{\"nodes\": [\n{\"id\": 1}]}").unwrap();
        let error = output(&["check", path.to_str().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("bad.json: line 2, column 8, nodes[0].id: invalid type"), "{error}");
        assert!(matches!(output(&["check", "/nowhere"]), Err(TopologyCommandError::Read { .. })));
    }
}
