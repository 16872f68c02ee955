//! The QoS levels of PSIoT-Orch (Moraes, Reale, Martins): 0 insensitive, 1 sensitive, 2 priority.

use serde::{Deserialize, Serialize};

/// The number of levels.
pub const LEVELS: usize = 3;

/// Something for each level, by its number.
pub type PerLevel<T> = [T; LEVELS];

/// A QoS level, a number in documents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Level(u8);

/// No level has this number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid QoS level {0}: give 0 (insensitive), 1 (sensitive) or 2 (priority)")]
pub struct LevelError(u8);

impl Level {
    /// All levels, the best first.
    pub const BEST_FIRST: [Self; LEVELS] = [Self(2), Self(1), Self(0)];
    /// Insensitive.
    pub const LOWEST: Self = Self(0);

    /// The index into a [`PerLevel`].
    pub const fn at(self) -> usize {
        self.0 as usize
    }

    /// 0 to 2.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Level {
    type Error = LevelError;

    fn try_from(number: u8) -> Result<Self, LevelError> {
        if usize::from(number) < LEVELS { Ok(Self(number)) } else { Err(LevelError(number)) }
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level.0
    }
}
