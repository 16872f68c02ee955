//! `watermaster event tail`: what happens, as it happens.

use std::io::Write;

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection};
use api::client::Event;

/// The arguments of `watermaster event`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: EventCommand,
}

#[derive(Subcommand, Debug)]
enum EventCommand {
    /// Print what happens, until Ctrl-C; resumes where it broke off
    Tail {
        /// From after this event on; 0 is everything [default: from now on]
        #[arg(long)]
        after: Option<u64>,
        /// Of this topology
        #[arg(long)]
        topology: Option<String>,
        /// Stop after so many
        #[arg(long)]
        count: Option<u64>,
    },
}

/// Does what the command says.
///
/// # Errors
/// The service refuses, or was gone for too long.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let EventCommand::Tail { after, topology, count } = &arguments.command;
    arguments.connection.wait(async |client| {
        let mut events = client.events(*after, topology.clone());
        let mut told = 0_u64;
        while count.is_none_or(|count| told < count) {
            let event = events.next().await?;
            let mut out = std::io::stdout().lock();
            // One line each, also as JSON, so that it can be piped.
            if arguments.connection.json {
                serde_json::to_writer(&mut out, &event)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", line(&event))?;
            }
            out.flush()?;
            told += 1;
        }
        Ok(())
    })
}

fn line(event: &Event) -> String {
    let subject = event.data.get("allocation").or_else(|| event.data.get("demand")).unwrap_or(&event.data);
    let part = |name: &str| match subject.get(name)? {
        serde_json::Value::String(text) => Some(format!(" {name}={text}")),
        serde_json::Value::Number(number) => Some(format!(" {name}={number}")),
        _ => None,
    };
    let names = ["id", "topology", "ingress", "egress", "class_type", "bandwidth_bps", "nodes"];
    let reason = event.data.pointer("/denial/reason").and_then(|reason| reason.as_str());
    let displaced = event.data.get("displaced").and_then(|list| list.as_array()).map_or(0, Vec::len);
    let mut line = format!("{} {} {}", event.sequence, event.at, event.kind);
    line.extend(names.into_iter().filter_map(part));
    line.extend(reason.map(|reason| format!(" reason={reason}")));
    if displaced > 0 {
        line.push_str(&format!(" displaced={displaced}"));
    }
    line
}
