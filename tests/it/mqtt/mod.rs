//! The broker from outside: its codec as data, and its behaviour on the wire.

mod codec;
