//! Links: what they are, what is booked on them, and changes to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::allocation::bandwidth;
use super::effects::Effects;
use crate::app::scalars::StoredAllocationId;
use crate::app::{LinkRecord, Load};
use api::instant::Instant;
use formats::StateDocument;
use kernel::bam::by_class;
use kernel::command::LinkChange;
use kernel::id::LinkIx;
use kernel::state::Network;
use kernel::topology::{Link, LinkState};
use kernel::units::{Micros, PPM};

/// The most allocations that a link lists.
const ALLOCATIONS_LISTED_MAX: usize = 1_000;

/// What a link is.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkProperties)]
pub(crate) struct LinkStatic {
    /// Its name in the topology.
    link: String,
    /// Its tail.
    from: String,
    /// Its head.
    to: String,
    /// Whether it may carry anything.
    state: StateDocument,
    /// What it can carry.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    capacity_bps: u64,
    /// How much of it may be reserved, over all class types.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    max_reservable_bps: u64,
    /// TE metric.
    te_metric: u32,
    /// One-way delay.
    delay_us: u64,
    /// Shared-risk link groups.
    srlg: Vec<u32>,
    /// Administrative group: a mask of 32 colours.
    admin_group: u32,
    /// The switch port at the tail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from_port: Option<u32>,
    /// The switch port at the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    to_port: Option<u32>,
    /// The other direction of the same fibre, which shares its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    twin: Option<String>,
}

/// What is booked on a link. Where a class is overbooked locally, the books count what a reservation takes from the link:
/// its bandwidth divided by the class's multiplier.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkFigures)]
pub(crate) struct LinkFigures {
    /// What is booked, over all classes.
    reserved_bps: u64,
    /// That, in parts per million of what may be reserved.
    utilisation_ppm: u64,
    /// Class by class, for those of the bandwidth model.
    classes: Vec<ClassFigures>,
    /// TE-class by TE-class; where the class is the priority, one for each class.
    unreserved: Vec<UnreservedFigures>,
    /// Who is on it; at most 1,000.
    #[schema(value_type = Vec<String>)]
    allocations: Vec<StoredAllocationId>,
    /// How many are on it.
    allocation_count: usize,
    /// What it was last measured to carry, over all traffic, where a controller tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    measured_bps: Option<u64>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    measured_at: Option<Instant>,
}

/// What a class type has on a link.
#[derive(Serialize, ToSchema)]
struct ClassFigures {
    /// Which.
    class_type: u8,
    /// Its bandwidth constraint as its model's RFC has it.
    constraint_bps: u64,
    /// Its private share.
    private_bps: u64,
    /// What is booked in it.
    reserved_bps: u64,
    /// What it has beyond its private share.
    borrowed_bps: u64,
    /// What others have of its private share.
    lent_bps: u64,
}

/// What a TE-class could still have on a link.
#[derive(Serialize, ToSchema)]
struct UnreservedFigures {
    /// The class type.
    class_type: u8,
    /// The preemption priority.
    priority: u8,
    /// What it could have if everybody yields who has to: the unreserved bandwidth of RFC 4124.
    unreserved_bps: u64,
    /// What it could have with nobody yielding.
    free_bps: u64,
}

/// A link with what is booked on it.
#[derive(Serialize, ToSchema)]
#[schema(as = Link)]
pub(crate) struct LinkView {
    #[serde(flatten)]
    is: LinkStatic,
    #[serde(flatten)]
    figures: LinkFigures,
}

/// A link that was changed, and what that did.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkOutcome)]
pub(crate) struct LinkAnswer<'a> {
    #[serde(flatten)]
    pub(crate) is: LinkStatic,
    #[serde(flatten)]
    pub(crate) figures: LinkFigures,
    #[serde(flatten)]
    pub(crate) effects: Effects<'a>,
    /// The links that changed: this one, and its twin where that shares the change.
    pub(crate) links: Vec<&'a str>,
    /// Who should have left a link in maintenance but has nowhere to go.
    #[schema(value_type = Vec<String>)]
    pub(crate) stranded: &'a [StoredAllocationId],
    /// The event that made it so; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) sequence: Option<u64>,
    /// There, and true, if nothing of this happened: the figures are those of the link as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) dry_run: bool,
}

impl LinkView {
    /// A link as it is.
    pub(crate) fn of(network: &Network, ix: LinkIx, link: &Link, load: Option<Load>) -> Self {
        Self { is: LinkStatic::of(network, link), figures: LinkFigures::of(network, ix, link, load) }
    }

    /// A link as it is, without those on it.
    pub(crate) fn brief(network: &Network, ix: LinkIx, link: &Link, load: Option<Load>) -> Self {
        Self { is: LinkStatic::of(network, link), figures: LinkFigures::brief(network, ix, link, load) }
    }
}

