//! The codec held against the standards, against itself and against two others.

mod arbitrary;
mod differential;
mod notation;
mod round_trip;
mod table;
mod truncation;
