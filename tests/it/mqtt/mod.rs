//! The broker from outside: its codec as data, and its behaviour on the wire.

mod codec;
mod public_client;
#[macro_use]
mod session;
mod long_walk;
mod random_client;
mod statements;
mod wire;

use std::path::Path;

use proptest::prelude::{ProptestConfig, any, proptest};

use mqtt::codec::{Qos, Reason};
use mqtt::{Broker, Memory, Settings, ShareOffline, Sqlite, SqliteAddress, Synchronous};

use session::House;
use session::client::{Client, connect, lasting};

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
    let path = folder.path().to_owned();
    House::start(1, async || file_broker(&path).await, vec![Box::new(folder)])
}

async fn file_broker(folder: &Path) -> Broker {
    let address = SqliteAddress { path: folder.join("broker.sqlite"), synchronous: Synchronous::Normal };
    Broker::on_sqlite(&Sqlite::open(&address).await.unwrap(), Settings::default()).await.unwrap()
}

proptest! {
    /// As the fuzz target `mqtt_session`, with other bytes every time.
    #[test]
    fn no_walk_leads_astray(bytes in proptest::collection::vec(any::<u8>(), 0..240)) {
        random_client::walk(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_walk_leads_astray_on_a_file(bytes in proptest::collection::vec(any::<u8>(), 0..240)) {
        let folder = tempfile::tempdir().unwrap();
        random_client::walk_on(&bytes, async || file_broker(folder.path()).await);
    }
}

/// `tests/real` walks with two replicas on Redis.
#[test]
fn no_long_walk_leads_astray() {
    long_walk::walk_far(long_walk::STEPS, async || vec![Broker::embedded(Settings::default()).await.unwrap()]);
}

#[test]
fn no_long_walk_leads_astray_on_a_file() {
    long_walk::walk_far(long_walk::STEPS, async || {
        let folder = tempfile::tempdir().unwrap();
        vec![file_broker(folder.path()).await]
    });
}

/// Where messages do not wait for a group that is away, they reach the member that is connected and no other (4.8.2).
#[test]
fn messages_for_a_group_that_is_away_are_dropped_where_they_are_to_be() {
    let settings = Settings { share_offline: ShareOffline::Discard, ..Settings::default() };
    let house = House::start(1, async || Broker::embedded(settings.clone()).await.unwrap(), vec![]);
    let share = |name| {
        let mut member = Client::new(house.here(), lasting(name));
        member.subscribe("$share/group/jobs", Qos::AtLeastOnce);
        member
    };
    for name in ["one", "two"] {
        share(name).leave(Reason::Success, None);
    }
    let mut publisher = Client::new(house.here(), connect(""));
    publisher.say("jobs", "missed", Qos::AtLeastOnce);
    assert_eq!(house.brokers[0].metrics().dropped_absent.get(), 1);
    let mut member = share("one");
    publisher.say("jobs", "taken", Qos::AtLeastOnce);
    assert_eq!(member.take(), "taken");
    member.leave(Reason::Success, None);
    for name in ["one", "two"] {
        share(name).hear_nothing();
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
