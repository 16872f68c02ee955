//! The other direction of a bidirectional allocation on switches: a path of its own over the other directions of the links,
//! for the packets of the reversed flow. What must stay true: its rules have labels that no path of its allocation has beside
//! it, and its id is that of no allocation.

use std::sync::Arc;

use super::flow_number::FlowNumber;
use crate::allocation::{Allocation, Demand, Flow, LspAttributes, Recovery};
use crate::id::{AllocationId, LinkIx};
use crate::topology::Topology;

/// No allocation has such an id: its number would fit no cookie.
const RETURN_BIT: u64 = 1 << 63;
/// Of the labels of a flow, those of the way there and of the return lie as far apart as they can: the two of an old path and
/// the two of a new one stand side by side. Cookies differ besides, so that no rule of a return passes for one of a later way
/// there that has its label.
const RETURN_EPOCHS: u8 = 128 + 2;

/// The id under which the return of an allocation is planned.
pub(super) fn return_id(id: AllocationId) -> AllocationId {
    AllocationId(id.0 | RETURN_BIT)
}

/// The allocation, whichever of its ways the id stands for.
pub(super) fn allocation_id(id: AllocationId) -> AllocationId {
    AllocationId(id.0 & !RETURN_BIT)
}

/// Whether an id stands for a return.
pub(super) fn is_return(id: AllocationId) -> bool {
    id.0 & RETURN_BIT != 0
}

/// The return of a bidirectional allocation; `None` of another.
pub(super) fn return_of(allocation: &Allocation, topology: &Topology) -> Option<Allocation> {
    if !allocation.demand.attributes.is_bidirectional {
        return None;
    }
    let back = |path: &Arc<[LinkIx]>| -> Option<Arc<[LinkIx]>> {
        path.iter().rev().map(|link| topology.link(*link)?.twin).collect()
    };
    let Demand { ingress, egress, attributes, .. } = allocation.demand.clone();
    let flow = attributes.flow.as_deref().map(|flow| Box::new(reversed(flow)));
    let attributes = LspAttributes { flow, ..attributes };
    Some(Allocation {
        id: return_id(allocation.id),
        demand: Demand { ingress: egress, egress: ingress, attributes, ..allocation.demand.clone() },
        path: back(&allocation.path)?,
        recovery: Recovery::of(allocation.backup().and_then(back), None),
        ..allocation.clone()
    })
}

/// The number of a return, of that of its allocation.
pub(super) fn return_number(mut number: FlowNumber) -> FlowNumber {
    number.epoch = number.epoch.wrapping_add(RETURN_EPOCHS);
    number
}

fn reversed(flow: &Flow) -> Flow {
    let Flow { in_port, ipv4_src, ipv4_dst, ipv6_src, ipv6_dst, vlan, dscp, ip_proto, l4_dst: _, out_port } = *flow;
    Flow {
        in_port: out_port,
        ipv4_src: ipv4_dst,
        ipv4_dst: ipv4_src,
        ipv6_src: ipv6_dst,
        ipv6_dst: ipv6_src,
        vlan,
        dscp,
        ip_proto,
        l4_dst: None,
        out_port: in_port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_has_the_label_of_a_later_way_there_and_not_its_cookie() {
        for epoch in 0..=u8::MAX {
            let back = return_number(FlowNumber::new(1, epoch).unwrap());
            assert_eq!(back.epoch % 4, epoch.wrapping_add(2) % 4);
            for changes in 0..100 {
                assert_ne!(back.epoch, epoch.wrapping_add(changes), "{epoch}, and {changes} changes later");
            }
        }
    }
}
