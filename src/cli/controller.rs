//! `watermaster controller list|show|put|delete|watch`: through whom a running service reaches switches.

use clap::{Args, Subcommand};

use super::connection::{ConnectionError, ServiceConnection, effect};
use super::event::{WatchArgs, events_watch};
use super::output::{Column, lines};
use api::client::{Client, PageRequest};
use api::controller::{
    ControllerDocument, ControllerDriver, ControllerRequest, ControllerRules, Policing, SwitchNumbering,
};
use api::event::EventData;

const COLUMNS: [Column<ControllerDocument>; 9] = [
    ("CONTROLLER", |one| one.settings.id.clone()),
    ("DRIVER", |one| one.settings.driver.to_string()),
    ("URL", |one| one.settings.url.clone().unwrap_or_default()),
    ("TOPOLOGY", |one| one.settings.topology.clone()),
    ("REACHABLE", |one| one.reachable.map_or("not asked yet", |is| if is { "yes" } else { "no" }).to_owned()),
    ("RULES", |one| format!("{} of {}", one.rules.installed, one.rules.intended)),
    ("DRIFTING", |one| one.rules.drifting.to_string()),
    ("UNSETTLED", |one| one.unsettled_allocations.to_string()),
    ("LAST ERROR", |one| one.last_error.clone().unwrap_or_default()),
];

/// The arguments of `watermaster controller`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    connection: ServiceConnection,
    #[command(subcommand)]
    command: ControllerCommand,
}

/// How the rules and meters of a controller are made.
#[derive(Args, Debug)]
struct RuleArgs {
    /// The smallest MPLS label; four for each flow [default: 100000]
    #[arg(long)]
    label_min: Option<u32>,
    /// The smallest id of a meter; one for each flow [default: 10001]
    #[arg(long)]
    meter_min: Option<u32>,
    /// The most living allocations with a flow [default: 190000]
    #[arg(long)]
    flows_max: Option<u32>,
    /// The first byte of every cookie, and of the id of every group [default: 87]
    #[arg(long)]
    cookie_tag: Option<u8>,
    /// The lowest priority of rules; the highest is 10001 above it [default: 20000]
    #[arg(long)]
    priority_min: Option<u16>,
    /// The burst of meters, as milliseconds of their rate [default: 1000]
    #[arg(long)]
    burst_ms: Option<u32>,
    /// Reservations hold the labels of packets from this size on, in bytes; without it labels come on top
    #[arg(long)]
    packet_bytes: Option<u16>,
    /// Put packets into the queue of their class
    #[arg(long)]
    queues: bool,
}

impl RuleArgs {
    fn numbering(&self) -> SwitchNumbering {
        let usual = SwitchNumbering::default();
        SwitchNumbering {
            label_min: self.label_min.unwrap_or(usual.label_min),
            meter_min: self.meter_min.unwrap_or(usual.meter_min),
            flows_max: self.flows_max.unwrap_or(usual.flows_max),
            cookie_tag: self.cookie_tag.unwrap_or(usual.cookie_tag),
            priority_min: self.priority_min.unwrap_or(usual.priority_min),
        }
    }

    fn policing(&self) -> Policing {
        let usual = Policing::default();
        Policing { burst_ms: self.burst_ms.unwrap_or(usual.burst_ms), packet_bytes: self.packet_bytes }
    }
}

#[derive(Subcommand, Debug)]
enum ControllerCommand {
    /// List controllers
    List {
        /// Sorted by this member, such as topology; with a minus the largest first
        #[arg(long, allow_hyphen_values = true)]
        sort: Option<String>,
    },
    /// Show one and what is known of it
    Show {
        /// Its name
        name: String,
    },
    /// Reach a topology's switches through a controller
    Put {
        /// What to call it
        name: String,
        /// The dialect that it speaks: ryu, onos or simulated
        #[arg(long)]
        driver: ControllerDriver,
        /// Where it is, such as http://127.0.0.1:8080; a simulated one has none
        #[arg(long)]
        url: Option<String>,
        /// Whose switches it has
        #[arg(long)]
        topology: String,
        #[command(flatten)]
        rules: RuleArgs,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete a controller, and its rules from the switches
    Delete {
        /// Its name
        name: String,
        /// Leave its rules on the switches
        #[arg(long)]
        leave_rules: bool,
        /// Only say whether it could be
        #[arg(long)]
        dry_run: bool,
    },
    /// Print what happens to controllers, until Ctrl-C
    Watch(WatchArgs),
}

/// Does what the command says.
///
/// # Errors
/// The service refuses or is not there.
pub fn run(arguments: &Arguments) -> Result<(), ConnectionError> {
    let connection = &arguments.connection;
    match &arguments.command {
        ControllerCommand::List { sort } => {
            connection.list(&COLUMNS, usize::MAX, sort.as_deref(), async |client: &Client, page: PageRequest<'_>| {
                Ok((client.controller_list(page.sort).await?.items, None))
            })
        }
        ControllerCommand::Show { name } => {
            connection.show_one(&COLUMNS, async |client| client.controller_get(name).await)
        }
        ControllerCommand::Put { name, driver, url, topology, rules, dry_run } => {
            let request = ControllerRequest {
                driver: *driver,
                url: url.clone(),
                topology: topology.clone(),
                numbering: rules.numbering(),
                policing: rules.policing(),
                queues: rules.queues,
            };
            let put = async |client: Client| Ok(client.controller_put(name, &request, effect(*dry_run)).await?);
            let done = connection.wait(put)?;
            let word = if *dry_run { "would be put\n" } else { "put\n" };
            connection.show(&done, || word.to_owned() + &lines(&COLUMNS, &done))
        }
        ControllerCommand::Delete { name, leave_rules, dry_run } => {
            let rules = if *leave_rules { ControllerRules::Leave } else { ControllerRules::Remove };
            let closing = connection
                .wait(async |client: Client| Ok(client.controller_delete(name, rules, effect(*dry_run)).await?))?;
            let (state, word) = match closing {
                Some(_) => ("closing", "is closing: its rules are still being removed from the switches"),
                None => ("deleted", if *dry_run { "would be deleted" } else { "deleted" }),
            };
            connection.show(&serde_json::json!({"id": name, "state": state, "dry_run": dry_run}), || {
                format!("{name} {word}\n")
            })
        }
        ControllerCommand::Watch(watch) => {
            let about_controllers = |data: &EventData| {
                matches!(
                    data,
                    EventData::ControllerPut { .. }
                        | EventData::ControllerLed { .. }
                        | EventData::ControllerDeleted { .. }
                )
            };
            events_watch(connection, watch, |event| about_controllers(&event.data))
        }
    }
}
