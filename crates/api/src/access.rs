//! Who may do what: roles, access tokens, and who one is taken for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::instant::Instant;
use crate::text;
use crate::words::words;

words! {
    /// What the bearer of a token may do. Everybody may read.
    Role {
        /// Reads.
        Viewer "viewer"
        /// Reports the metadata of an aggregator.
        Aggregator "aggregator"
        /// Asks for allocations, changes and releases them.
        Requester "requester"
        /// Does that, and changes topologies, links, bandwidth models and controllers.
        Engineer "engineer"
        /// Does everything, tokens included.
        Admin "admin"
    }
}

/// A token that is asked for.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Who is to bear the token: events name them as the actor.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The tenant whose allocations they may see and change; absent: everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text::name_if_any")]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// The only aggregator that they may report for; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text::name_if_any")]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub aggregator: Option<String>,
    /// How long the token is good for, in milliseconds; absent: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub expires_in_ms: Option<u64>,
}

/// A token, without itself.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = Token)]
pub struct TokenDocument {
    /// By which it is revoked.
    pub id: String,
    /// Who bears it.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The tenant whose allocations they may see and change; absent: everybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// The only aggregator that they may report for; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub aggregator: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Instant,
    /// When it ends; absent: when it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub expires_at: Option<Instant>,
    /// When it was used last, to the minute; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub last_used_at: Option<Instant>,
}

/// A new token.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct IssuedToken {
    /// What is kept of it.
    #[serde(flatten)]
    pub document: TokenDocument,
    /// The token itself, which is told this once: it is kept as a digest.
    pub token: String,
}

/// All tokens.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct TokenList {
    /// The tokens, the oldest first, unless another order was asked for.
    pub items: Vec<TokenDocument>,
    /// The cursor of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// Who the sender of a request is taken for.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = Session)]
pub struct SessionDocument {
    /// Whether the service asks who one is.
    pub authentication_required: bool,
    /// What they are called; absent where nobody is asked who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// The tenant whose allocations they may see and change; absent: everybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// The only aggregator that they may report for; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub aggregator: Option<String>,
    /// When this ends; absent: it does not end by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub expires_at: Option<Instant>,
}

/// How one can say who one is.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = SignIn)]
pub struct SignInDocument {
    /// Whether the service asks who one is.
    pub authentication_required: bool,
    /// The OpenID provider at which people sign in; absent: they have tokens of the service alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub openid: Option<OpenIdDocument>,
}

/// A public client of an OpenID provider (OpenID Connect Core 1.0 section 3.1: the authorization code flow, with PKCE).
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = OpenId)]
pub struct OpenIdDocument {
    /// The issuer's URL; its metadata are at `/.well-known/openid-configuration` below it.
    #[schema(example = "https://login.example.net/realms/ops")]
    pub issuer: String,
    /// What the page is called there.
    #[schema(example = "watermaster-dashboard")]
    pub client_id: String,
    /// What it asks for, separated by spaces.
    #[schema(example = "openid")]
    pub scope: String,
}
