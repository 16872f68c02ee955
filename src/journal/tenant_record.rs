//! The stored form of a tenant.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::error::RecordDecodeError;
use super::lookup::{bandwidth, class_type};
use super::scalars::StoredName;
use kernel::id::Sequence;
use kernel::tenant::{Quota, Tenant, TenantTerms};

/// A tenant.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct TenantRecord {
    name: StoredName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    quotas: Vec<QuotaRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_requests_per_s: Option<NonZeroU32>,
    /// Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aggregators: Vec<StoredName>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct QuotaRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topology: Option<StoredName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_type: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_bandwidth_bps: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_bandwidth_hops_bps: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_allocations: Option<u32>,
}

impl TenantRecord {
    pub(super) fn of(tenant: &Tenant) -> Self {
        let quota = |quota: &Quota| QuotaRecord {
            topology: quota.topology.as_ref().map(StoredName::from),
            class_type: quota.class_type.map(|class_type| class_type.number()),
            max_bandwidth_bps: quota.bandwidth_max.map(|max| max.as_bps()),
            max_bandwidth_hops_bps: quota.bandwidth_hops_max.map(|max| max.as_bps()),
            max_allocations: quota.allocations_max,
        };
        let TenantTerms { quotas, requests_max_per_s, weight, aggregators } = &tenant.terms;
        Self {
            name: StoredName::from(&tenant.name),
            quotas: quotas.iter().map(quota).collect(),
            max_requests_per_s: *requests_max_per_s,
            weight: Some(*weight).filter(|weight| *weight != NonZeroU32::MIN),
            aggregators: aggregators.iter().map(StoredName::from).collect(),
        }
    }

    pub(super) fn read(&self, revision: Sequence) -> Result<Tenant, RecordDecodeError> {
        let quota = |record: &QuotaRecord| {
            Ok(Quota {
                topology: record.topology.as_ref().map(|name| name.0.clone()),
                class_type: record.class_type.map(class_type).transpose()?,
                bandwidth_max: record.max_bandwidth_bps.map(|bps| bandwidth("max_bandwidth_bps", bps)).transpose()?,
                bandwidth_hops_max: record
                    .max_bandwidth_hops_bps
                    .map(|bps| bandwidth("max_bandwidth_hops_bps", bps))
                    .transpose()?,
                allocations_max: record.max_allocations,
            })
        };
        let terms = TenantTerms {
            quotas: self.quotas.iter().map(quota).collect::<Result<_, RecordDecodeError>>()?,
            requests_max_per_s: self.max_requests_per_s,
            weight: self.weight.unwrap_or(NonZeroU32::MIN),
            aggregators: self.aggregators.iter().map(|name| name.0.clone()).collect(),
        };
        Ok(Tenant { name: self.name.0.clone(), terms, revision })
    }
}
