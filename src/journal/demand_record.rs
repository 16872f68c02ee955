//! The stored form of what was asked for: of an allocation and of a denial alike.

use serde::{Deserialize, Serialize};

use super::annotation_record::AnnotationsRecord;
use super::auto_bandwidth_record::AutoBandwidthRecord;
use super::constraints_record::ConstraintsRecord;
use super::error::{RecordDecodeError, RecordEncodeError};
use super::flow_record::FlowRecord;
use super::lookup::{NameLookup, NumberLookup, bandwidth, class_type, priority};
use super::protection_record::ProtectionRecord;
use super::scalars::{OwnerWord, StoredName};
use kernel::allocation::{Demand, LspAttributes, Owner};
use kernel::units::Millis;

/// What was asked for, with its names.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct DemandRecord {
    /// In which topology.
    pub(super) topology: StoredName,
    pub(super) ingress: StoredName,
    pub(super) egress: StoredName,
    /// 0 to 7.
    pub(super) class_type: u8,
    /// 0 to 7.
    pub(super) setup_priority: u8,
    /// 0 to 7.
    pub(super) hold_priority: u8,
    /// On every link of the path.
    pub(super) bandwidth_bps: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aggregator: Option<StoredName>,
    /// When it starts; older versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) starts_at_ms: Option<u64>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at_ms: Option<u64>,
    /// For whom it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<StoredName>,
    /// Until when it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held_until_ms: Option<u64>,
    /// What the path must obey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) constraints: Option<Box<ConstraintsRecord>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) flow: Option<Box<FlowRecord>>,
    /// Of an allocation with an aggregator; older versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerWord>,
    /// The second path that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protection: Option<ProtectionRecord>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bidirectional: bool,
    /// How its bandwidth follows its traffic; older versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auto_bandwidth: Option<Box<AutoBandwidthRecord>>,
    /// What people recognise it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<Box<AnnotationsRecord>>,
}

impl NameLookup<'_> {
    pub(super) fn demand(&self, demand: &Demand) -> Result<DemandRecord, RecordEncodeError> {
        Ok(DemandRecord {
            topology: StoredName::from(&demand.topology),
            ingress: self.node(demand.ingress)?,
            egress: self.node(demand.egress)?,
            class_type: demand.class_type.number(),
            setup_priority: demand.setup_priority.number(),
            hold_priority: demand.hold_priority.number(),
            bandwidth_bps: demand.bandwidth.as_bps(),
            aggregator: demand.attributes.aggregator.as_ref().map(StoredName::from),
            starts_at_ms: demand.attributes.starts_at.map(|at| at.0),
            expires_at_ms: demand.attributes.expires_at.map(|at| at.0),
            tenant: demand.attributes.tenant.as_ref().map(StoredName::from),
            held_until_ms: demand.attributes.held_until.map(|at| at.0),
            constraints: self.constraints(demand.constraints.as_deref())?,
            flow: demand.attributes.flow.as_deref().map(FlowRecord::of),
            owner: demand.attributes.aggregator.is_some().then(|| demand.attributes.owner.into()),
            protection: demand.attributes.protection.map(ProtectionRecord::of),
            bidirectional: demand.attributes.is_bidirectional,
            auto_bandwidth: demand.attributes.auto_bandwidth.as_deref().map(AutoBandwidthRecord::of).map(Box::new),
            annotations: AnnotationsRecord::of(&demand.attributes.annotations),
        })
    }
}

impl NumberLookup<'_> {
    pub(super) fn demand(&self, record: &DemandRecord) -> Result<Demand, RecordDecodeError> {
        let mut demand = Demand {
            topology: self.topology().clone(),
            ingress: self.node(&record.ingress)?,
            egress: self.node(&record.egress)?,
            class_type: class_type(record.class_type)?,
            setup_priority: priority("setup_priority", record.setup_priority)?,
            hold_priority: priority("hold_priority", record.hold_priority)?,
            bandwidth: bandwidth("bandwidth_bps", record.bandwidth_bps)?,
            constraints: self.constraints(record.constraints.as_deref())?,
            attributes: LspAttributes {
                aggregator: record.aggregator.as_ref().map(|key| key.0.clone()),
                starts_at: record.starts_at_ms.map(Millis),
                expires_at: record.expires_at_ms.map(Millis),
                tenant: record.tenant.as_ref().map(|key| key.0.clone()),
                held_until: record.held_until_ms.map(Millis),
                flow: record.flow.as_deref().map(FlowRecord::read),
                annotations: AnnotationsRecord::read(record.annotations.as_deref()),
                owner: Owner::Requester,
                protection: record.protection.map(ProtectionRecord::read),
                is_bidirectional: record.bidirectional,
                auto_bandwidth: record.auto_bandwidth.as_deref().map(|settings| settings.read()).transpose()?,
            },
        };
        demand.attributes.owner = record.owner.map_or_else(|| demand.unwritten_owner(), Into::into);
        Ok(demand)
    }
}
