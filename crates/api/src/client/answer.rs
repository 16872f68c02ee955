//! Why a request has no useful answer, and the body of those that have.

use reqwest::{Response, StatusCode};

use super::super::problem::ProblemDocument;
use super::super::sse::SseError;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address of the service is none.
    #[error("'{address}' is not the address of a service: give http://HOST:PORT")]
    Address {
        /// What was given.
        address: String,
    },
    /// A key or a revision that cannot stand in a header.
    #[error("{header} cannot hold what was given")]
    Header {
        /// Which header.
        header: &'static str,
    },
    /// The service cannot be reached, or broke off.
    #[error("the service cannot be reached: {}", innermost(.0))]
    Transport(#[from] reqwest::Error),
    /// The service refuses.
    #[error("{0}")]
    Refused(Box<ProblemDocument>),
    /// The answer is not what the interface promises.
    #[error("the answer ({status}) cannot be read: {error}")]
    Unreadable {
        /// Its status.
        status: u16,
        /// Why not.
        error: serde_json::Error,
    },
    /// The answer is longer than is read.
    #[error("the answer has more than {max_bytes} bytes")]
    TooLong {
        /// The limit.
        max_bytes: usize,
    },
    /// The stream of events cannot be read.
    #[error("the stream cannot be read: {0}")]
    Stream(#[from] SseError),
    /// Events after the last one that was read are not kept any more, or it is not of this journal.
    #[error("events are missing: the oldest that is kept is {first_sequence}, the last one {head}")]
    EventsGone {
        /// The oldest that there is.
        first_sequence: u64,
        /// The last one.
        head: u64,
    },
    /// The stream of events ended and could not be had again.
    #[error("the stream of events ended {times} times in a row")]
    StreamLost {
        /// How often.
        times: u32,
    },
}

impl ClientError {
    /// Whether the same may do later: the service was busy, stopping or gone.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_connect() || error.is_timeout(),
            Self::Refused(problem) => problem.status == StatusCode::SERVICE_UNAVAILABLE.as_u16(),
            _ => false,
        }
    }
}

/// What reqwest says alone ("error sending request") names no cause.
fn innermost(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

/// The answer, if it is a success; else its problem, of which at most `max_bytes` are read.
///
/// # Errors
/// It is no success, or it broke off.
pub async fn checked(answer: Response, max_bytes: usize) -> Result<Response, ClientError> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status().as_u16();
    let body = whole(answer, max_bytes).await?;
    let problem = serde_json::from_slice(&body).unwrap_or_else(|_| ProblemDocument::unreadable(status));
    Err(ClientError::Refused(Box::new(problem)))
}

/// The body of a success, of at most `max_bytes`.
///
/// # Errors
/// It is no success, it is longer, or it broke off.
pub async fn body(answer: Response, max_bytes: usize) -> Result<Vec<u8>, ClientError> {
    whole(checked(answer, max_bytes).await?, max_bytes).await
}

async fn whole(mut answer: Response, max_bytes: usize) -> Result<Vec<u8>, ClientError> {
    let mut body = vec![];
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            return Err(ClientError::TooLong { max_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