impl LinkStatic {
    fn of(network: &Network, link: &Link) -> Self {
        let node = |ix| network.topology().node(ix).map(|node| node.name.to_string()).unwrap_or_default();
        let twin = link.twin.and_then(|twin| network.topology().link(twin));
        Self {
            link: link.name.to_string(),
            from: node(link.from),
            to: node(link.to),
            state: link.state.into(),
            capacity_bps: link.capacity.as_bps(),
            max_reservable_bps: link.max_reservable.as_bps(),
            te_metric: link.te_metric,
            delay_us: link.delay.0,
            srlg: link.srlg.clone(),
            admin_group: link.admin_group,
            from_port: link.from_port,
            to_port: link.to_port,
            twin: twin.map(|twin| twin.name.to_string()),
        }
    }

    /// As an event says it became.
    pub(crate) fn of_record(record: &LinkRecord) -> Self {
        Self {
            link: record.name.to_string(),
            from: record.from.to_string(),
            to: record.to.to_string(),
            state: LinkState::from(record.state).into(),
            capacity_bps: record.capacity_bps,
            max_reservable_bps: record.max_reservable_bps,
            te_metric: record.te_metric,
            delay_us: record.delay_us,
            srlg: record.srlg.clone(),
            admin_group: record.admin_group,
            from_port: record.from_port,
            to_port: record.to_port,
            twin: record.twin.as_ref().map(ToString::to_string),
        }
    }
}

impl LinkFigures {
    /// What the books say.
    pub(crate) fn of(network: &Network, ix: LinkIx, link: &Link, load: Option<Load>) -> Self {
        let allocations = network.ledger().on_link(ix).take(ALLOCATIONS_LISTED_MAX).map(StoredAllocationId).collect();
        Self { allocations, ..Self::brief(network, ix, link, load) }
    }

    /// What the books say, without who is on the link.
    fn brief(network: &Network, ix: LinkIx, link: &Link, load: Option<Load>) -> Self {
        let ledger = network.ledger();
        let (slots, booked) = (ledger.slots(), ledger.booked(ix));
        let model = network.model().of_link(&link.name);
        let reserved = by_class(slots, &booked);
        let reserved_bps = reserved.iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps));
        let bounds = ledger.bounds(ix);
        let classes = model.classes().iter().filter_map(|class| {
            let class_type = class.class_type;
            let (borrowed_bps, lent_bps) = bounds?.loans_bps(slots, &booked, class_type);
            Some(ClassFigures {
                class_type: class_type.number(),
                constraint_bps: bounds?.constraint_bps(model.kind(), class_type),
                private_bps: bounds?.private_bps(class_type),
                reserved_bps: reserved[class_type.at()],
                borrowed_bps,
                lent_bps,
            })
        });
        let configured = slots.iter().filter(|slot| model.has_class(slots.class_type(*slot)));
        let unreserved = configured.map(|slot| UnreservedFigures {
            class_type: slots.class_type(slot).number(),
            priority: slots.priority(slot).number(),
            unreserved_bps: ledger.reach_bps(ix, slot),
            free_bps: ledger.free_bps(ix, slot),
        });
        Self {
            reserved_bps,
            utilisation_ppm: share_ppm(reserved_bps, link.max_reservable.as_bps()),
            classes: classes.collect(),
            unreserved: unreserved.collect(),
            allocations: vec![],
            allocation_count: ledger.count_on(ix),
            measured_bps: load.map(|load| load.carried_bps),
            measured_at: load.map(|load| Instant(load.at.0)),
        }
    }
}

/// Parts per million; of nothing, anything is the whole.
fn share_ppm(part: u64, whole: u64) -> u64 {
    match u128::from(part) * u128::from(PPM) {
        0 => 0,
        scaled => {
            scaled.checked_div(u128::from(whole)).map_or(u64::from(PPM), |ppm| u64::try_from(ppm).unwrap_or(u64::MAX))
        }
    }
}

/// A change to a link. Absent parts stay.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkRequest {
    /// In service, broken or to be drained; the other direction of the same fibre shares it.
    state: Option<StateDocument>,
    /// Another capacity. What may be reserved keeps its proportion to it, unless it is given too.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    capacity_bps: Option<u64>,
    /// Another maximum reservable bandwidth.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    max_reservable_bps: Option<u64>,
    /// Another TE metric.
    #[schema(minimum = 1, maximum = 16_777_215)]
    te_metric: Option<u32>,
    /// Another one-way delay.
    #[schema(maximum = 60_000_000)]
    delay_us: Option<u64>,
    /// Other shared-risk link groups.
    #[schema(max_items = 64)]
    srlg: Option<Vec<u32>>,
    /// Another administrative group.
    admin_group: Option<u32>,
}

impl LinkRequest {
    /// In the kernel's words.
    pub(crate) fn change(self) -> Result<LinkChange, Problem> {
        let bandwidth = |field, bps: Option<u64>| bps.map(|bps| bandwidth(field, bps)).transpose();
        Ok(LinkChange {
            state: self.state.map(Into::into),
            capacity: bandwidth("capacity_bps", self.capacity_bps)?,
            max_reservable: bandwidth("max_reservable_bps", self.max_reservable_bps)?,
            te_metric: self.te_metric,
            delay: self.delay_us.map(Micros),
            srlg: self.srlg,
            admin_group: self.admin_group,
        })
    }
}
