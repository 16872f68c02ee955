//! Who one is taken for, and the cookie by which the page stays somebody: streams of events in a browser carry no header.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::access::{COOKIE, Room};
use super::extract::one;
use super::problem::{BadRequest, Forbidden, InternalError, Problem};
use super::problem_catalogue;
use super::render::{instant, json};
use api::access::{SessionDocument, SignInDocument};

/// Says who one is taken for.
#[utoipa::path(
    get,
    path = "/v1/session",
    tag = "access",
    summary = "Read who one is taken for",
    responses((status = 200, description = "Name, role and tenant", body = SessionDocument), BadRequest, InternalError)
)]
pub(super) async fn session_get(room: Room) -> Response {
    json(&document(&room))
}

/// Says how one can say who one is. Anybody may know.
#[utoipa::path(
    get,
    path = "/v1/sign-in",
    tag = "access",
    summary = "Read how one can say who one is",
    responses((status = 200, description = "Whether one has to, and where people sign in", body = SignInDocument), BadRequest, InternalError)
)]
pub(super) async fn sign_in_get(room: Room) -> Response {
    let authentication_required = room.authenticator.is_required();
    json(&SignInDocument { authentication_required, openid: room.authenticator.page_client().cloned() })
}

/// Keeps the token of this request in a cookie of the browser, which no script can read and no other site sends.
#[utoipa::path(
    put,
    path = "/v1/session",
    tag = "access",
    summary = "Keep the token of this request in a cookie",
    responses(
        (status = 200, description = "Who one is taken for from now on", body = SessionDocument,
         headers(("Set-Cookie" = String, description = "The cookie; it ends with the browser"))),
        BadRequest, Forbidden, InternalError,
    )
)]
pub(super) async fn session_begin(room: Room, headers: HeaderMap) -> Result<Response, Problem> {
    let needs = || Problem::new(&problem_catalogue::UNAUTHENTICATED, "a session begins with a token in Authorization");
    let value = one(&headers, &header::AUTHORIZATION).ok().flatten().and_then(|value| value.to_str().ok());
    let token = value.and_then(|text| text.split_once(' ')).map(|(_, token)| token.trim()).ok_or_else(needs)?;
    let mut response = json(&document(&room));
    let cookie = HeaderValue::try_from(set_cookie(token, &room, &headers)).map_err(|_| needs())?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Takes the cookie back. The token stays good.
#[utoipa::path(
    delete,
    path = "/v1/session",
    tag = "access",
    summary = "Take the cookie back",
    responses((status = 204, description = "The browser has no cookie any more"), BadRequest, Forbidden, InternalError)
)]
pub(super) async fn session_end(room: Room, headers: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let cookie = format!("{}; Max-Age=0", set_cookie("", &room, &headers));
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// No script reads it, no other site sends it, and it goes over TLS alone where it came over TLS.
fn set_cookie(token: &str, room: &Room, headers: &HeaderMap) -> String {
    let forwarded = headers.get("x-forwarded-proto").is_some_and(|value| value == "https");
    let secure = if room.caller.is_encrypted() || forwarded { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path={}/; HttpOnly; SameSite=Strict{secure}", room.prefix)
}

fn document(room: &Room) -> SessionDocument {
    let identity = &room.caller.identity;
    SessionDocument {
        authentication_required: room.authenticator.is_required(),
        name: identity.name.as_ref().map(ToString::to_string),
        role: identity.role,
        tenant: identity.tenant.as_ref().map(ToString::to_string),
        aggregator: identity.aggregator.as_ref().map(ToString::to_string),
        expires_at: identity.expires_at.map(instant),
    }
}
