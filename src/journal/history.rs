//! Allocations that are over: what they were, how they ended, and how they are looked for.

use std::sync::Arc;

use serde::Serialize;

use super::annotation_record::{AnnotationFilter, searchable};
use super::column::number;
use super::decode::decode_allocation;
use super::error::{JournalError, RecordEncodeError};
use super::lookup::NameLookup;
use super::record::AllocationRecord;
use super::scalars::{EndWord, StoredName};
use super::statement::{self, FRAME};
use kernel::Names;
use kernel::allocation::{Allocation, EndCause};
use kernel::class::ClassType;
use kernel::id::{Name, Sequence};
use kernel::units::Millis;

/// Id, state, end, ending event, body.
pub(super) type HistoryRow = (i64, String, i64, i64, String);

const TABLE: &str = "past_allocation";

/// An allocation that is over.
#[derive(Clone, Debug)]
pub struct Past {
    /// What it was, with the path that it had.
    pub allocation: Arc<Allocation>,
    /// The names of its nodes and links, in the topology as it was then.
    pub names: Names,
    /// Why it is over.
    pub cause: EndCause,
    /// When it ended.
    pub ended_at: Millis,
    /// The event that ended it.
    pub ended_by: Sequence,
}

impl Past {
    pub(super) fn parse((id, state, ended_at_ms, ended_by, body): &HistoryRow) -> Result<Self, JournalError> {
        let damaged = |error| JournalError::Damaged { table: TABLE, row: *id, error };
        let ended_by = Sequence(number(TABLE, *id, *ended_by)?);
        let record: AllocationRecord = serde_json::from_str(body).map_err(damaged)?;
        let decoded = decode_allocation(&record);
        let (allocation, names) = decoded.map_err(|error| JournalError::Decode { at: ended_by, error })?;
        Ok(Self {
            allocation: Arc::new(allocation),
            names,
            cause: EndWord::read(state).map_err(damaged)?.into(),
            ended_at: Millis(number(TABLE, *id, *ended_at_ms)?),
            ended_by,
        })
    }

    pub(super) fn row(&self) -> Result<PastRow, RecordEncodeError> {
        let body = NameLookup { topology: &self.allocation.demand.topology, names: &self.names }
            .allocation(&self.allocation)?;
        let demand = &body.demand;
        Ok(PastRow {
            topology: demand.topology.clone(),
            ingress: demand.ingress.clone(),
            egress: demand.egress.clone(),
            class_type: demand.class_type,
            setup_priority: demand.setup_priority,
            hold_priority: demand.hold_priority,
            bandwidth_bps: demand.bandwidth_bps,
            aggregator: demand.aggregator.clone(),
            tenant: demand.tenant.clone(),
            state: self.cause.into(),
            links: framed(body.path.iter().chain(body.recovery.iter().flat_map(|recovery| recovery.backup()))),
            annotations: searchable(&self.allocation.demand.attributes.annotations),
            created_at_ms: body.created_at_ms,
            ended_at_ms: self.ended_at.0,
            ended_by: self.ended_by.0,
            body,
        })
    }
}

/// The columns of a past allocation, by name.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PastRow {
    topology: StoredName,
    ingress: StoredName,
    egress: StoredName,
    class_type: u8,
    setup_priority: u8,
    hold_priority: u8,
    bandwidth_bps: u64,
    aggregator: Option<StoredName>,
    tenant: Option<StoredName>,
    state: EndWord,
    links: String,
    annotations: Option<String>,
    body: AllocationRecord,
    created_at_ms: u64,
    ended_at_ms: u64,
    ended_by: u64,
}

fn framed<'a>(path: impl IntoIterator<Item = &'a StoredName>) -> String {
    let mut links = String::from(FRAME);
    for link in path {
        links.push_str(link.0.as_str());
        links.push(FRAME);
    }
    links
}

/// Which ended allocations are wanted; absent parts match all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PastFilter {
    /// In this topology.
    pub topology: Option<Name>,
    /// That ended so.
    pub cause: Option<EndCause>,
    /// In this class.
    pub class_type: Option<ClassType>,
    /// That entered here.
    pub ingress: Option<Name>,
    /// That left here.
    pub egress: Option<Name>,
    /// Whose path had this link.
    pub link: Option<Name>,
    /// That this aggregator asked for.
    pub aggregator: Option<Name>,
    /// That were for this tenant.
    pub tenant: Option<Name>,
    /// That have all of these.
    pub annotations: Vec<AnnotationFilter>,
}

/// What is bound to a condition's parameter.
pub(super) enum Bind {
    Text(String),
    Number(i64),
}

impl PastFilter {
    /// The listing's text, and what is bound from `$3` on.
    pub(super) fn listing(&self) -> (String, Vec<Bind>) {
        let name = |name: &Option<Name>| name.as_ref().map(|name| Bind::Text(name.as_str().to_owned()));
        let link = self.link.as_ref().map(|link| Bind::Text(format!("{FRAME}{link}{FRAME}")));
        let cause = self.cause.map(|cause| Bind::Text(EndWord::from(cause).as_str().to_owned()));
        let class_type = self.class_type.map(|class_type| Bind::Number(class_type.number().into()));
        let conditions = [
            (statement::PAST_TOPOLOGY, name(&self.topology)),
            (statement::PAST_STATE, cause),
            (statement::PAST_CLASS_TYPE, class_type),
            (statement::PAST_INGRESS, name(&self.ingress)),
            (statement::PAST_EGRESS, name(&self.egress)),
            (statement::PAST_AGGREGATOR, name(&self.aggregator)),
            (statement::PAST_TENANT, name(&self.tenant)),
            (statement::PAST_LINK, link),
        ];
        let mut text = String::from(statement::PAST_LIST);
        let mut binds = Vec::new();
        let annotations = self.annotations.iter();
        let annotations = annotations.map(|one| (statement::PAST_ANNOTATION, Some(Bind::Text(one.part.clone()))));
        for (condition, bind) in conditions.into_iter().chain(annotations) {
            let Some(bind) = bind else { continue };
            binds.push(bind);
            text.push_str(&condition.replace("$n", &format!("${}", binds.len() + 2)));
        }
        text.push_str(statement::PAST_LIST_TAIL);
        (text, binds)
    }
}
