//! What is spoken: request bodies and how they become commands, answers and how they are made from records. Answers borrow
//! from what they render.

mod allocation;
mod constraints;
mod effects;
mod link;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(super) use allocation::{
    AllocationAnswer, AllocationRequest, AllocationState, AllocationView, ResizeRequest,
    bandwidth as request_bandwidth, class_type as request_class_type, priority as request_priority,
};
pub(super) use constraints::ConstraintsRequest;
pub(super) use effects::Effects;
pub(super) use link::{LinkAnswer, LinkFigures, LinkRequest, LinkStatic, LinkView};

use super::problem::Problem;
use super::problem_catalogue;
pub(super) use api::instant::Instant;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer.
pub(super) fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer has no JSON form");
            Problem::new(&problem_catalogue::INTERNAL, "the answer could not be written").into_response()
        }
    }
}

/// A number that has to be small.
fn at_most(field: &'static str, value: u64, max: u8) -> Result<u8, Problem> {
    u8::try_from(value).ok().filter(|value| *value <= max).ok_or_else(|| out_of_range(field, value, 0, u64::from(max)))
}

fn out_of_range(field: &'static str, value: u64, min: u64, max: u64) -> Problem {
    Problem::new(&problem_catalogue::IMPOSSIBLE, format!("{field} is {value}, not within {min} to {max}"))
        .with("field", field)
}
