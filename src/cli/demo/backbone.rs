//! A backbone under load, beside the scenario's network: allocations for NSFNET, the same at every run, so that there is a
//! busiest link, a class that fills it, and allocations that would be preempted for more. Pure.

use api::allocation::AllocationRequest;

/// The name under which a new service has it.
pub const TOPOLOGY: &str = "nsfnet";
/// How many requests there are.
const REQUESTS: u64 = 400;
/// The nodes between which traffic goes, those with more of it more often.
const NODES: [&str; 18] =
    ["WA", "CA1", "CA1", "CA2", "UT", "CO", "TX", "TX", "NE", "IL", "IL", "GA", "PA", "MI", "NY", "NY", "MD", "NJ"];
/// The requested bandwidths, by class type: much of the lowest, as backbones have it.
const SIZES_MBPS: [&[u64]; 3] = [&[200, 400, 600, 1_000], &[100, 200, 300], &[50, 100, 150]];

/// The requests, in their order.
pub fn requests() -> Vec<AllocationRequest> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut all = vec![];
    while (all.len() as u64) < REQUESTS {
        let class_type = *random.pick(&[0_u8, 0, 0, 0, 0, 1, 1, 1, 2, 2]);
        let (ingress, egress) = (*random.pick(&NODES), *random.pick(&NODES));
        let sizes_mbps = SIZES_MBPS.get(usize::from(class_type)).copied().unwrap_or(&[100]);
        let bandwidth_bps = random.pick(sizes_mbps) * 1_000_000;
        if ingress != egress {
            all.push(AllocationRequest {
                topology: Some(TOPOLOGY.to_owned()),
                ingress: ingress.to_owned(),
                egress: egress.to_owned(),
                class_type: Some(class_type.into()),
                bandwidth_bps,
                ..AllocationRequest::default()
            });
        }
    }
    all
}

/// Xorshift: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let at = (self.0 >> 11) % (among.len() as u64).max(1);
        &among[usize::try_from(at).unwrap_or(0)]
    }
}
