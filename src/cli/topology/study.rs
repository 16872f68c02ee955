//! `watermaster topology failure-study`, `headroom` and `availability`: what failures would do, how much still fits, and when.

use clap::Args;

use crate::cli::connection::{ConnectionError, ServiceConnection};
use crate::cli::output::{bandwidth, count, grid, lines, percent, rate, table};
use api::availability::{AvailabilityRequest, TimeWindow};
use api::failure_study::{
    FailureSetName, FailureStudyAnswer, FailureStudyRequest, GrowthDocument, SubjectDocument, WorstCaseDocument,
};
use api::instant::Instant;
use api::path::HeadroomAnswer;

/// How many links are shown to people, the worst first.
const LINKS_SHOWN: usize = 10;

/// Arguments of `topology failure-study`.
#[derive(Args, Clone, Debug)]
pub struct FailureStudyArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    /// The topology
    name: String,
    /// What fails: links, nodes, srlgs or pairs
    #[arg(long, default_value = "links")]
    scenarios: FailureSetName,
    /// By how much traffic grows first, in parts per million; several, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "0")]
    growth_ppm: Vec<u64>,
}

/// Arguments of `topology headroom`.
#[derive(Args, Clone, Debug)]
pub struct HeadroomArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    /// The topology
    name: String,
    /// The node where the path begins
    from: String,
    /// The node where the path ends
    to: String,
    /// The class type, 0 (lowest) to 7
    #[arg(long, default_value_t = 0)]
    class_type: u8,
}

/// Arguments of `topology availability`.
#[derive(Args, Clone, Debug)]
pub struct AvailabilityArgs {
    #[command(flatten)]
    connection: ServiceConnection,
    /// The topology
    name: String,
    /// The node where traffic enters
    from: String,
    /// The node where traffic leaves
    to: String,
    /// How much, such as 500M
    #[arg(long, value_parser = bandwidth)]
    bandwidth: u64,
    /// The class type, 0 (lowest) to 7
    #[arg(long, default_value_t = 0)]
    class_type: u8,
    /// From when on, RFC 3339
    #[arg(long)]
    not_before: Instant,
    /// Until when at the latest, RFC 3339
    #[arg(long)]
    not_after: Instant,
    /// How long, in milliseconds
    #[arg(long)]
    duration_ms: u64,
    /// In both directions, on the same links back
    #[arg(long)]
    bidirectional: bool,
}

pub(super) fn failure_study(args: &FailureStudyArgs) -> Result<(), ConnectionError> {
    let request =
        FailureStudyRequest { scenarios: args.scenarios, growth_ppm: args.growth_ppm.clone(), listed_max: None };
    let study = args.connection.wait(async |client| Ok(client.failure_study_create(&args.name, &request).await?))?;
    args.connection.show(&study, || text(&study))
}

/// The failures that end an allocation, and the links that are fullest in their worst case.
fn text(study: &FailureStudyAnswer) -> String {
    let growths = study.growths.iter().map(|growth| {
        let head = format!(
            "growth {}: {}, {} not served, {} with a loss\n",
            percent(u64::from(growth.growth_ppm)),
            count(growth.scenarios.len(), "failure"),
            growth.unserved.count,
            growth.scenarios.iter().filter(|one| one.lost.count > 0).count(),
        );
        head + &losses(growth) + &worst_links(growth)
    });
    let left_out = study.stopped_by.map(|stop| format!("{} failures left out: {stop}\n", study.scenarios_left_out));
    let first_break = study.first_break_ppm.map_or("nothing breaks\n".to_owned(), |ppm| {
        format!("the first growth at which something breaks is {}\n", percent(u64::from(ppm)))
    });
    growths.collect::<String>() + &left_out.unwrap_or_default() + &first_break
}

fn losses(growth: &GrowthDocument) -> String {
    let rows: Vec<Vec<String>> = (growth.scenarios.iter().filter(|one| one.lost.count > 0))
        .map(|one| {
            let names = one.lost.allocations.iter().map(|lost| lost.name.as_ref().unwrap_or(&lost.id).as_str());
            vec![
                subject(&one.subject),
                one.rerouted.count.to_string(),
                one.lost.count.to_string(),
                rate(one.lost.bandwidth_bps),
                names.take(5).collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    if rows.is_empty() { String::new() } else { grid(&["FAILURE", "REROUTED", "LOST", "BANDWIDTH", "FIRST"], &rows) }
}

fn worst_links(growth: &GrowthDocument) -> String {
    let worst = growth.links.get(..LINKS_SHOWN).unwrap_or(&growth.links);
    table::<WorstCaseDocument>(
        &[
            ("LINK", |one| one.link.clone()),
            ("NOW", |one| percent(one.before_ppm)),
            ("WORST", |one| percent(one.worst_ppm)),
            ("CAUSE", |one| one.cause.as_ref().map(subject).unwrap_or_default()),
        ],
        worst,
    )
}

fn subject(subject: &SubjectDocument) -> String {
    match (&subject.node, subject.srlg) {
        (Some(node), _) => format!("node {node}"),
        (None, Some(group)) => format!("risk group {group}"),
        (None, None) => subject.links.join(" and "),
    }
}

pub(super) fn headroom(args: &HeadroomArgs) -> Result<(), ConnectionError> {
    let HeadroomArgs { connection, name, from, to, class_type } = args;
    let ask = async |client: api::client::Client| Ok(client.headroom_get(name, (from, to), *class_type).await?);
    let found = connection.wait(ask)?;
    connection.show(&found, || {
        lines::<HeadroomAnswer>(
            &[
                ("FREE", |one| rate(one.headroom.free_bps)),
                ("WITH MOVES", |one| rate(one.headroom.with_moves_bps)),
                ("PREEMPTING", |one| rate(one.headroom.with_preemption_bps)),
            ],
            &found,
        )
    })
}

pub(super) fn availability(args: &AvailabilityArgs) -> Result<(), ConnectionError> {
    let AvailabilityArgs { connection, name, .. } = args;
    let request = AvailabilityRequest {
        from: args.from.clone(),
        to: args.to.clone(),
        class_type: Some(u64::from(args.class_type)),
        qos_level: None,
        bandwidth_bps: args.bandwidth,
        window: TimeWindow { from: args.not_before, to: args.not_after },
        duration_ms: args.duration_ms,
        setup_priority: None,
        hold_priority: None,
        constraints: None,
        bidirectional: args.bidirectional,
    };
    let found = connection.wait(async |client| Ok(client.availability_create(name, &request).await?))?;
    connection.show(&found, || {
        let rows: Vec<_> =
            found.windows.iter().map(|window| vec![window.from.to_string(), window.to.to_string()]).collect();
        let most = format!("over all of that time up to {}\n", rate(found.largest_bandwidth_bps));
        let until = found.searched_until.map(|at| format!("starts after {at} were not looked at\n"));
        let windows = if rows.is_empty() { "never\n".to_owned() } else { grid(&["FROM", "TO"], &rows) };
        windows + &most + &until.unwrap_or_default()
    })
}
