//! Bandwidth models: what engineers put, what is answered, and what `replay` reads.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::effects::Effects;
use crate::words::words;

words! {
    /// The bandwidth allocation model.
    ModelName {
        /// Maximum allocation model, RFC 4125.
        Mam "mam"
        /// Russian dolls model, RFC 4127.
        Rdm "rdm"
        /// Generalised bandwidth allocation model, with any loans.
        Gbam "gbam"
        /// AllocTC-Sharing.
        Atcs "atcs"
    }

    /// The order in which classes are preempted.
    #[derive(Default)]
    VictimOrderName {
        /// Higher classes first: preempts the fewest allocations.
        #[default]
        HighestFirst "highest_first"
        /// Lower classes first.
        LowestFirst "lowest_first"
    }

    /// The choice of victims within a class, after RFC 4829.
    #[derive(Default)]
    VictimPolicyName {
        /// Those that together have the least bandwidth that is enough.
        #[default]
        LeastBandwidth "least_bandwidth"
        /// The newest first. With `lowest_first` the choice of the BAMSim simulator to the letter.
        Newest "newest"
        /// The fewest that are enough.
        Fewest "fewest"
    }

    /// The path that is taken when some paths need preemption.
    #[derive(Default)]
    PathChoiceName {
        /// A path that needs none, if there is any.
        #[default]
        AvoidVictims "avoid_victims"
        /// The path with the fewest hops.
        FewestHops "fewest_hops"
    }

    /// What a path minimises.
    #[derive(Default)]
    PathMetricName {
        /// An exponential in utilisation; of equally loaded paths the one with the least TE metric.
        #[default]
        Congestion "congestion"
        /// The TE metric times that exponential.
        CongestionTe "congestion_te"
        /// The TE metric.
        Te "te"
        /// The number of links.
        Hops "hops"
        /// The one-way delay.
        Delay "delay"
    }

    /// What becomes of an allocation that has to leave its path.
    #[derive(Default)]
    RestorationName {
        /// It gets another path, if there is one.
        #[default]
        Reroute "reroute"
        /// It is over.
        None "none"
    }
}

/// What may move before a request is denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Relocation)]
pub struct RelocationDocument {
    /// How many allocations of the same or a lower class one request may have moved to other paths, make-before-break, so
    /// that it fits; 0: none. With `restoration` `none` nothing moves either.
    #[schema(minimum = 0, maximum = 10)]
    pub max_moves: u8,
}

impl Default for RelocationDocument {
    fn default() -> Self {
        Self { max_moves: 3 }
    }
}

/// A bandwidth model and the policies that go with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BandwidthModel)]
pub struct BandwidthModelDocument {
    /// The bandwidth allocation model.
    pub model: ModelName,
    /// The class types, at most eight. Absent: CT0, CT1 and CT2 with 25, 35 and 40 %.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub classes: Vec<BandwidthModelClass>,
    /// TE-classes (RFC 4124); absent: the class is the only priority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub te_classes: Vec<TeClassDocument>,
    /// The order in which classes are preempted.
    #[serde(default)]
    pub victim_order: VictimOrderName,
    /// How victims are chosen within a class. None is chosen that is not needed.
    #[serde(default)]
    pub victim_policy: VictimPolicyName,
    /// The path that is taken when some paths need preemption.
    #[serde(default)]
    pub path_choice: PathChoiceName,
    /// What paths minimise where a request does not say.
    #[serde(default)]
    pub path_metric: PathMetricName,
    /// What becomes of an allocation that has to leave its path.
    #[serde(default)]
    pub restoration: RestorationName,
    /// What may move before a request is denied.
    #[serde(default)]
    pub relocation: RelocationDocument,
    /// Under the metrics `congestion` and `congestion_te`: refuse a path whose congestion exceeds this many percent of an
    /// empty path with the fewest hops. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 1_000_000, nullable = false)]
    pub refuse_above_percent: Option<u32>,
    /// Links with bounds of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10_000)]
    pub link_overrides: Vec<BandwidthModelOverride>,
}

