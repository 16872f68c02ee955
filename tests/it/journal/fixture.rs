//! A small world in which things happen at random, the same for the same seed: every kind of event, on two topologies.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::allocation::{Allocation, EndCause, Flow, Ipv4Prefix, Ipv6Prefix, LspAttributes, Owner, Protection};
use kernel::annotation::{Annotation, AnnotationField};
use kernel::auto_bandwidth::{AutoBandwidth, EarlyAdjustment, RateThreshold};
use kernel::bam::{ClassConfig, Model, ModelKind};
use kernel::class::{ClassType, Priority, TeClass};
use kernel::command::{
    AllocationChange, Command, Expected, HopKind, LinkChange, ModelChange, NamedConstraints, NamedHop, NamedRouteHop,
    OnMisfit, Request,
};
use kernel::controller::{ControllerAddress, DriverKind, RulesOnDelete};
use kernel::event::{Event, Fate};
use kernel::fact::Actor;
use kernel::id::{AllocationId, LinkIx, Name, NodeIx};
use kernel::intent::{MeterSettings, Numbering, RuleSettings};
use kernel::path::{Disjointness, Metric, Workspace};
use kernel::policy::{BandwidthModel, Policy, Restoration};
use kernel::tenant::{Quota, TenantTerms};
use kernel::topology::{CapacitySource, Link, LinkState, Node, Position, Switch, Topology};
use kernel::units::{Bandwidth, Micros, Millis, Overbooking, Share};
use kernel::{Fact, Names, Recorded, State, apply, decide};
use watermaster::journal::{Past, Receipt, RecordBatch};

/// Numbers that look random.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(3) { Some(make(self)) } else { None }
    }

    fn maybe_if<T>(&mut self, may: bool, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if may { self.maybe(make) } else { None }
    }

    fn small<T: TryFrom<u64>>(&mut self, sides: u64) -> T {
        T::try_from(self.roll(sides)).ok().unwrap()
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn bandwidth(bps: u64) -> Bandwidth {
    Bandwidth::from_bps(bps).unwrap()
}

/// A state with what happened to it.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) dice: Dice,
    pub(crate) now: Millis,
    workspace: Workspace,
}

