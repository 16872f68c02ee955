//! Links as documents.

use super::instant;
use crate::app::LinkReport;
use api::link::{ALLOCATIONS_LISTED_MAX, ClassFigures, LinkDocument, LinkFigures, LinkProperties, UnreservedFigures};
use formats::link_state_name;
use kernel::Names;
use kernel::bam::by_class;
use kernel::id::LinkIx;
use kernel::state::Network;
use kernel::topology::Link;
use kernel::units::PPM;

/// Whether a link lists its allocations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http) enum AllocationList {
    Listed,
    Counted,
}

/// A link with what is reserved on it.
pub(in crate::http) fn link(
    network: &Network,
    ix: LinkIx,
    link: &Link,
    report: LinkReport,
    list: AllocationList,
) -> LinkDocument {
    LinkDocument {
        properties: properties(&Names::of(network.topology()), link),
        figures: figures(network, ix, link, report, list),
    }
}

/// What a link is.
pub(in crate::http) fn properties(names: &Names, link: &Link) -> LinkProperties {
    LinkProperties {
        link: link.name.to_string(),
        from: super::node(names, link.from),
        to: super::node(names, link.to),
        state: link_state_name(link.state),
        capacity_bps: link.capacity.as_bps(),
        max_reservable_bps: link.max_reservable.as_bps(),
        te_metric: link.te_metric,
        delay_us: link.delay.0,
        srlg: link.srlg.clone(),
        admin_group: link.admin_group,
        from_port: link.from_port,
        to_port: link.to_port,
        twin: link.twin.map(|twin| super::link_name(names, twin)),
        avoided: link.is_avoided,
    }
}

/// What the books have of a link.
pub(in crate::http) fn figures(
    network: &Network,
    ix: LinkIx,
    link: &Link,
    report: LinkReport,
    list: AllocationList,
) -> LinkFigures {
    let ledger = network.ledger();
    let allocations = match list {
        AllocationList::Listed => ledger.on_link(ix).take(ALLOCATIONS_LISTED_MAX).map(|id| id.to_string()).collect(),
        AllocationList::Counted => vec![],
    };
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
    LinkFigures {
        reserved_bps,
        utilisation_ppm: share_ppm(reserved_bps, link.max_reservable.as_bps()),
        classes: classes.collect(),
        unreserved: unreserved.collect(),
        allocations,
        allocation_count: ledger.count_on(ix),
        measured_bps: report.load.map(|load| load.carried_bps),
        measured_at: report.load.map(|load| instant(load.at)),
        problem: report.problem.map(|problem| problem.to_string()),
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
