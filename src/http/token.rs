//! Access tokens: who is let in, and as what.

use axum::extract::OriginalUri;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{FromPath, FromQuery, JsonBody};
use super::pagination;
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable,
    UnsupportedMediaType,
};
use super::problem_catalogue;
use super::render::{instant, json};
use super::sorting::{self, list_orders};
use crate::auth::{AccessTokenRecord, TokenError, TokenStore};
use api::access::{IssuedToken, TokenDocument, TokenList, TokenRequest};

/// Which tokens are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// In which order; with a minus the largest first. Absent: the oldest first.
    #[param(nullable = false, inline)]
    sort: Option<TokenOrder>,
    /// How many at most; absent: all, which are at most 10,000.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The cursor of the page: how many came before.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
}

list_orders! {
    /// The order of tokens.
    TokenOrder of TokenDocument {
        Name "name" NameDown "-name" |one| one.name.clone();
        Role "role" RoleDown "-role" |one| one.role.to_string();
        Created "created_at" CreatedDown "-created_at" |one| one.created_at.0;
        Expires "expires_at" ExpiresDown "-expires_at" |one| one.expires_at.map(|at| at.0);
        LastUsed "last_used_at" LastUsedDown "-last_used_at" |one| one.last_used_at.map(|at| at.0);
    }
}

/// Lists the tokens, without themselves.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "access",
    summary = "List access tokens",
    params(ListQuery),
    responses(
        (status = 200, description = "All of them, or a page", body = TokenList, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, NotFound, InternalError, Unavailable,
    )
)]
pub(super) async fn token_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.map_or(Ok(usize::MAX), |limit| pagination::limit(Some(limit)))?;
    let tokens = store(&room)?.list().await?;
    let tokens: Vec<TokenDocument> = tokens.iter().filter_map(document).collect();
    let (items, next) = match &query.sort {
        Some(order) => sorting::page(tokens, order, query.after.as_deref(), limit)?,
        None => sorting::counted(tokens, query.after.as_deref(), limit)?,
    };
    let page = TokenList { items, next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Makes a token. It is told this once; what is kept is its digest.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "access",
    summary = "Make an access token",
    request_body(content = TokenRequest, example = json!({"name": "deploy", "role": "requester", "expires_in_ms": 7_776_000_000_u64})),
    responses(
        (status = 201, description = "The token", body = IssuedToken),
        BadRequest, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn token_create(room: Room, body: JsonBody) -> Result<Response, Problem> {
    let request = body.read::<TokenRequest>()?;
    if let Some(tenant) = &request.tenant
        && room.app.read(|state| state.tenant(tenant).is_none())
    {
        let detail = format!("there is no tenant '{tenant}': make it first");
        return Err(Problem::new(&problem_catalogue::UNKNOWN_REFERENCE, detail).with("field", "tenant"));
    }
    let (record, token) = store(&room)?.create(&request).await?;
    tracing::info!(
        by = ?room.caller.actor(), id = record.id, name = %record.name, role = record.role,
        tenant = record.tenant.as_ref().map(ToString::to_string), "an access token was made"
    );
    let defect = || Problem::new(&problem_catalogue::INTERNAL, "the token's role is not known");
    let mut response = json(&IssuedToken { document: document(&record).ok_or_else(defect)?, token });
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Revokes a token. Other replicas refuse it within two seconds.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{id}",
    tag = "access",
    summary = "Revoke an access token",
    params(("id" = String, Path, description = "The token's id", min_length = 1, max_length = 64)),
    responses((status = 204, description = "Revoked"), BadRequest, Forbidden, NotFound, InternalError, Unavailable)
)]
pub(super) async fn token_revoke(room: Room, FromPath(id): FromPath<String>) -> Result<Response, Problem> {
    if store(&room)?.revoke(&id).await? {
        tracing::info!(by = ?room.caller.actor(), id, "an access token was revoked");
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::new(&problem_catalogue::NOT_FOUND, "there is no token of this id"))
    }
}

fn store(room: &Room) -> Result<&TokenStore, Problem> {
    let none = || Problem::new(&problem_catalogue::NOT_FOUND, "this service keeps no tokens");
    room.authenticator.tokens().ok_or_else(none)
}

fn document(record: &AccessTokenRecord) -> Option<TokenDocument> {
    Some(TokenDocument {
        id: record.id.clone(),
        name: record.name.to_string(),
        role: record.role.parse().ok()?,
        tenant: record.tenant.as_ref().map(ToString::to_string),
        aggregator: record.aggregator.as_ref().map(ToString::to_string),
        created_at: instant(record.created_at),
        expires_at: record.expires_at.map(instant),
        last_used_at: record.last_used_at.map(instant),
    })
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let impossible =
            |field: &str| Self::new(&problem_catalogue::IMPOSSIBLE, error.to_string()).with("field", field);
        match error {
            TokenError::Journal(error) => (*error).into(),
            TokenError::Name(_) => impossible("name"),
            TokenError::Lifetime => impossible("expires_in_ms"),
            TokenError::Aggregator => impossible("aggregator"),
            TokenError::TooMany => Self::new(&problem_catalogue::LIMIT_REACHED, error.to_string()),
            TokenError::Unknown | TokenError::Expired(_) | TokenError::UnknownRole(_) | TokenError::Random(_) => {
                tracing::error!(%error, "a token could not be made");
                Self::new(&problem_catalogue::INTERNAL, "the token could not be made")
            }
        }
    }
}
