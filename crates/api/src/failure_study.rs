//! What links, nodes, shared-risk link groups or pairs of links take with them when they fail, now and as traffic grows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::effects::VictimOutcome;
use crate::words::words;

/// The most growths of one study.
pub const GROWTHS_MAX: usize = 16;
/// The most that traffic grows, in parts per million: a hundredfold.
pub const GROWTH_MAX_PPM: u32 = 100_000_000;
/// The most failures of one study, over all growths.
pub const SCENARIOS_MAX: usize = 10_000;
/// The most allocations that one list names.
pub const LISTED_MAX: usize = 1_000;
/// How many allocations one list names, where the request does not say.
pub const LISTED_DEFAULT: usize = 100;
/// The most allocations that all lists of an answer name together.
pub const LISTED_IN_ALL_MAX: usize = 10_000;
/// The most links that an answer lists for each growth.
pub const LINKS_LISTED_MAX: usize = 1_000;

/// Which failures are studied.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct FailureStudyRequest {
    /// What fails.
    pub scenarios: FailureSetName,
    /// By how much every allocation grows before anything fails, in parts per million of its bandwidth: 250000 is a quarter
    /// more. One result for each; if absent or empty, only for the network as it is, which is 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 16, value_type = Vec<u32>)]
    pub growth_ppm: Vec<u64>,
    /// The most allocations that each list names; 100 if absent. All lists together name at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1000)]
    pub listed_max: Option<u64>,
}

words! {
    /// What fails.
    #[schema(as = FailureSet)]
    FailureSetName {
        /// Each link, with the other direction of its fibre.
        Links "links"
        /// Each node: all links at it.
        Nodes "nodes"
        /// Each shared-risk link group: all links of it.
        Srlgs "srlgs"
        /// Each two links, each with the other direction of its fibre.
        Pairs "pairs"
    }

    /// Why a study ended before its last failure.
    #[schema(as = FailureStudyStop)]
    StudyStopName {
        /// It had 10,000 failures.
        Scenarios "scenarios"
        /// It had as many decisions about allocations as a study may take.
        Work "work"
        /// It had no time left.
        Time "time"
    }
}

/// What failures do, each as if its links were reported down one after the other and nothing else had happened.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = FailureStudy)]
pub struct FailureStudyAnswer {
    /// The sequence number of the last event before the study.
    pub sequence: u64,
    /// How many failures each growth has.
    pub scenario_count: usize,
    /// How many failures were left out, over all growths.
    pub scenarios_left_out: usize,
    /// Why they were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stopped_by: Option<StudyStopName>,
    /// The least growth, of those studied, at which an allocation cannot grow or is lost although it does not begin or end
    /// at the node that fails, in parts per million; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub first_break_ppm: Option<u32>,
    /// In the order of the request. The last may be incomplete, and others may be missing.
    pub growths: Vec<GrowthDocument>,
}

/// All failures at one growth.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = FailureStudyGrowth)]
pub struct GrowthDocument {
    /// By how much every allocation grew before anything failed, in parts per million.
    pub growth_ppm: u32,
    /// Whether an allocation cannot grow, or is lost although it does not begin or end at the node that fails.
    pub breaks: bool,
    /// The allocations that could not grow, and those that had to end for others to grow.
    pub unserved: AffectedAllocations,
    /// The failures, in the topology's order.
    pub scenarios: Vec<ScenarioDocument>,
    /// The links with the highest utilisation in their worst case first; at most 1,000.
    pub links: Vec<WorstCaseDocument>,
    /// How many links are not listed.
    pub links_left_out: usize,
}

/// What fails together.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = FailureSubject)]
pub struct SubjectDocument {
    /// The links that are reported down, in this order; the other direction of a fibre shares its fate.
    pub links: Vec<String>,
    /// The node that fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// The shared-risk link group that fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub srlg: Option<u32>,
}

/// What one failure does.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = FailureScenario)]
pub struct ScenarioDocument {
    /// What fails.
    #[serde(flatten)]
    pub subject: SubjectDocument,
    /// How many allocations keep their path.
    pub kept: usize,
    /// The allocations that have another path.
    pub rerouted: AffectedAllocations,
    /// The allocations that are over.
    pub lost: AffectedAllocations,
    /// How many of the lost begin or end at the node that fails.
    pub lost_with_node: usize,
    /// How many of those that are in force have lost their backup path, or took it.
    #[serde(default)]
    pub unprotected: usize,
}

/// Allocations to which something happens.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct AffectedAllocations {
    /// How many there are, those that are not listed included.
    pub count: usize,
    /// The sum of their bandwidths, in bit/s.
    pub bandwidth_bps: u64,
    /// The first of them.
    pub allocations: Vec<AffectedAllocation>,
}

/// An allocation to which something happens.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct AffectedAllocation {
    /// The id of the allocation.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ACME east")]
    pub name: Option<String>,
    /// Whose traffic it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ACME")]
    pub customer: Option<String>,
    /// Its bandwidth before the failure, or before it was to grow, in bit/s.
    pub bandwidth_bps: u64,
    /// What became of it; absent: it stays as it is, and could not grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outcome: Option<VictimOutcome>,
    /// Its other path, if it is rerouted: links from ingress to egress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub path: Option<Vec<String>>,
}

/// The worst that failures do to a link.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = LinkWorstCase)]
pub struct WorstCaseDocument {
    /// The name of the link.
    pub link: String,
    /// The reserved bandwidth before any failure, in parts per million of the maximum reservable bandwidth.
    pub before_ppm: u64,
    /// The highest over all failures.
    pub worst_ppm: u64,
    /// The first failure that causes it; absent: none raises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cause: Option<SubjectDocument>,
}
