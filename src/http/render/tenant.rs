//! Tenants as documents.

use api::tenant::QuotaDocument;
use kernel::tenant;

/// A quota.
pub(in crate::http) fn quota(quota: &tenant::Quota) -> QuotaDocument {
    QuotaDocument {
        topology: quota.topology.as_ref().map(ToString::to_string),
        class_type: quota.class_type.map(|class_type| u64::from(class_type.number())),
        max_bandwidth_bps: quota.bandwidth_max.map(|max| max.as_bps()),
        max_bandwidth_hops_bps: quota.bandwidth_hops_max.map(|max| max.as_bps()),
        max_allocations: quota.allocations_max.map(u64::from),
    }
}
