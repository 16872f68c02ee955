//! The bandwidth model of a topology: which bounds its links are held to, link by link where they differ, and the
//! policies of choice that go with it.

use std::collections::BTreeMap;

use super::allocation::{Allocation, Demand};
use super::bam::{ClassConfig, Model, ModelError, ModelKind, VictimOrder, VictimPolicy};
use super::class::{ClassType, TeClass};
use super::id::Name;
use super::path::Metric;
use super::units::{Overbooking, Share};

/// A topology's bandwidth model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BandwidthModel {
    /// What holds on every link.
    pub model: Model,
    /// What holds instead on single links, by link name. Classes and TE-classes are the same everywhere.
    pub overrides: BTreeMap<Name, Model>,
    /// How choices are made.
    pub policy: Policy,
}

/// How choices are made where the model leaves one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// The class that loses bandwidth first.
    pub victim_order: VictimOrder,
    /// How victims are chosen within a class.
    pub victim_policy: VictimPolicy,
    /// The path to take where some paths need victims.
    pub path_choice: PathChoice,
    /// What paths minimise, where a request does not say.
    pub path_metric: Metric,
    /// What becomes of displaced allocations.
    pub restoration: Restoration,
    /// What may move before a demand is denied.
    pub relocation: RelocationPolicy,
    /// Refuse a path whose congestion is more than this many percent of an empty shortest path's, counted in hops
    /// (admission by price, after Awerbuch, Azar and Plotkin); only under [`Metric::Congestion`] and
    /// [`Metric::CongestionTe`].
    pub refuse_above_percent: Option<u32>,
}

/// What may move before a demand is denied. Under [`Restoration::None`] nothing does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RelocationPolicy {
    /// How many allocations one demand may have moved to other paths; at most [`MOVES_MAX`].
    pub max_moves: u8,
}

/// The most allocations that one demand may have moved.
pub const MOVES_MAX: u8 = 10;

impl Default for RelocationPolicy {
    fn default() -> Self {
        Self { max_moves: 3 }
    }
}

/// The path to take where some paths need victims.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PathChoice {
    /// A path that needs no victims, however long, before one that does.
    #[default]
    AvoidVictims,
    /// The fewest hops, victims or not, as BAMSim does.
    FewestHops,
}

/// What becomes of a displaced LSP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Restoration {
    /// It is rerouted if there is another path.
    #[default]
    Reroute,
    /// It ends.
    None,
}

impl BandwidthModel {
    /// The same model on every link, with the default policies.
    pub fn uniform(model: Model) -> Self {
        Self { model, overrides: BTreeMap::new(), policy: Policy::default() }
    }

    /// The model of a topology for which none was set: ATCS over the three QoS levels of PSIoT-Orch, insensitive, sensitive
    /// and priority, with 25, 35 and 40 %.
    ///
    /// # Errors
    /// None occurs: the shares sum to the whole.
    pub fn standard() -> Result<Self, ModelError> {
        let class = |number: u8, percent: u32| ClassConfig {
            class_type: ClassType::new(number).unwrap_or(ClassType::LOWEST),
            share: Share::from_ppm(percent * 10_000).unwrap_or(Share::NONE),
            high_to_low: Share::WHOLE,
            low_to_high: Share::WHOLE,
            overbooking: Overbooking::NONE,
        };
        Ok(Self::uniform(Model::new(ModelKind::Atcs, vec![class(0, 25), class(1, 35), class(2, 40)], vec![])?))
    }

    /// What holds on the link of this name.
    pub fn of_link(&self, link: &Name) -> &Model {
        self.overrides.get(link).unwrap_or(&self.model)
    }
}

/// The TE-class with which a demand may preempt.
pub(super) fn te_class(demand: &Demand) -> TeClass {
    TeClass { class_type: demand.class_type, priority: demand.setup_priority }
}

/// An allocation under another model than the one it was admitted under: priorities that were the default become the new
/// default. `None` where its priorities make no TE-class there.
pub(super) fn under_model(allocation: &Allocation, before: &Model, now: &Model) -> Option<Allocation> {
    let counterpart = |priority| {
        let class_type = allocation.demand.class_type;
        now.counterpart(before, TeClass { class_type, priority }).map(|te_class| te_class.priority)
    };
    let setup_priority = counterpart(allocation.demand.setup_priority)?;
    let hold_priority = counterpart(allocation.demand.hold_priority)?;
    let demand = Demand { setup_priority, hold_priority, ..allocation.demand.clone() };
    (hold_priority <= setup_priority).then(|| Allocation { demand, ..allocation.clone() })
}
