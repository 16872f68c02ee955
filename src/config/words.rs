//! Words of the configuration that are choices of other rooms.

use serde::{Deserialize, Serialize};

/// How logs are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Text.
    Human,
}

/// When an MQTT message is acknowledged to its publisher, if the store is Redis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum StoreDurability {
    /// Once Redis has it: a failover may lose the last milliseconds.
    #[default]
    Async,
    /// Once a replica of Redis has it as well.
    Replicated,
}

impl From<StoreDurability> for mqtt::Durability {
    fn from(word: StoreDurability) -> Self {
        match word {
            StoreDurability::Async => Self::Async,
            StoreDurability::Replicated => Self::Replicated,
        }
    }
}