/// What one event changed.
pub(crate) struct Happened {
    pub(crate) fact: Fact,
    pub(crate) before: State,
    pub(crate) past: Vec<Past>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let workspace = Workspace::default();
        Self { state: State::new(), dice: Dice::new(seed), now: Millis(1_700_000_000_000), workspace }
    }

    /// Carries out what is possible; an impossible command is `None`.
    pub(crate) fn carry_out(&mut self, command: &Command) -> Option<Happened> {
        self.now.0 += self.dice.roll(1_000);
        let event = decide(&self.state, command, self.now, &mut self.workspace).ok()?;
        let recorded = Recorded { sequence: self.state.sequence().next(), at: self.now, event };
        let before = self.state.clone();
        let changed = apply(&mut self.state, &recorded).unwrap();
        let past = changed.allocations.iter().filter_map(|old| ended(&recorded, &before, old)).collect();
        let actor = self.dice.maybe(|dice| Actor {
            name: name(TENANTS[dice.small::<usize>(2)]),
            address: dice.maybe(|_| "2001:db8::7".parse().unwrap()),
            token: dice.maybe(|_| name("00ff a2")),
        });
        Some(Happened { fact: Fact::of(recorded, &self.state).by(actor.map(Arc::new)), before, past })
    }

    /// Something happens.
    pub(crate) fn step(&mut self) -> Option<Happened> {
        let command = self.command();
        self.carry_out(&command)
    }

    /// `steps` things happen, or are refused; what happened is drafted.
    pub(crate) fn live(&mut self, steps: usize, draft: &mut RecordBatch) {
        for _ in 0..steps {
            let Some(happened) = self.step() else { continue };
            draft.push(&happened.fact, &happened.past).unwrap();
            if self.dice.one_in(8) {
                draft.push_receipt(receipt(&happened.fact));
            }
        }
    }

    fn command(&mut self) -> Command {
        if self.state.network("one").is_none() {
            return self.put_topology("one");
        }
        if self.state.network("two").is_none() {
            return self.put_topology("two");
        }
        match self.dice.roll(49) {
            0 => self.put_topology("one"),
            1 => Command::DeleteTopology { name: self.either(), expected: Expected::Any },
            2 => Command::SetModel {
                topology: self.either(),
                model: Arc::new(self.model()),
                expected: Expected::Any,
                switch: ModelChange::Hard,
            },
            3..6 => self.change_link(),
            6..8 => Command::Expire,
            8 => Command::Start,
            9..15 => Command::Release { id: self.somebody() },
            39 => self.controller(),
            40 => self.tenant(),
            45..47 => self.maintenance(),
            47..49 => self.notice(),
            43..45 => {
                let id = self.state.recovering_after(None).next().unwrap_or(AllocationId(0));
                Command::Recover { id, may_return: self.dice.one_in(2) }
            }
            41..43 => Command::Confirm { id: self.somebody() },
            15..19 => Command::Change { id: self.somebody(), change: Box::new(self.change()) },
            _ => Command::Allocate(Box::new(self.request())),
        }
    }

    /// Of what is foreseen; what was is lifted, now and then.
    fn notice(&mut self) -> Command {
        let topology = self.either();
        let lifted = self.state.notices().iter().map(|(id, _)| (id, None));
        let until = Millis(self.now.0 + 30_000);
        let foreseen = match self.dice.one_in(3) {
            true => BTreeMap::new(),
            false => kernel::foresee(&self.state, until, &mut self.workspace),
        };
        let mut notices: BTreeMap<_, _> = lifted.collect();
        notices.extend(foreseen.into_iter().map(|(id, notice)| (id, Some(notice))));
        Command::GiveNotice { topology, notices: notices.into_iter().collect() }
    }

    fn change(&mut self) -> AllocationChange {
        let now = self.now.0;
        let instant = |dice: &mut Dice| dice.maybe(|dice| Millis(now + 1 + dice.roll(20_000)));
        AllocationChange {
            bandwidth: Some(self.some_bandwidth()),
            constraints: self.dice.maybe(constraints),
            starts_at: self.dice.maybe(instant),
            expires_at: self.dice.maybe(instant),
            duration: None,
            protection: self.dice.maybe(|dice| dice.maybe(protection)),
            auto_bandwidth: self.dice.maybe(|dice| dice.maybe(|dice| Box::new(auto_bandwidth(dice)))),
            annotations: self.dice.maybe(annotation_change).into_iter().collect(),
        }
    }

    fn either(&mut self) -> Name {
        name(if self.dice.one_in(2) { "one" } else { "two" })
    }

    fn somebody(&mut self) -> AllocationId {
        let from = AllocationId(self.dice.roll(self.state.sequence().0 + 1));
        self.state.allocations_after(Some(from)).next().map_or(from, |allocation| allocation.id)
    }

    fn some_bandwidth(&mut self) -> Bandwidth {
        bandwidth(1 + self.dice.roll(400))
    }

    fn put_topology(&mut self, of: &str) -> Command {
        let topology = Arc::new(topology(&mut self.dice));
        let expected = if self.state.network(of).is_some() { Expected::Any } else { Expected::Unsaid };
        Command::PutTopology { name: name(of), topology, expected, misfits: OnMisfit::Evict }
    }

    fn change_link(&mut self) -> Command {
        let topology = self.either();
        let state = [LinkState::Up, LinkState::Up, LinkState::Down, LinkState::Maintenance];
        let change = LinkChange {
            state: self.dice.maybe(|dice| state[dice.small::<usize>(4)]),
            capacity: self.dice.maybe(|dice| bandwidth(500 + dice.roll(1_000))),
            te_metric: self.dice.maybe(|dice| 1 + dice.small::<u32>(9)),
            srlg: self.dice.maybe(|dice| vec![dice.small(9)]),
            is_avoided: Some(self.dice.one_in(2)).filter(|_| self.dice.one_in(2)),
            is_reported: self.dice.one_in(2),
            ..LinkChange::default()
        };
        Command::ChangeLink { topology, link: name(LINKS[self.dice.small::<usize>(LINKS.len() as u64)]), change }
    }

    fn controller(&mut self) -> Command {
        let name = name(["c1", "c2"][self.dice.small::<usize>(2)]);
        let topology = self.either();
        match self.dice.roll(7) {
            6 => {
                let instance = if self.dice.one_in(3) { None } else { Some(self::name("i")) };
                Command::LeadScheduler { instance, after: self.state.scheduler().term }
            }
            0 => Command::DeleteController { name, rules: RulesOnDelete::Leave },
            4 => Command::DeleteController { name, rules: RulesOnDelete::Remove },
            5 => {
                let after = self.state.controller(name.as_str()).map_or(0, |controller| controller.term());
                Command::LeadController { name, instance: self::name("i"), after }
            }
            1 => Command::PutController {
                name,
                driver: DriverKind::Simulated,
                address: None,
                topology,
                settings: self.rule_settings(),
            },
            roll => Command::PutController {
                name,
                driver: if roll == 2 { DriverKind::Ryu } else { DriverKind::Onos },
                address: Some(ControllerAddress::new("http://127.0.0.1:8080").unwrap()),
                topology,
                settings: self.rule_settings(),
            },
        }
    }

    fn rule_settings(&mut self) -> RuleSettings {
        let few = Numbering::new(1_000, 1, 2, 0x11, 100).unwrap();
        RuleSettings {
            numbering: if self.dice.roll(3) == 0 { few } else { Numbering::DEFAULT },
            meters: MeterSettings {
                burst_ms: self.dice.small::<u32>(3) + 1,
                packet_bytes: if self.dice.roll(2) == 0 { Some(500) } else { None },
            },
            has_queues: self.dice.roll(2) == 0,
        }
    }

    fn maintenance(&mut self) -> Command {
        let topology = self.either();
        let planned = self.state.network(topology.as_str()).and_then(|network| network.maintenances().next());
        if let Some(first) = planned.map(|one| one.id).filter(|_| self.dice.one_in(3)) {
            return Command::EndMaintenance { topology, id: first };
        }
        let starts_at = Millis(self.now.0 + self.dice.roll(10_000));
        Command::PlanMaintenance {
            topology,
            links: vec![name(LINKS[self.dice.small::<usize>(LINKS.len() as u64)])],
            nodes: vec![],
            starts_at,
            ends_at: Millis(starts_at.0 + 1 + self.dice.roll(20_000)),
            note: self.dice.maybe(|_| Annotation::parse("splice").unwrap().unwrap()),
        }
    }

    fn tenant(&mut self) -> Command {
        let name = name(TENANTS[self.dice.small::<usize>(2)]);
        if self.dice.one_in(5) {
            return Command::DeleteTenant { name };
        }
        let quotas = (0..self.dice.roll(3)).map(|_| Quota {
            topology: self.dice.maybe(|dice| self::name(["one", "two"][dice.small::<usize>(2)])),
            class_type: self.dice.maybe(|dice| ClassType::new(dice.small(3)).unwrap()),
            bandwidth_max: self.dice.maybe(|dice| bandwidth(1 + dice.roll(1_000))),
            bandwidth_hops_max: self.dice.maybe(|dice| bandwidth(1 + dice.roll(2_000))),
            allocations_max: self.dice.maybe(|dice| dice.small(6)),
        });
        let quotas = quotas.collect();
        let aggregators = ["ag-1", "ag-2"].map(self::name).into_iter().filter(|_| self.dice.one_in(2)).collect();
        let terms = TenantTerms {
            quotas,
            requests_max_per_s: self.dice.maybe(|_| std::num::NonZeroU32::MIN),
            weight: std::num::NonZeroU32::MIN.saturating_add(self.dice.small(3)),
            aggregators,
        };
        Command::PutTenant { name, terms }
    }

    fn request(&mut self) -> Request {
        let ingress = self.dice.small::<usize>(6);
        let egress = (ingress + 1 + self.dice.small::<usize>(5)) % 6;
        let setup_priority = self.dice.maybe(|dice| Priority::new(dice.small(8)).unwrap());
        let aggregator = self.dice.maybe(|dice| name(["ag-1", "ag-2"][dice.small::<usize>(2)]));
        Request {
            topology: Some(self.either()),
            ingress: name(NODES[ingress]),
            egress: name(NODES[egress]),
            class_type: ClassType::new(self.dice.small(3)).unwrap(),
            bandwidth: self.some_bandwidth(),
            setup_priority,
            hold_priority: setup_priority,
            constraints: self.dice.maybe(constraints).unwrap_or_default(),
            moves_max: None,
            duration: None,
            hold_for: if self.dice.one_in(5) { Some(Millis(1 + self.dice.roll(10_000))) } else { None },
            attributes: LspAttributes {
                owner: if aggregator.is_some() && self.dice.one_in(2) { Owner::Scheduler } else { Owner::Requester },
                aggregator,
                expires_at: self.dice.maybe(|dice| Millis(self.now.0 + 1 + dice.roll(20_000))),
                flow: self.dice.maybe(|dice| Box::new(flow(dice))),
                tenant: self.dice.maybe(|dice| name(TENANTS[dice.small::<usize>(2)])),
                starts_at: self.dice.maybe(|dice| Millis(self.now.0 + 1 + dice.roll(10_000))),
                held_until: None,
                annotations: self.dice.maybe(annotation_change).into_iter().collect(),
                protection: if self.dice.one_in(6) { Some(protection(&mut self.dice)) } else { None },
                is_bidirectional: self.dice.one_in(6),
                auto_bandwidth: if self.dice.one_in(4) { Some(Box::new(auto_bandwidth(&mut self.dice))) } else { None },
            },
        }
    }

    fn model(&mut self) -> BandwidthModel {
        let one = model(&mut self.dice);
        let link = if one.te_classes().is_empty() { self.dice.maybe(|_| name("ab")) } else { None };
        let overrides = link.map(|link| (link, uniform(ModelKind::Gbam, &mut self.dice)));
        let restoration = if self.dice.one_in(3) { Restoration::None } else { Restoration::Reroute };
        let refuse_above_percent = self.dice.maybe(|dice| 100 + dice.small::<u32>(2_000));
        let policy = Policy { restoration, refuse_above_percent, ..Policy::default() };
        BandwidthModel { model: one, overrides: overrides.into_iter().collect(), policy }
    }
}

