//! Whether a link may carry anything, in documents and in the kernel.

use api::link::LinkStateName;
use kernel::topology::LinkState;

/// What a document says, as the kernel has it.
pub fn link_state(name: LinkStateName) -> LinkState {
    match name {
        LinkStateName::Up => LinkState::Up,
        LinkStateName::Down => LinkState::Down,
        LinkStateName::Maintenance => LinkState::Maintenance,
    }
}

/// What the kernel has, as documents say it.
pub fn link_state_name(state: LinkState) -> LinkStateName {
    match state {
        LinkState::Up => LinkStateName::Up,
        LinkState::Down => LinkStateName::Down,
        LinkState::Maintenance => LinkStateName::Maintenance,
    }
}
