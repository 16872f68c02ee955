//! How the switches of a protected path fail over by themselves: a group at the ingress sends packets into the backup path when
//! the first port is dead; a group at a transit sends them back by the way they came, and the ingress then into the backup path
//! (the reversed primary path of draft-haskin-mpls-fast-reroute). Packets of one label are told apart by the port at which they
//! come in, so that no path needs more labels.
//!
//! What must stay true: the places of all these rules differ, and a packet is sent back once at most.

use std::collections::BTreeSet;

use super::datapath::{Dpid, PortNo};
use super::group::Fallback;
use crate::allocation::Allocation;
use crate::topology::{Link, Topology};

/// What the switches of a protected path do when a port of it is dead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failover {
    /// The port by which packets leave the ingress into the backup path.
    entry: PortNo,
    /// The ports at which packets come in at the transits of the working path, from the first on, as far as links lead back.
    back: Vec<PortNo>,
    /// The transits of the backup path, each with the ports at which packets come in and by which they leave.
    pub(super) transits: Vec<(Dpid, PortNo, PortNo)>,
}

impl Failover {
    /// `None` without a backup path, or where a port of it is not known. `hops` are the switches of the working path with the
    /// ports by which packets leave them.
    pub(super) fn of(allocation: &Allocation, topology: &Topology, hops: &[(Dpid, PortNo)]) -> Option<Self> {
        let links = |path: &[_]| path.iter().map(|ix| topology.link(*ix)).collect::<Option<Vec<&Link>>>();
        let (working, backup) = (links(&allocation.path)?, links(allocation.backup()?)?);
        let entry = PortNo(backup.first()?.from_port?);
        let back: Vec<PortNo> =
            working.iter().take(working.len().saturating_sub(1)).map_while(|link| back_port(link, topology)).collect();
        let transit = |pair: &[&Link]| {
            let [into, out] = pair else { return None };
            let switch = topology.node(out.from)?.switch.as_ref()?;
            Some((Dpid(switch.dpid), PortNo(into.to_port?), PortNo(out.from_port?)))
        };
        let transits = backup.windows(2).map(transit).collect::<Option<Vec<_>>>()?;
        let failover = Self { entry, back, transits };
        failover.has_different_places(hops).then_some(failover)
    }

    /// The port at which packets come in at the hop, if they can be sent back there.
    pub(super) fn back(&self, hop: usize) -> Option<PortNo> {
        self.back.get(hop.checked_sub(1)?).copied()
    }

    /// Where a hop sends packets when the port of the working path is dead.
    pub(super) fn fallback(&self, hop: usize) -> Option<Fallback> {
        if hop == 0 { Some(Fallback::To(self.entry)) } else { self.back(hop).map(Fallback::Back) }
    }

    /// Where a hop sends packets that the next one has sent back.
    pub(super) fn way_of_sent_back(&self, hop: usize) -> Option<PortNo> {
        self.back(hop.saturating_add(1))?;
        if hop == 0 { Some(self.entry) } else { self.back(hop) }
    }

    fn has_different_places(&self, hops: &[(Dpid, PortNo)]) -> bool {
        let mut places: BTreeSet<(Dpid, PortNo)> = BTreeSet::new();
        let forward = hops.iter().enumerate().filter_map(|(at, (dpid, _))| Some((*dpid, self.back(at)?)));
        let returned = hops.iter().enumerate().filter_map(|(at, (dpid, port))| {
            self.way_of_sent_back(at)?;
            Some((*dpid, *port))
        });
        let standby = self.transits.iter().map(|(dpid, into, _)| (*dpid, *into));
        forward.chain(returned).chain(standby).all(|place| places.insert(place))
    }
}

/// The port at the head of a link by which packets can be sent back: the link has another direction, by the same ports.
fn back_port(link: &Link, topology: &Topology) -> Option<PortNo> {
    let twin = topology.link(link.twin?)?;
    let are_same = link.to_port.is_some() && twin.from_port == link.to_port && twin.to_port == link.from_port;
    if are_same { link.to_port.map(PortNo) } else { None }
}