/// A receipt for one event.
pub(crate) fn receipt(fact: &Fact) -> Receipt {
    Receipt {
        key: format!("key\0 \"{}\" é", fact.sequence.0),
        fingerprint: "ab".repeat(32),
        first: fact.sequence,
        count: 1,
        at: fact.at,
        refusals: None,
    }
}

/// What became of an allocation that an event changed, if it ended it.
fn ended(recorded: &Recorded, before: &State, old: &Arc<Allocation>) -> Option<Past> {
    let cause = match &recorded.event {
        Event::Released { .. } => Some(EndCause::Released),
        Event::Expired { .. } => Some(EndCause::Expired),
        Event::StartFailed { .. } => Some(EndCause::Failed),
        Event::TopologyPut { displaced, .. }
        | Event::ModelSet { displaced, .. }
        | Event::LinkChanged { displaced, .. }
        | Event::MaintenancePlanned { displaced, .. }
        | Event::Admitted { displaced, .. }
        | Event::Resized { displaced, .. }
        | Event::Started { displaced, .. } => {
            displaced.iter().find(|gone| gone.id == old.id).and_then(|gone| match gone.fate {
                Fate::Ended(cause) => Some(cause),
                Fate::Rerouted(_) | Fate::Unprotected => None,
            })
        }
        Event::TopologyDeleted { .. }
        | Event::Recovered { .. }
        | Event::Denied { .. }
        | Event::ControllerPut { .. }
        | Event::MaintenanceEnded { .. }
        | Event::PreemptionForeseen { .. }
        | Event::ControllerLed { .. }
        | Event::SchedulerLed { .. }
        | Event::ControllerDeleted { .. }
        | Event::TenantPut { .. }
        | Event::TenantDeleted { .. } => return None,
    };
    let topology = before.network(old.demand.topology.as_str())?.topology();
    Some(Past {
        allocation: Arc::clone(old),
        names: Names::of(topology),
        cause: cause?,
        ended_at: recorded.at,
        ended_by: recorded.sequence,
    })
}

