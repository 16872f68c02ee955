//! Failure studies: what failures would do, and nothing of it happens.

use std::time::{Duration, Instant};

use axum::response::Response;

use super::access::Room;
use super::extract::{FromPath, JsonBody};
use super::problem::{
    BadRequest, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::problem_catalogue;
use super::render::{failure_study, json};
use crate::app::scalars::StoredName;
use api::failure_study::{
    FailureSetName, FailureStudyAnswer, FailureStudyRequest, GROWTH_MAX_PPM, GROWTHS_MAX, LISTED_DEFAULT,
    LISTED_IN_ALL_MAX, LISTED_MAX, SCENARIOS_MAX,
};
use optimizer::{FailureSet, StudyLimits, study_failures};

/// How long a study takes at most, and then says what it has found.
const TIME_MAX: Duration = Duration::from_secs(20);
/// The most decisions about allocations that a study takes.
const WORK_MAX: u64 = 20_000_000;

/// Studies what failures would do, now and as traffic grows, and changes nothing.
///
/// Each failure is decided as if its links were reported down one after the other, on a copy of the state; so the result is
/// what cutting them would do. A study ends after 20 seconds, or 10,000 failures, and says what it has left out. One study
/// is worked out at a time.
#[utoipa::path(
    post,
    path = "/v1/topologies/{topology}/failure-studies",
    tag = "topologies",
    summary = "Study what failures would do",
    params(("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255)),
    request_body(content = FailureStudyRequest, description = "Which failures", example = json!({
        "scenarios": "links", "growth_ppm": [0, 250_000]
    })),
    responses(
        (status = 200, description = "What they would do", body = FailureStudyAnswer),
        BadRequest, Forbidden, NotFound, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn failure_study_create(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.read::<FailureStudyRequest>()?;
    let growths = growths(&request.growth_ppm)?;
    let limits = limits(request.listed_max)?;
    let set = failure_set(request.scenarios);
    let answer = room.app.study(move |state| {
        let end = Instant::now() + TIME_MAX;
        let study = study_failures(state, &topology, set, &growths, limits, || Instant::now() < end)?;
        let network = state.network(topology.as_str()).ok_or(kernel::Refusal::UnknownTopology(topology))?;
        Ok::<FailureStudyAnswer, Problem>(failure_study(state.sequence(), network.topology(), &study, growths.len()))
    });
    Ok(json(&answer.await??))
}

fn failure_set(name: FailureSetName) -> FailureSet {
    match name {
        FailureSetName::Links => FailureSet::Links,
        FailureSetName::Nodes => FailureSet::Nodes,
        FailureSetName::Srlgs => FailureSet::Srlgs,
        FailureSetName::Pairs => FailureSet::Pairs,
    }
}

fn growths(growths: &[u64]) -> Result<Vec<u32>, Problem> {
    if growths.len() > GROWTHS_MAX {
        return Err(impossible(
            "growth_ppm",
            format!("growth_ppm has {} members, more than {GROWTHS_MAX}", growths.len()),
        ));
    }
    let checked = growths.iter().enumerate().map(|(at, growth)| {
        let in_range = u32::try_from(*growth).ok().filter(|growth| *growth <= GROWTH_MAX_PPM);
        let field = format!("growth_ppm[{at}]");
        in_range.ok_or_else(|| {
            let detail = format!("{field} is {growth}, not within 0 to {GROWTH_MAX_PPM}");
            Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", field)
        })
    });
    let checked = checked.collect::<Result<Vec<_>, _>>()?;
    Ok(if checked.is_empty() { vec![0] } else { checked })
}

fn limits(listed_max: Option<u64>) -> Result<StudyLimits, Problem> {
    let listed_max = match listed_max.map(usize::try_from) {
        None => LISTED_DEFAULT,
        Some(Ok(listed)) if listed <= LISTED_MAX => listed,
        Some(_) => return Err(impossible("listed_max", format!("listed_max is not within 0 to {LISTED_MAX}"))),
    };
    let listed_in_all_max = LISTED_IN_ALL_MAX;
    Ok(StudyLimits { scenarios_max: SCENARIOS_MAX, listed_max, listed_in_all_max, work_max: WORK_MAX })
}

fn impossible(field: &'static str, detail: String) -> Problem {
    Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", field)
}
