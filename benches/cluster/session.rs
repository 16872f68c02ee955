//! The client of the tests.

#[path = "../../tests/it/mqtt/session/client.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
pub(crate) mod client;
