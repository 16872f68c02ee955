//! The broker on a real Redis: every case of the session suite, and then what only a network can do to it. And on a file,
//! killed again and again.

mod balancer;
mod breaking;
mod chaos;
mod crowded;
mod damaged;
mod failover;
mod file;
mod load;
mod parts;
mod shared_message;
mod tools;

#[path = "../../it/mqtt/session/mod.rs"]
#[macro_use]
mod session;

use mqtt::{Broker, Durability, Settings};

/// Two replicas on a Redis of their own.
fn on_redis() -> session::House {
    let redis = parts::Redis::start(&[]);
    let url = redis.url();
    let broker = async || Broker::on_redis(&url, Durability::Async, Settings::default()).await.unwrap();
    session::House::start(2, broker, vec![Box::new(redis)])
}

mod on_redis {
    use super::session;
    all_cases!(super::on_redis());
}