const TENANTS: [&str; 2] = ["acme", "é'%"];
pub(crate) const NODES: [&str; 6] = ["a", "b", "c", "d", "é'%", "F\"_"];
pub(crate) const LINKS: [&str; 10] = ["ab", "ba", "bc", "cd", "de", "ef", "fa", "ad", "AB", "b_"];
pub(crate) const TEXTS: [&str; 6] = ["", "ACME", "acme", "ACME east %_", "note=x", "é'\""];
const ENDS: [(u32, u32); 10] = [(0, 1), (1, 0), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (0, 3), (0, 1), (1, 4)];

/// The six nodes, and most of the links.
fn topology(dice: &mut Dice) -> Topology {
    let nodes = NODES.iter().zip(1..).map(|(node, dpid)| Node {
        name: name(node),
        label: dice.maybe(|_| format!("\u{0}\u{10}\u{10}0 label of {node}\u{10}")),
        position: dice.maybe(|dice| match dice.roll(2) {
            0 => Position::Geographic { latitude_udeg: -dice.small::<i32>(90_000_000), longitude_udeg: 5 },
            _ => Position::Drawing { x_milli: -1, y_milli: dice.small(9_000_000_000) },
        }),
        switch: dice.maybe(|_| Switch { dpid: u64::MAX - dpid, host_ports: vec![HOST_PORT] }),
    });
    let nodes: Vec<_> = nodes.collect();
    let kept = (0..LINKS.len()).filter(|at| *at < 2 || !dice.one_in(8)).collect::<Vec<_>>();
    let links = kept.into_iter().map(|at| link(dice, at)).collect();
    Topology::new(nodes, links).unwrap()
}

