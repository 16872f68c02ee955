//! Long walks of the random client, through any store. `WATERMASTER_WALK_STEPS` says how many steps; `tests/run` takes 100,000.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;

use mqtt::Broker;

use super::random_client::World;

/// Steps where the environment says nothing.
pub(crate) const STEPS: usize = 10_000;
/// Steps of one walk; the next one begins in another world.
const WALK_STEPS: usize = 500;

/// Walks through brokers that share a store; each connection goes to one of them. A failure names the seed of its walk, with
/// which it can be walked again.
pub(crate) fn walk_far(steps: usize, brokers: impl AsyncFn() -> Vec<Broker>) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let steps = number("WATERMASTER_WALK_STEPS").map_or(steps, |steps| usize::try_from(steps).unwrap());
    let first = number("WATERMASTER_WALK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    for walk in 0..steps.div_ceil(WALK_STEPS) as u64 {
        let seed = first.wrapping_add(walk);
        let _note = SeedNote(seed);
        let start = random(seed);
        let words = (0..).map(|at| random(start.wrapping_add(at)));
        // What the brokers of a walk have begun ends with it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            World::new(brokers().await).walk(&mut words.flat_map(u64::to_le_bytes), WALK_STEPS).await;
        });
    }
}

/// Says how to walk again where a walk fails.
struct SeedNote(u64);

impl Drop for SeedNote {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let again = format!("WATERMASTER_WALK_SEED={} WATERMASTER_WALK_STEPS={WALK_STEPS}", self.0);
            let _ = writeln!(std::io::stderr(), "the same walk again: {again}");
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn random(at: u64) -> u64 {
    let mixed = at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
