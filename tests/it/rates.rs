//! The scheduler's arithmetic against references: the fair optimum by linear programming, and its promises under random
//! changes.

mod commodities;
mod dispatch;
mod models;
mod multipath;
mod noise;
mod optimum;
mod promises;
#[path = "rates/tenants.rs"]
mod tenants;
