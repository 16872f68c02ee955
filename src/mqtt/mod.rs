//! The broker: the door of the `mqtt` room.
//!
//! It serves any MQTT user and knows nothing of bandwidth: no other room of the house is named here.

pub mod codec;
