//! The broker from outside: its codec as data, and its behaviour on the wire.

mod codec;
mod public_client;
#[macro_use]
mod session;
mod wire;

use watermaster::mqtt::{Broker, Memory, Settings};

use session::House;

/// One replica, everything in memory.
fn embedded() -> House {
    House::start(1, async || Broker::embedded(Settings::default()).await.unwrap(), vec![])
}

/// Two replicas that share memory.
fn pair() -> House {
    let memory = Memory::default();
    House::start(2, async || Broker::in_memory(&memory, Settings::default()).await.unwrap(), vec![])
}

mod on_one_replica {
    use super::session;
    all_cases!(super::embedded());
}

mod on_two_replicas {
    use super::session;
    all_cases!(super::pair());
}
