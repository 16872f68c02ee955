//! The scheduler's arithmetic against references: the fair optimum by linear programming, and its promises under random
//! changes.

#[path = "rates/dispatch.rs"]
mod dispatch;
#[path = "rates/models.rs"]
mod models;
#[path = "rates/optimum.rs"]
mod optimum;
#[path = "rates/promises.rs"]
mod promises;
