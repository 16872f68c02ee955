//! Planned maintenance: links that will be out of service for a time that is known.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::effects::Effects;
use crate::instant::Instant;

/// Maintenance to be planned, of links and of nodes with all of their links.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceRequest {
    /// The names of links; the other direction of each is meant, too. At least one link or node is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000, value_type = Vec<String>)]
    pub links: Vec<String>,
    /// The names of nodes: all links that begin or end there are meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000, value_type = Vec<String>)]
    pub nodes: Vec<String>,
    /// When it begins; it may have begun.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: Instant,
    /// When it is over: in the future, and after `starts_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub ends_at: Option<Instant>,
    /// How long it takes, in milliseconds, instead of `ends_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub duration_ms: Option<u64>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1024)]
    pub note: Option<String>,
}

/// Maintenance as it is planned.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct PlannedMaintenance {
    /// Its id.
    pub id: String,
    /// The names of the links, both directions of each.
    pub links: Vec<String>,
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: Instant,
    /// When it is over.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: Instant,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
}

/// Planned maintenance, and the allocations that it would leave without a path.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct MaintenanceDocument {
    /// What is planned.
    #[serde(flatten)]
    pub maintenance: PlannedMaintenance,
    /// The ids of allocations that would stay on its links if it were now, because there is no other path.
    pub stranded: Vec<String>,
}

/// Maintenance that was planned, and what that did.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct MaintenanceOutcome {
    /// What is planned, and who would be without a path.
    #[serde(flatten)]
    pub document: MaintenanceDocument,
    /// What happened to bookings.
    #[serde(flatten)]
    pub effects: Effects,
    /// The sequence number of the event; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<u64>,
    /// Present and true if nothing of this happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dry_run: bool,
}

/// A page of planned maintenance.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct MaintenancePage {
    /// By id.
    pub items: Vec<PlannedMaintenance>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}
