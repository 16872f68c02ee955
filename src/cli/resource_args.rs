//! The arguments of commands about resources of a running service that are the same whatever the resource is.

use clap::Args;

/// How much of a list is shown, and in which order.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// How many at most
    #[arg(long, default_value_t = 100)]
    pub(super) limit: usize,
    /// Sorted by this member; with a minus the largest first. The refusal of a wrong one names those that there are
    #[arg(long, allow_hyphen_values = true)]
    pub(super) sort: Option<String>,
}

/// One of the things that a topology has.
#[derive(Args, Debug)]
pub(super) struct InTopology {
    /// In which topology
    pub(super) topology: String,
    /// Its id
    pub(super) id: String,
}
