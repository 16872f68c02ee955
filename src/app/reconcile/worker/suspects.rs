//! Allocations whose rules were found damaged: they are not called in force until an audit has seen the rules that were written
//! again, and where that goes on, what is damaged is named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use kernel::id::AllocationId;
use kernel::intent::{Damage, Dpid};

/// From so many repairs on, something is said to be at work.
const REPAIRS_NAMED: u32 = 3;
/// How long after its last damage an allocation is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Damaged allocations.
#[derive(Default)]
pub(super) struct Suspects {
    of: BTreeMap<AllocationId, Suspect>,
}

struct Suspect {
    switch: Dpid,
    what: Arc<str>,
    /// How often an audit found damage.
    times: u32,
    first: Instant,
    last: Instant,
    /// Whether an audit has seen its rules again since.
    is_confirmed: bool,
}

impl Suspects {
    /// An audit of a switch found this damage.
    pub(super) fn add(&mut self, now: Instant, switch: Dpid, damages: &[Damage]) {
        let mut met = BTreeMap::new();
        for damage in damages {
            // The first of several of one allocation is told.
            met.entry(damage.allocation).or_insert_with(|| damage.to_string());
        }
        for (id, what) in met {
            let new = Suspect { switch, what: "".into(), times: 0, first: now, last: now, is_confirmed: false };
            let suspect = self.of.entry(id).or_insert(new);
            (suspect.switch, suspect.what, suspect.last) = (switch, what.into(), now);
            suspect.times = suspect.times.saturating_add(1);
            suspect.is_confirmed = false;
        }
    }

    /// Why an allocation is not called in force.
    pub(super) fn reason(&self, id: AllocationId) -> Option<String> {
        let Suspect { switch, what, times, first, last, .. } = self.of.get(&id).filter(|one| !one.is_confirmed)?;
        Some(if *times < REPAIRS_NAMED {
            format!("{what} on switch {switch}: it is written again, and the next audit has to confirm that")
        } else {
            let seconds = last.duration_since(*first).as_secs().max(1);
            format!(
                "{what} on switch {switch}, {times} times in {seconds} s: another program changes it, or the controller \
                 acknowledges what it does not do"
            )
        })
    }

    /// The switches that an audit reads whole.
    pub(super) fn is_at(&self, switch: Dpid) -> bool {
        self.of.values().any(|suspect| suspect.switch == switch && !suspect.is_confirmed)
    }

    /// An audit has read a switch whole and found what was known of it: the allocations that are not suspect any more.
    pub(super) fn confirm(&mut self, now: Instant, switch: Dpid) -> Vec<AllocationId> {
        let mut confirmed = vec![];
        self.of.retain(|_, suspect| !suspect.is_confirmed || now.duration_since(suspect.last) < REMEMBERED);
        for (id, suspect) in self.of.iter_mut().filter(|(_, suspect)| suspect.switch == switch && !suspect.is_confirmed)
        {
            suspect.is_confirmed = true;
            confirmed.push(*id);
        }
        confirmed
    }

    pub(super) fn forget(&mut self, id: AllocationId) {
        self.of.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::intent::DamagedPart;

    #[test]
    fn what_is_damaged_again_and_again_is_named() {
        let (switch, id, start) = (Dpid(7), AllocationId(5), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let damage = [Damage { allocation: id, of: DamagedPart::Head, is_gone: true }];
        let mut suspects = Suspects::default();
        suspects.add(start, switch, &damage);
        assert!(suspects.is_at(switch) && !suspects.is_at(Dpid(8)));
        let once = suspects.reason(id).unwrap();
        assert!(
            once.starts_with("the rule that takes its packets in was gone on switch 0000000000000007: it is"),
            "{once}"
        );
        assert_eq!(suspects.confirm(at(1), Dpid(8)), []);
        assert_eq!(suspects.confirm(at(1), switch), [id]);
        assert_eq!((suspects.reason(id), suspects.is_at(switch)), (None, false));
        suspects.add(at(2), switch, &damage);
        suspects.add(at(4), switch, &damage);
        let often = suspects.reason(id).unwrap();
        assert!(often.contains("3 times in 4 s"), "{often}");
        suspects.confirm(at(5), switch);
        suspects.confirm(at(65), switch);
        suspects.add(at(66), switch, &damage);
        assert!(suspects.reason(id).unwrap().contains("the next audit"), "it is forgotten");
    }
}
