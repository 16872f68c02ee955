//! The past of links: one over a time, and all of a topology at an instant.

use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{FromPath, FromQuery};
use super::problem::{BadRequest, InternalError, NotFound, Problem, Unavailable, Unprocessable};
use super::problem_catalogue;
use super::render::{self, instant, json};
use super::topology::unknown;
use crate::app::SampledTopology;
use crate::app::scalars::StoredName;
use api::instant::Instant;
use api::link_history::{HISTORY_POINTS_MAX, LinkHistoryAnswer, LinkHistoryPoint, LinkThen, TopologyHistoryAnswer};
use kernel::Refusal;
use kernel::units::Millis;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// The steps that are chosen from where none is said.
const STEPS_MS: [u64; 6] = [MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS];

/// Over which time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LinkHistoryQuery {
    /// When the time begins; absent: a day before its end.
    #[param(nullable = false, format = DateTime)]
    from: Option<String>,
    /// When the time is over; absent: now.
    #[param(nullable = false, format = DateTime)]
    to: Option<String>,
    /// How long a period is, in milliseconds: whole minutes, so many that there are at most 1,000 periods. Absent: a round
    /// time that gives some hundred.
    #[param(nullable = false, minimum = 60000)]
    step_ms: Option<u64>,
}

/// At which instant.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TopologyHistoryQuery {
    /// The instant; absent: now.
    #[param(nullable = false, format = DateTime)]
    at: Option<String>,
}

/// Says what was reserved on a link over a time.
///
/// Links are sampled each minute, on the minute, with what switches count on them where a controller tells that. Samples of a
/// topology of the same name that was deleted are left out. Samples are merged as they become older: the mean and the maximum of fifteen
/// minutes, and of six hours; how long each is kept is a setting of the service.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/links/{link}/history",
    tag = "topologies",
    summary = "Say what was reserved on a link over a time",
    params(
        ("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255),
        ("link" = String, Path, description = "Which", min_length = 1, max_length = 255),
        LinkHistoryQuery,
    ),
    responses(
        (status = 200, description = "What was reserved", body = LinkHistoryAnswer),
        BadRequest, NotFound, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn link_history(
    room: Room,
    FromPath(names): FromPath<(StoredName, StoredName)>,
    FromQuery(query): FromQuery<LinkHistoryQuery>,
) -> Result<Response, Problem> {
    let (StoredName(topology), StoredName(link)) = names;
    let created = room.app.read(|state| {
        let network = state.network(topology.as_str()).ok_or_else(|| unknown(&topology))?;
        let found = network.topology().link_named(link.as_str());
        let missing = || Refusal::UnknownLink { name: link.clone(), topology: topology.clone() };
        found.map(|_| network.created()).ok_or_else(|| Problem::from(missing()))
    })?;
    let sampled = SampledTopology { topology: &topology, created };
    let (from, to, step) = query.range(room.app.now())?;
    let found = room.app.link_history(sampled, &link, (from, to), step).await?;
    let point = |(at, sample)| LinkHistoryPoint { at: instant(at), past: render::link_past(&sample) };
    Ok(json(&LinkHistoryAnswer {
        topology: topology.to_string(),
        link: link.to_string(),
        from: instant(from),
        to: instant(to),
        step_ms: found.step.0,
        points: found.points.into_iter().map(point).collect(),
    }))
}

/// Says what was reserved on each link of a topology at an instant.
///
/// The answer is of the last instant at or before it at which links were sampled, and says which that is.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/history",
    tag = "topologies",
    summary = "Say what was reserved on the links of a topology at an instant",
    params(
        ("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255),
        TopologyHistoryQuery,
    ),
    responses(
        (status = 200, description = "What was reserved", body = TopologyHistoryAnswer),
        BadRequest, NotFound, InternalError, Unavailable,
    )
)]
pub(super) async fn topology_history(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    FromQuery(query): FromQuery<TopologyHistoryQuery>,
) -> Result<Response, Problem> {
    let network = |state: &kernel::State| state.network(topology.as_str()).map(kernel::state::Network::created);
    let created = room.app.read(network).ok_or_else(|| unknown(&topology))?;
    let at = time("at", query.at.as_deref())?.unwrap_or(room.app.now());
    let Some(found) = room.app.links_then(SampledTopology { topology: &topology, created }, at).await? else {
        let first = room.app.first_link_sampling().await?.map(|first| instant(first).to_string());
        let detail = format!("links were not sampled at {} or before, or it is not kept any more", instant(at));
        return Err(Problem::new(&problem_catalogue::NOT_SAMPLED, detail)
            .with("field", "at")
            .with_some("first_at", first));
    };
    let links = found.links.iter();
    Ok(json(&TopologyHistoryAnswer {
        topology: topology.to_string(),
        at: instant(found.sampling.at),
        step_ms: found.step.0,
        sequence: found.sampling.sequence.0,
        links: links
            .map(|(link, sample)| LinkThen { link: link.to_string(), past: render::link_past(sample) })
            .collect(),
    }))
}

impl LinkHistoryQuery {
    /// From when to when, and how long a period is.
    fn range(&self, now: Millis) -> Result<(Millis, Millis, Millis), Problem> {
        let to = time("to", self.to.as_deref())?.unwrap_or(now);
        let from = time("from", self.from.as_deref())?.unwrap_or(Millis(to.0.saturating_sub(DAY_MS)));
        if from >= to {
            return Err(impossible("from", format!("from is {}, not before to, {}", instant(from), instant(to))));
        }
        let range = to.0 - from.0;
        let least = range.div_ceil(HISTORY_POINTS_MAX);
        let whole_days = least.next_multiple_of(DAY_MS);
        let step = self.step_ms.unwrap_or_else(|| STEPS_MS.into_iter().find(|ms| *ms >= least).unwrap_or(whole_days));
        if step < MINUTE_MS || !step.is_multiple_of(MINUTE_MS) {
            return Err(impossible("step_ms", format!("step_ms is {step}, not a whole number of minutes")));
        }
        if step < least {
            let detail = format!(
                "step_ms is {step}, which gives more than {HISTORY_POINTS_MAX} periods: give at least {}",
                least.next_multiple_of(MINUTE_MS)
            );
            return Err(impossible("step_ms", detail));
        }
        Ok((from, to, Millis(step)))
    }
}

fn impossible(field: &'static str, detail: String) -> Problem {
    Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", field)
}

/// The time that a parameter says.
fn time(field: &'static str, text: Option<&str>) -> Result<Option<Millis>, Problem> {
    let read = text.map(|text| text.parse::<Instant>().map(|at| Millis(at.0))).transpose();
    read.map_err(|error| {
        Problem::new(&problem_catalogue::MALFORMED_QUERY, format!("{field}: {error}")).with("field", field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(days: u64, step_ms: Option<u64>) -> Option<u64> {
        let (from, to) = (Some(Instant(0).to_string()), Some(Instant(days * DAY_MS).to_string()));
        LinkHistoryQuery { from, to, step_ms }.range(Millis(0)).ok().map(|(.., step)| step.0 / MINUTE_MS)
    }

    #[test]
    fn a_step_is_round_and_gives_no_more_than_a_thousand_periods() {
        assert_eq!([1, 7, 31, 366].map(|days| steps(days, None).unwrap()), [5, 15, 60, 24 * 60]);
        assert_eq!(steps(10_000, None), Some(10 * 24 * 60));
        assert_eq!((steps(1, Some(90_000)), steps(1, Some(0)), steps(1, Some(60_000))), (None, None, None));
        assert_eq!(steps(1, Some(120_000)), Some(2));
    }
}
