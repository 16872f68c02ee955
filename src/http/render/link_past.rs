//! Samples of links as documents.

use api::link_history::{ClassHistory, LinkPast};
use formats::link_state_name;
use kernel::link_sample::LinkSample;

/// What a link had at an instant or within a period.
pub(in crate::http) fn link_past(sample: &LinkSample) -> LinkPast {
    let classes = sample.classes.iter().map(|(class_type, range)| ClassHistory {
        class_type: class_type.number(),
        reserved_mean_bps: range.mean_bps,
        reserved_max_bps: range.max_bps,
    });
    LinkPast {
        state: link_state_name(sample.state),
        capacity_bps: sample.capacity.as_bps(),
        max_reservable_bps: sample.max_reservable.as_bps(),
        reserved_mean_bps: sample.reserved.mean_bps,
        reserved_max_bps: sample.reserved.max_bps,
        classes: classes.collect(),
        measured_mean_bps: sample.measured.map(|range| range.mean_bps),
        measured_max_bps: sample.measured.map(|range| range.max_bps),
    }
}
