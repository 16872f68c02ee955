//! What is true now, as gauges, read from the state at each scrape. Links have series of their own up to a limit;
//! larger networks have only sums, so that the number of series stays bounded.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::app::{App, QUEUE_MAX};
use kernel::State;
use kernel::bam::by_class;
use kernel::class::CLASS_TYPES;
use kernel::state::Network;
use kernel::topology::LinkState;

/// How many links of a network have series of their own; a larger network has only sums.
const LINK_SERIES_MAX: usize = 2_000;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct TopologyLabel {
    topology: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ClassLabel {
    topology: String,
    class_type: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LinksLabel {
    topology: String,
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LinkLabel {
    topology: String,
    link: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LinkClassLabel {
    topology: String,
    link: String,
    class_type: u8,
}

type Bps<L> = Family<L, Gauge<u64, AtomicU64>>;

/// The gauges of networks and their links.
#[derive(Default)]
struct NetworkGauges {
    allocations: Family<ClassLabel, Gauge>,
    unprotected: Family<TopologyLabel, Gauge>,
    links: Family<LinksLabel, Gauge>,
    topology_reservable: Bps<TopologyLabel>,
    topology_reserved: Bps<ClassLabel>,
    link_up: Family<LinkLabel, Gauge>,
    link_capacity: Bps<LinkLabel>,
    link_reservable: Bps<LinkLabel>,
    link_reserved: Bps<LinkClassLabel>,
    link_borrowed: Bps<LinkClassLabel>,
    link_free: Bps<LinkClassLabel>,
}

/// Adds the gauges of the networks.
pub(super) async fn draw(app: &App, registry: &mut Registry) {
    let (up, waiting) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    up.set(i64::from(app.database_fault().is_none()));
    waiting.set(i64::try_from(app.waiting()).unwrap_or(i64::MAX));
    registry.register("journal_up", "Whether the journal takes writes", up);
    registry.register("queue_submissions", "Submissions that wait to be decided", waiting);
    let limit = Gauge::<i64>::default();
    limit.set(i64::try_from(QUEUE_MAX).unwrap_or(i64::MAX));
    registry.register("queue_limit_submissions", "How many may wait", limit);
    let sequence = Gauge::<u64, AtomicU64>::default();
    registry.register("journal_sequence", "The last event committed", sequence.clone());
    let left_out = Gauge::<i64>::default();
    left_out.set(i64::try_from(app.links_left_out()).unwrap_or(i64::MAX));
    registry.register("link_history_left_out_links", "Links beyond those that are sampled", left_out);
    let gauges = NetworkGauges::default();
    gauges.register(registry);
    app.read(|state| {
        sequence.set(state.sequence().0);
        gauges.fill(state);
    });
}

impl NetworkGauges {
    fn register(&self, registry: &mut Registry) {
        let mut bps = |name: &str, help: &str, gauges: &Bps<_>| registry.register(name, help, gauges.clone());
        bps("link_capacity_bits_per_second", "Capacity of a link", &self.link_capacity);
        bps("link_reservable_bits_per_second", "What may be reserved on a link", &self.link_reservable);
        let mut bps = |name: &str, help: &str, gauges: &Bps<_>| registry.register(name, help, gauges.clone());
        bps("link_reserved_bits_per_second", "Reserved on a link", &self.link_reserved);
        bps("link_borrowed_bits_per_second", "Reserved beyond the private share of the class", &self.link_borrowed);
        bps("link_free_bits_per_second", "What a class could have without preemption", &self.link_free);
        let reserved = "Reserved on all links of a topology";
        registry.register("topology_reserved_bits_per_second", reserved, self.topology_reserved.clone());
        let reservable = "What may be reserved on all links of a topology that are in service";
        registry.register("topology_reservable_bits_per_second", reservable, self.topology_reservable.clone());
        registry.register("allocations", "Living allocations", self.allocations.clone());
        let unprotected = "Living allocations without the backup path that they ask for";
        registry.register("allocations_unprotected", unprotected, self.unprotected.clone());
        registry.register("links", "Links by state", self.links.clone());
        registry.register("link_up", "Whether a link is in service", self.link_up.clone());
    }

    fn fill(&self, state: &State) {
        for (name, network) in state.networks() {
            let topology = name.to_string();
            for (class_type, count) in network.living_by_class() {
                let label = ClassLabel { topology: topology.clone(), class_type: class_type.number() };
                self.allocations.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            self.unprotected.get_or_create(&TopologyLabel { topology: topology.clone() }).set(0);
            self.fill_sums(&topology, network);
            if network.topology().link_count() <= LINK_SERIES_MAX {
                self.fill_links(&topology, network);
            }
        }
        let recovering = state.recovering_after(None).filter_map(|id| state.allocation(id));
        for allocation in recovering.filter(|allocation| allocation.is_unprotected()) {
            let label = TopologyLabel { topology: allocation.demand.topology.to_string() };
            self.unprotected.get_or_create(&label).inc();
        }
    }

    fn fill_sums(&self, topology: &str, network: &Network) {
        let ledger = network.ledger();
        let mut sums = [0_u64; CLASS_TYPES];
        let mut reservable = 0_u64;
        for state in [LinkState::Up, LinkState::Down, LinkState::Maintenance] {
            let label = LinksLabel { topology: topology.to_owned(), state: word(state) };
            let count = network.topology().links().filter(|(_, link)| link.state == state).count();
            self.links.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for (ix, link) in network.topology().links() {
            for (sum, bps) in sums.iter_mut().zip(by_class(ledger.slots(), &ledger.booked(ix))) {
                *sum = sum.saturating_add(bps);
            }
            if link.state == LinkState::Up {
                reservable = reservable.saturating_add(link.max_reservable.as_bps());
            }
        }
        for class in network.model().model.classes() {
            let label = ClassLabel { topology: topology.to_owned(), class_type: class.class_type.number() };
            self.topology_reserved.get_or_create(&label).set(sums[class.class_type.at()]);
        }
        self.topology_reservable.get_or_create(&TopologyLabel { topology: topology.to_owned() }).set(reservable);
    }

    fn fill_links(&self, topology: &str, network: &Network) {
        let ledger = network.ledger();
        for (ix, link) in network.topology().links() {
            let label = LinkLabel { topology: topology.to_owned(), link: link.name.to_string() };
            self.link_up.get_or_create(&label).set(i64::from(link.state == LinkState::Up));
            self.link_capacity.get_or_create(&label).set(link.capacity.as_bps());
            self.link_reservable.get_or_create(&label).set(link.max_reservable.as_bps());
            let booked = ledger.booked(ix);
            let reserved = by_class(ledger.slots(), &booked);
            for class in network.model().of_link(&link.name).classes() {
                let (class_type, LinkLabel { topology, link }) = (class.class_type, label.clone());
                let label = LinkClassLabel { topology, link, class_type: class_type.number() };
                self.link_reserved.get_or_create(&label).set(reserved[class_type.at()]);
                let loans = ledger.bounds(ix).map(|bounds| bounds.loans_bps(ledger.slots(), &booked, class_type));
                self.link_borrowed.get_or_create(&label).set(loans.map_or(0, |(borrowed, _)| borrowed));
                let slots = ledger.slots().iter().filter(|slot| ledger.slots().class_type(*slot) == class_type);
                let free = slots.map(|slot| ledger.free_bps(ix, slot)).max().unwrap_or(0);
                self.link_free.get_or_create(&label).set(free);
            }
        }
    }
}

fn word(state: LinkState) -> &'static str {
    match state {
        LinkState::Up => "up",
        LinkState::Down => "down",
        LinkState::Maintenance => "maintenance",
    }
}
