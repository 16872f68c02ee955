//! The QoS scheduler's plan on a network of Kdl's size: what one changed report costs among 1,000, 10,000 and 100,000
//! aggregators, beside making the whole plan anew in the same run; once where the network has room for all, once where
//! it is overloaded. The plan kept up to date is compared with the plan made anew, rate by rate.
fn main() {}
