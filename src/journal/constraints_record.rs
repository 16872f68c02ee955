//! The stored form of what a path must obey.

use serde::{Deserialize, Serialize};

use super::error::{RecordDecodeError, RecordEncodeError};
use super::lookup::{NameLookup, NumberLookup};
use super::scalars::{MetricWord, StoredName};
use kernel::path::{Constraints, Hop, RouteHop};
use kernel::units::Micros;

/// What a path must obey.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub(super) struct ConstraintsRecord {
    /// What to be short in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metric: Option<MetricWord>,
    /// The most links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_hops: Option<u32>,
    /// The most one-way delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_delay_us: Option<u64>,
    /// To be passed, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) include: Vec<HopRecord>,
    /// To be avoided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) exclude: Vec<HopRecord>,
    /// Every link has one of these colours.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) include_any: u32,
    /// No link has any of these colours.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) exclude_any: u32,
    /// The explicit route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) route: Vec<RouteHopRecord>,
}

/// A node or a link.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum HopRecord {
    /// A node.
    Node(StoredName),
    /// A link.
    Link(StoredName),
}

/// One hop of an explicit route.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct RouteHopRecord {
    pub(super) hop: HopRecord,
    /// Whether it comes right after the one before.
    pub(super) strict: bool,
}

impl NameLookup<'_> {
    pub(super) fn constraints(
        &self,
        constraints: Option<&Constraints>,
    ) -> Result<Option<Box<ConstraintsRecord>>, RecordEncodeError> {
        let Some(constraints) = constraints else { return Ok(None) };
        let hops = |hops: &[Hop]| hops.iter().map(|hop| self.hop(*hop)).collect::<Result<Vec<_>, _>>();
        let route = constraints.route.iter();
        Ok(Some(Box::new(ConstraintsRecord {
            metric: constraints.metric.map(Into::into),
            max_hops: constraints.max_hops,
            max_delay_us: constraints.max_delay.map(|delay| delay.0),
            include: hops(&constraints.include)?,
            exclude: hops(&constraints.exclude)?,
            include_any: constraints.include_any,
            exclude_any: constraints.exclude_any,
            route: route
                .map(|step| Ok(RouteHopRecord { hop: self.hop(step.hop)?, strict: step.strict }))
                .collect::<Result<_, RecordEncodeError>>()?,
        })))
    }

    fn hop(&self, hop: Hop) -> Result<HopRecord, RecordEncodeError> {
        match hop {
            Hop::Node(node) => self.node(node).map(HopRecord::Node),
            Hop::Link(link) => self.link(link).map(HopRecord::Link),
        }
    }
}

impl NumberLookup<'_> {
    pub(super) fn constraints(
        &self,
        record: Option<&ConstraintsRecord>,
    ) -> Result<Option<Box<Constraints>>, RecordDecodeError> {
        let Some(record) = record else { return Ok(None) };
        let hops = |hops: &[HopRecord]| hops.iter().map(|hop| self.hop(hop)).collect::<Result<Vec<_>, _>>();
        let route = record.route.iter();
        Ok(Some(Box::new(Constraints {
            metric: record.metric.map(Into::into),
            max_hops: record.max_hops,
            max_delay: record.max_delay_us.map(Micros),
            include: hops(&record.include)?,
            exclude: hops(&record.exclude)?,
            include_any: record.include_any,
            exclude_any: record.exclude_any,
            route: route
                .map(|step| Ok(RouteHop { hop: self.hop(&step.hop)?, strict: step.strict }))
                .collect::<Result<_, RecordDecodeError>>()?,
        })))
    }

    fn hop(&self, hop: &HopRecord) -> Result<Hop, RecordDecodeError> {
        match hop {
            HopRecord::Node(node) => self.node(node).map(Hop::Node),
            HopRecord::Link(link) => self.link(link).map(Hop::Link),
        }
    }
}

fn is_zero(mask: &u32) -> bool {
    *mask == 0
}