const HOST_PORT: u32 = 1;

fn link(dice: &mut Dice, at: usize) -> Link {
    // Each link has ports of its own.
    let port = |end: usize| u32::try_from(2 * at + end).unwrap();
    Link {
        name: name(LINKS[at]),
        from: NodeIx(ENDS[at].0),
        to: NodeIx(ENDS[at].1),
        capacity: bandwidth(1_000),
        max_reservable: bandwidth(900 + dice.roll(300)),
        te_metric: 1 + dice.small::<u32>(5),
        delay: Micros(dice.roll(10_000)),
        srlg: dice.maybe(|dice| vec![dice.small(9), 11]).unwrap_or_default(),
        admin_group: dice.maybe(|dice| dice.small(8)).unwrap_or_default(),
        state: LinkState::Up,
        from_port: dice.maybe(|_| port(2)),
        to_port: dice.maybe(|_| port(3)),
        twin: [Some(LinkIx(1)), Some(LinkIx(0))].get(at).copied().flatten(),
        capacity_from: if dice.one_in(2) { CapacitySource::Given } else { CapacitySource::Label },
        is_avoided: false,
    }
}

/// A text of a field, or none.
fn annotation_change(dice: &mut Dice) -> (AnnotationField, Option<Annotation>) {
    let text = TEXTS[dice.small::<usize>(TEXTS.len() as u64)];
    (AnnotationField::ALL[dice.small::<usize>(3)], Annotation::parse(text).unwrap())
}

fn flow(dice: &mut Dice) -> Flow {
    let ip_proto = dice.maybe(|_| 6);
    let is_v6 = dice.one_in(4);
    Flow {
        in_port: dice.maybe(|_| HOST_PORT),
        ipv4_src: dice.maybe_if(!is_v6, |dice| Ipv4Prefix { address: [10, dice.small(255), 0, 0].into(), length: 16 }),
        ipv4_dst: dice.maybe_if(!is_v6, |_| Ipv4Prefix { address: [192, 168, 1, 1].into(), length: 32 }),
        ipv6_src: dice.maybe_if(is_v6, |dice| Ipv6Prefix {
            address: [0xfd00, 0, 0, 0, 0, 0, 0, dice.small(9)].into(),
            length: dice.small(129),
        }),
        ipv6_dst: None,
        vlan: dice.maybe(|dice| 1 + dice.small::<u16>(4_094)),
        dscp: dice.maybe(|dice| dice.small(64)),
        ip_proto,
        l4_dst: ip_proto.map(|_| dice.small(65_536)),
        out_port: dice.maybe(|_| HOST_PORT),
    }
}