/// What one class type may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BandwidthModelClass {
    /// The class type, 0 (lowest) to 7.
    #[schema(minimum = 0, maximum = 7)]
    pub class_type: u8,
    /// Its private share of a link's maximum reservable bandwidth, in parts per million. Over all classes the shares sum to
    /// 1,000,000; under `mam` they may sum to more, and then better classes preempt when the link is full (RFC 4125).
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub share_ppm: u32,
    /// The part of its share that it lends to lower classes. Only `gbam` reads it; the other models fix it.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub high_to_low_ppm: u32,
    /// The part of its share that it lends to higher classes. Only `gbam` reads it; the other models fix it.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub low_to_high_ppm: u32,
    /// Local overbooking multiplier: 2,000,000 lets twice the share be reserved.
    #[serde(default = "once")]
    #[schema(minimum = 1_000, maximum = 1_000_000_000)]
    pub overbooking_ppm: u32,
    /// In answers: the class's bandwidth constraint as its RFC has it, in parts per million of the maximum reservable
    /// bandwidth (BCc; nested under RDM; share and all loans under G-BAM and ATCS). Not read in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(read_only, nullable = false)]
    pub constraint_ppm: Option<u64>,
}

fn once() -> u32 {
    1_000_000
}

/// A class type at a preemption priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TeClass)]
pub struct TeClassDocument {
    /// The class type, 0 (lowest) to 7.
    #[schema(minimum = 0, maximum = 7)]
    pub class_type: u8,
    /// The preemption priority, 0 (best) to 7.
    #[schema(minimum = 0, maximum = 7)]
    pub priority: u8,
}

/// A link's own bounds; its class types must be those of the topology's model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BandwidthModelOverride {
    /// The name of the link.
    #[schema(min_length = 1, max_length = 255)]
    pub link: String,
    /// The bandwidth allocation model.
    pub model: ModelName,
    /// The class types.
    #[schema(max_items = 8)]
    pub classes: Vec<BandwidthModelClass>,
}

/// A bandwidth model and the policies that go with it, as a request. What was read can be put back as it is.
#[derive(Clone, PartialEq, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BandwidthModelRequest {
    /// The bandwidth allocation model.
    pub model: ModelName,
    /// The class types, at most eight. Absent: CT0, CT1 and CT2 with 25, 35 and 40 %.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub classes: Vec<BandwidthModelClass>,
    /// TE-classes (RFC 4124); absent: the class is the only priority.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub te_classes: Vec<TeClassDocument>,
    /// The order in which classes are preempted.
    #[serde(default)]
    pub victim_order: VictimOrderName,
    /// How victims are chosen within a class. None is chosen that is not needed.
    #[serde(default)]
    pub victim_policy: VictimPolicyName,
    /// The path that is taken when some paths need preemption.
    #[serde(default)]
    pub path_choice: PathChoiceName,
    /// What paths minimise where a request does not say.
    #[serde(default)]
    pub path_metric: PathMetricName,
    /// What becomes of an allocation that has to leave its path.
    #[serde(default)]
    pub restoration: RestorationName,
    /// What may move before a request is denied.
    #[serde(default)]
    pub relocation: RelocationDocument,
    /// Under the metrics `congestion` and `congestion_te`: refuse a path whose congestion exceeds this many percent of an
    /// empty path with the fewest hops. Absent: never.
    #[schema(minimum = 100, maximum = 1_000_000)]
    pub refuse_above_percent: Option<u32>,
    /// Links with bounds of their own.
    #[serde(default)]
    #[schema(max_items = 10_000)]
    pub link_overrides: Vec<BandwidthModelOverride>,
    /// Not read: If-Match counts.
    #[serde(default, rename = "revision")]
    #[schema(value_type = Option<String>)]
    _revision: Option<IgnoredAny>,
}

impl From<BandwidthModelRequest> for BandwidthModelDocument {
    fn from(request: BandwidthModelRequest) -> Self {
        Self {
            model: request.model,
            classes: request.classes,
            te_classes: request.te_classes,
            victim_order: request.victim_order,
            victim_policy: request.victim_policy,
            path_choice: request.path_choice,
            path_metric: request.path_metric,
            restoration: request.restoration,
            relocation: request.relocation,
            refuse_above_percent: request.refuse_above_percent,
            link_overrides: request.link_overrides,
        }
    }
}

/// The bandwidth model in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BandwidthModelInForce {
    /// The model.
    #[serde(flatten)]
    pub model: BandwidthModelDocument,
    /// The revision, for If-Match in quotation marks.
    pub revision: String,
}

/// A bandwidth model in force, or as it would be, and what that did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BandwidthModelOutcome {
    /// The model.
    #[serde(flatten)]
    pub model: BandwidthModelDocument,
    /// The revision, for If-Match in quotation marks; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revision: Option<String>,
    /// What was made of the document, such as shares scaled to the whole.
    pub warnings: Vec<String>,
    /// What happened to allocations.
    #[serde(flatten)]
    pub effects: Effects,
    /// Present and true if nothing of this happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dry_run: bool,
}
