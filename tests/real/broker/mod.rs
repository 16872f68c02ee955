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
mod operators;
pub(crate) mod parts;
mod shared_message;
mod tools;

#[path = "../../it/mqtt/session/mod.rs"]
#[macro_use]
mod session;

#[path = "../../it/mqtt/random_client.rs"]
#[expect(dead_code, reason = "short walks are those of the other tests")]
mod random_client;

#[path = "../../it/mqtt/long_walk.rs"]
mod long_walk;

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

/// Random walks, with connections at two replicas.
#[test]
fn no_long_walk_leads_astray_on_redis() {
    let redis = parts::Redis::start(&[]);
    let url = redis.url();
    long_walk::walk_far(long_walk::STEPS, async || {
        redis.ask("FLUSHALL");
        let mut brokers = vec![];
        for _ in 0..2 {
            brokers.push(Broker::on_redis(&url, Durability::Async, Settings::default()).await.unwrap());
        }
        brokers
    });
}
