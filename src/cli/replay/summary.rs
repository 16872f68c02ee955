//! What a replay tells: a decision for each request, and a summary of the whole.

use serde::Serialize;

use kernel::class::CLASS_TYPES;

/// What became of one request of the trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Decision {
    /// Its id in the trace.
    pub id: String,
    /// Admitted or denied.
    pub outcome: ReplayOutcome,
    /// The links of its path.
    pub path: Vec<String>,
    /// The trace ids of those preempted for it.
    pub preempted: Vec<String>,
    /// The trace ids of those devolved for it.
    pub devolved: Vec<String>,
    /// Those that have another path because of it.
    pub rerouted: Vec<Reroute>,
    /// Those that were moved to another path so that it fits.
    pub moved: Vec<Reroute>,
    /// Why it was denied or is invalid.
    pub reason: Option<String>,
}

/// Another path of a request that was admitted before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Reroute {
    /// Its id in the trace.
    pub id: String,
    /// The links of its path from now on.
    pub path: Vec<String>,
}

/// Admitted or denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayOutcome {
    /// It got its path.
    Admitted,
    /// It did not.
    Denied,
    /// It could not be decided: it names what the network does not have.
    Invalid,
}

/// What a replay came to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ReplaySummary {
    /// Simulated time from the start to the last event.
    pub duration_ms: u64,
    /// Requests in all.
    pub requests: u64,
    /// Admitted in all.
    pub admitted: u64,
    /// Denied in all.
    pub blocked: u64,
    /// Admitted and later preempted, in all.
    pub preempted: u64,
    /// Admitted and later devolved, in all.
    pub devolved: u64,
    /// Lines that could not be decided, in all; they count nowhere else.
    pub invalid: u64,
    /// How often an allocation was moved to another path so that another fits.
    pub moved: u64,
    /// The bandwidth of all that had to leave their paths for others, over the least that would have been enough, in parts
    /// per million; absent where nothing had to.
    pub evicted_to_needed_ppm: Option<u64>,
    /// The time-weighted mean of reserved over maximum reservable bandwidth, over all links.
    pub utilisation_ppm: u64,
    /// Wall-clock time of the whole run; 0 if it was not measured.
    pub elapsed_ms: u64,
    /// Requests and departures decided in a second of wall-clock time; 0 if it was not measured.
    pub decisions_per_second: u64,
    /// How many commands were decided: requests and departures.
    pub decisions: u64,
    /// The same by class, for classes that asked for anything.
    pub classes: Vec<ClassSummary>,
}

/// What a replay came to for one class.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ClassSummary {
    pub class_type: u8,
    pub requests: u64,
    /// Those admitted.
    pub admitted: u64,
    /// Those denied.
    pub blocked: u64,
    /// Those admitted and later preempted.
    pub preempted: u64,
    /// Those admitted and later devolved.
    pub devolved: u64,
    /// How often one of them was rerouted to make room.
    pub rerouted: u64,
    /// Its part of the time-weighted mean utilisation.
    pub utilisation_ppm: u64,
}

/// Utilisation over time, by class.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Milliseconds between samples.
    pub step_ms: u64,
    /// For each step the utilisation of each class in parts per million.
    pub rows: Vec<[u64; CLASS_TYPES]>,
}
