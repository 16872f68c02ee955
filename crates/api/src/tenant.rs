//! Tenants: for whom allocations are, and how much all of theirs may take.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text;

/// What a tenant is entitled to.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct TenantRequest {
    /// What all of the tenant's allocations may take; each quota holds by itself, and without any everything is allowed.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub quotas: Vec<QuotaDocument>,
    /// How many requests a second of its tokens are answered, together, by each replica; a second's worth may come at once.
    /// Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000)]
    pub max_requests_per_s: Option<u32>,
    /// By which the scheduler divides bandwidth between tenants: one of weight 2 gets twice what one of weight 1 gets. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000, default = 1)]
    pub weight: Option<u32>,
    /// The aggregators of the tenant, by id: what the scheduler reserves for them counts in the quotas. An aggregator is of one
    /// tenant, or of none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10_000)]
    pub aggregators: Vec<String>,
}

/// What the allocations of a tenant may take, in a topology and a class type or in all together.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields)]
#[schema(as = Quota)]
pub struct QuotaDocument {
    /// In this topology; absent: in all together.
    #[serde(default, deserialize_with = "text::name_if_any", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub topology: Option<String>,
    /// Of this class type; absent: of all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 7)]
    pub class_type: Option<u64>,
    /// The most that their bandwidths may add up to, in bit/s, each allocation counted once whatever its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 9_223_372_036_854_775_807_u64)]
    pub max_bandwidth_bps: Option<u64>,
    /// The most that their bandwidths may add up to, in bit/s, each allocation counted once for every link of its path and of its
    /// backup path. An allocation that the service itself moves to a longer path stays, and counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 9_223_372_036_854_775_807_u64)]
    pub max_bandwidth_hops_bps: Option<u64>,
    /// The most allocations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 4_294_967_295_u64)]
    pub max_allocations: Option<u64>,
}

/// A quota, and what is held of it.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct QuotaUse {
    /// The quota.
    #[serde(flatten)]
    pub quota: QuotaDocument,
    /// What the bandwidths of the allocations under it add up to, in bit/s.
    pub held_bandwidth_bps: u64,
    /// The same, each allocation counted once for every link of its path and of its backup path, in bit/s.
    #[serde(default)]
    #[schema(required = true)]
    pub held_bandwidth_hops_bps: u64,
    /// How many allocations there are under it.
    pub held_allocations: u64,
}

/// A tenant.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = Tenant)]
pub struct TenantDocument {
    /// The name of the tenant.
    pub id: String,
    /// The quotas, and what is held of each.
    pub quotas: Vec<QuotaUse>,
    /// How many requests a second of its tokens are answered; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_requests_per_s: Option<u32>,
    /// By which the scheduler divides bandwidth between tenants.
    pub weight: u32,
    /// Its aggregators, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10_000)]
    pub aggregators: Vec<String>,
    /// What the bandwidths of all living allocations add up to, in bit/s.
    pub bandwidth_bps: u64,
    /// How many allocations live.
    pub allocations: u64,
}

/// A page of tenants.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct TenantPage {
    /// By name.
    pub items: Vec<TenantDocument>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}