fn protection(dice: &mut Dice) -> Protection {
    let disjointness = [Disjointness::Link, Disjointness::Srlg, Disjointness::Node][dice.small::<usize>(3)];
    let is_shared = dice.one_in(3);
    Protection { disjointness, is_shared, is_revertive: dice.one_in(2), is_best_effort: dice.one_in(2) }
}

fn auto_bandwidth(dice: &mut Dice) -> AutoBandwidth {
    let threshold = |dice: &mut Dice| RateThreshold { percent: dice.small(101), least: bandwidth(dice.roll(100)) };
    let early = |dice: &mut Dice| EarlyAdjustment { count: 1 + dice.small::<u8>(9), threshold: threshold(dice) };
    AutoBandwidth {
        sample_interval: Millis(1_000 + dice.roll(1_000)),
        adjustment_interval: Millis(2_000 + dice.roll(100_000)),
        minimum: bandwidth(1 + dice.roll(100)),
        maximum: bandwidth(300 + dice.roll(1_000)),
        adjustment_threshold: threshold(dice),
        overflow: dice.maybe(early),
        underflow: dice.maybe(early),
    }
}

fn constraints(dice: &mut Dice) -> NamedConstraints {
    let hop = |dice: &mut Dice| match dice.roll(2) {
        0 => NamedHop::Node(name(NODES[dice.small::<usize>(6)])),
        _ => NamedHop::Link(name(LINKS[dice.small::<usize>(7)])),
    };
    NamedConstraints {
        metric: dice.maybe(|dice| [Metric::Te, Metric::Hops, Metric::Delay][dice.small::<usize>(3)]),
        max_hops: dice.maybe(|dice| 1 + dice.small::<u32>(4)),
        max_delay: dice.maybe(|dice| Micros(dice.roll(40_000))),
        include: dice.maybe(|dice| vec![hop(dice)]).unwrap_or_default(),
        exclude: dice.maybe(|dice| vec![hop(dice)]).unwrap_or_default(),
        include_any: 0,
        exclude_any: dice.maybe(|dice| dice.small(3)).unwrap_or_default(),
        route: dice.maybe(|dice| vec![NamedRouteHop { hop: hop(dice), looseness: HopKind::Loose }]).unwrap_or_default(),
    }
}

fn model(dice: &mut Dice) -> Model {
    let kind = [ModelKind::Mam, ModelKind::Rdm, ModelKind::Gbam, ModelKind::Atcs][dice.small::<usize>(4)];
    if !matches!(kind, ModelKind::Mam | ModelKind::Rdm) || dice.one_in(2) {
        return uniform(kind, dice);
    }
    let te_class = |class_type: u8, priority: u8| TeClass {
        class_type: ClassType::new(class_type).unwrap(),
        priority: Priority::new(priority).unwrap(),
    };
    let te_classes = vec![te_class(2, 0), te_class(1, 3), te_class(1, 5), te_class(0, 5), te_class(0, 7)];
    Model::new(kind, classes(dice), te_classes).unwrap()
}

fn uniform(kind: ModelKind, dice: &mut Dice) -> Model {
    Model::new(kind, classes(dice), vec![]).unwrap()
}

fn classes(dice: &mut Dice) -> Vec<ClassConfig> {
    let first = 100_000 + dice.small::<u32>(200_000);
    let class = |number: u8, ppm: u32| ClassConfig {
        class_type: ClassType::new(number).unwrap(),
        share: Share::from_ppm(ppm).unwrap(),
        high_to_low: Share::from_ppm(ppm / 2).unwrap(),
        low_to_high: Share::from_ppm(ppm / 3).unwrap(),
        overbooking: Overbooking::from_ppm(1_000_000 + ppm).unwrap(),
    };
    vec![class(0, first), class(1, 300_000), class(2, 700_000 - first)]
}
