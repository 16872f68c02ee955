//! The broker from outside: its codec as data, and its behaviour on the wire.

mod codec;
mod public_client;
#[macro_use]
mod session;
mod wire;

mod on_one_replica {
    use super::session;
    all_cases!(session::House::embedded());
}

mod on_two_replicas {
    use super::session;
    all_cases!(session::House::pair());
}
