//! The optimiser: a snapshot of a network in, a plan of moves out. Nothing stands behind this door yet.

#![warn(missing_docs)]
