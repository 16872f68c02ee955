//! The stored form of how the rules and meters of a controller are made. What is as ever is not written down.

use serde::{Deserialize, Serialize};

use kernel::intent::{MeterSettings, Numbering, NumberingError, RuleSettings};

/// How the rules and meters of a controller are made.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
pub(super) struct RuleSettingsRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    numbering: Option<NumberingRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packet_bytes: Option<u16>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    queues: bool,
}

/// The numbers that are this service's on the switches of a controller.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct NumberingRecord {
    label_min: u32,
    meter_min: u32,
    flows_max: u32,
    cookie_tag: u8,
    priority_min: u16,
}

impl RuleSettingsRecord {
    /// Whether all is as ever.
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn of(settings: &RuleSettings) -> Self {
        let usual = RuleSettings::default();
        let numbering = settings.numbering;
        Self {
            numbering: (numbering != usual.numbering).then(|| NumberingRecord {
                label_min: numbering.label_min(),
                meter_min: numbering.meter_min(),
                flows_max: numbering.flows_max(),
                cookie_tag: numbering.cookie_tag(),
                priority_min: numbering.priority_min(),
            }),
            burst_ms: Some(settings.meters.burst_ms).filter(|burst| *burst != usual.meters.burst_ms),
            packet_bytes: settings.meters.packet_bytes,
            queues: settings.has_queues,
        }
    }

    pub(super) fn read(&self) -> Result<RuleSettings, NumberingError> {
        let usual = RuleSettings::default();
        let numbering = match &self.numbering {
            Some(one) => Numbering::new(one.label_min, one.meter_min, one.flows_max, one.cookie_tag, one.priority_min)?,
            None => usual.numbering,
        };
        let burst_ms = self.burst_ms.unwrap_or(usual.meters.burst_ms);
        let meters = MeterSettings { burst_ms, packet_bytes: self.packet_bytes };
        Ok(RuleSettings { numbering, meters, has_queues: self.queues })
    }
}
