//! The broker from outside: its codec as data, and its behaviour on the wire.

mod codec;
mod public_client;
#[macro_use]
mod session;
mod random_client;
mod statements;
mod wire;

use proptest::prelude::{any, proptest};

use mqtt::{Broker, Memory, Settings, Sqlite, SqliteAddress, Synchronous};

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

/// One replica on a file.
fn on_file() -> House {
    let folder = tempfile::tempdir().unwrap();
    let address = SqliteAddress { path: folder.path().join("broker.sqlite"), synchronous: Synchronous::Normal };
    let broker = async || Broker::on_sqlite(&Sqlite::open(&address).await.unwrap(), Settings::default()).await.unwrap();
    House::start(1, broker, vec![Box::new(folder)])
}

proptest! {
    /// As the fuzz target `mqtt_session`, with other bytes every time.
    #[test]
    fn no_walk_leads_astray(bytes in proptest::collection::vec(any::<u8>(), 0..240)) {
        random_client::walk(&bytes);
    }
}

mod on_one_replica {
    use super::session;
    all_cases!(super::embedded());
}

mod on_a_file {
    use super::session;
    all_cases!(super::on_file());
}

mod on_two_replicas {
    use super::session;
    all_cases!(super::pair());
}
