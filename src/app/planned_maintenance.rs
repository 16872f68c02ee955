//! Planned maintenance comes and goes: shortly before it begins its links go into maintenance, so that what has another path
//! takes it; when it is over, links that are still in maintenance are in service again, and it is forgotten. Each look starts from
//! what is planned and from how the links are, so that it does not matter which instance looks, or how often: a change that another
//! has made meanwhile is not made again.

use std::time::Duration;

use tokio::time::sleep;

use super::{App, SubmitError};
use kernel::command::LinkChange;
use kernel::id::Name;
use kernel::maintenance::Maintenance;
use kernel::state::Network;
use kernel::topology::LinkState;
use kernel::units::Millis;
use kernel::{Command, State};

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many links change state at once.
pub(super) const LINKS_AT_ONCE_MAX: usize = 256;

/// Takes links out of service `lead` before their maintenance begins, and puts them back into service.
pub(super) async fn keep_plans(app: App, lead: Duration) {
    let stop = app.stopping();
    let lead_ms = u64::try_from(lead.as_millis()).unwrap_or(u64::MAX);
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let commands = due(&app.state(), app.now(), lead_ms);
        if commands.is_empty() {
            continue;
        }
        match app.submit_due(commands).await {
            Ok(_) => {}
            Err(SubmitError::Stopping) => return,
            Err(error) => tracing::warn!(%error, "planned maintenance could not begin or end yet"),
        }
    }
}

/// What puts maintenance into effect that begins within `lead_ms`, and ends what is over.
pub(super) fn due(state: &State, now: Millis, lead_ms: u64) -> Vec<Command> {
    let mut commands = vec![];
    for (name, network) in state.networks().filter(|(_, network)| network.maintenances().len() > 0) {
        let is_on = |one: &Maintenance| one.starts_at.0 <= now.0.saturating_add(lead_ms) && now < one.ends_at;
        let change = |link: &Name, (expected, state), until| Command::ChangeLink {
            topology: name.clone(),
            link: link.clone(),
            change: LinkChange { state: Some(state), expected: Some(expected), until, ..LinkChange::default() },
        };
        for maintenance in network.maintenances().filter(|one| is_on(one)) {
            let up = maintenance.links.iter().filter(|link| is_in(network, link, LinkState::Up));
            commands.extend(
                up.map(|link| change(link, (LinkState::Up, LinkState::Maintenance), Some(maintenance.ends_at))),
            );
        }
        for maintenance in network.maintenances().filter(|one| one.ends_at <= now) {
            let is_free =
                |link: &&Name| !network.maintenances().any(|other| is_on(other) && other.links.contains(link));
            let drained = maintenance.links.iter().filter(|link| is_in(network, link, LinkState::Maintenance));
            let back = drained.filter(is_free);
            commands.extend(back.map(|link| change(link, (LinkState::Maintenance, LinkState::Up), None)));
            commands.push(Command::EndMaintenance { topology: name.clone(), id: maintenance.id });
        }
    }
    // What is left is due at the next look.
    commands.truncate(LINKS_AT_ONCE_MAX);
    commands
}

fn is_in(network: &Network, link: &Name, state: LinkState) -> bool {
    let topology = network.topology();
    topology.link_named(link.as_str()).and_then(|ix| topology.link(ix)).is_some_and(|link| link.state == state)
}
