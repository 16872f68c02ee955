//! The stored form of a bandwidth model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::RecordDecodeError;
use super::lookup::{class_type, priority};
use super::scalars::{ChoiceWord, KindWord, MetricWord, RestorationWord, StoredName, VictimPolicyWord, VictimWord};
use kernel::bam::{ClassConfig, Model};
use kernel::class::TeClass;
use kernel::policy::{BandwidthModel, MOVES_MAX, Policy, RelocationPolicy};
use kernel::units::{Overbooking, Share};

/// A topology's bandwidth model.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct ModelRecord {
    /// What holds on every link.
    #[serde(rename = "default")]
    pub(super) everywhere: BoundsRecord,
    /// What holds instead on single links.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) overrides: BTreeMap<StoredName, BoundsRecord>,
    /// How choices are made.
    pub(super) policy: PolicyRecord,
}

/// What a link is held to.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct BoundsRecord {
    pub(super) model: KindWord,
    /// What each class type may have.
    pub(super) classes: Vec<ClassRecord>,
    /// The TE-classes, where priorities are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) te_classes: Vec<TeClassRecord>,
}

/// What one class type may have.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct ClassRecord {
    /// 0 to 7.
    pub(super) class_type: u8,
    /// Its private share.
    pub(super) share_ppm: u32,
    /// What it lends to lower classes.
    pub(super) high_to_low_ppm: u32,
    /// What it lends to higher classes.
    pub(super) low_to_high_ppm: u32,
    /// Local overbooking multiplier.
    pub(super) overbooking_ppm: u32,
}

/// A class type at one priority.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct TeClassRecord {
    /// 0 to 7.
    pub(super) class_type: u8,
    /// 0 to 7.
    pub(super) priority: u8,
}

/// How choices are made.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct PolicyRecord {
    /// Which class is preempted first.
    pub(super) victim_order: VictimWord,
    /// How victims are chosen within a class.
    #[serde(default)]
    pub(super) victim_policy: VictimPolicyWord,
    /// Which path is taken when some need victims.
    pub(super) path_choice: ChoiceWord,
    /// What paths minimise.
    pub(super) path_metric: MetricWord,
    /// Whether a preempted allocation is rerouted.
    pub(super) restoration: RestorationWord,
    /// What may move before a demand is denied.
    #[serde(default)]
    pub(super) relocation: RelocationRecord,
    /// The most a path may cost, in percent of an empty shortest path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refuse_above_percent: Option<u32>,
}

/// What may move before a demand is denied.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
pub(super) struct RelocationRecord {
    pub(super) max_moves: u8,
}

impl Default for RelocationRecord {
    /// What models have that were stored without one.
    fn default() -> Self {
        Self { max_moves: RelocationPolicy::default().max_moves }
    }
}

impl ModelRecord {
    pub(super) fn of(model: &BandwidthModel) -> Self {
        let overrides = model.overrides.iter().map(|(link, model)| (StoredName::from(link), BoundsRecord::of(model)));
        Self {
            everywhere: BoundsRecord::of(&model.model),
            overrides: overrides.collect(),
            policy: PolicyRecord {
                victim_order: model.policy.victim_order.into(),
                victim_policy: model.policy.victim_policy.into(),
                path_choice: model.policy.path_choice.into(),
                path_metric: model.policy.path_metric.into(),
                restoration: model.policy.restoration.into(),
                relocation: RelocationRecord { max_moves: model.policy.relocation.max_moves },
                refuse_above_percent: model.policy.refuse_above_percent,
            },
        }
    }

    /// The model in the kernel's form.
    ///
    /// # Errors
    /// The record does not make a model.
    pub(super) fn read(&self) -> Result<BandwidthModel, RecordDecodeError> {
        let overrides = self.overrides.iter().map(|(link, bounds)| Ok((link.0.clone(), bounds.read()?)));
        Ok(BandwidthModel {
            model: self.everywhere.read()?,
            overrides: overrides.collect::<Result<_, RecordDecodeError>>()?,
            policy: Policy {
                victim_order: self.policy.victim_order.into(),
                victim_policy: self.policy.victim_policy.into(),
                path_choice: self.policy.path_choice.into(),
                path_metric: self.policy.path_metric.into(),
                restoration: self.policy.restoration.into(),
                relocation: RelocationPolicy { max_moves: self.policy.relocation.max_moves.min(MOVES_MAX) },
                refuse_above_percent: self.policy.refuse_above_percent,
            },
        })
    }
}

impl BoundsRecord {
    fn of(model: &Model) -> Self {
        let classes = model.classes().iter().map(|class| ClassRecord {
            class_type: class.class_type.number(),
            share_ppm: class.share.as_ppm(),
            high_to_low_ppm: class.high_to_low.as_ppm(),
            low_to_high_ppm: class.low_to_high.as_ppm(),
            overbooking_ppm: class.overbooking.as_ppm(),
        });
        let te_classes = model.te_classes().iter().map(|te_class| TeClassRecord {
            class_type: te_class.class_type.number(),
            priority: te_class.priority.number(),
        });
        Self { model: model.kind().into(), classes: classes.collect(), te_classes: te_classes.collect() }
    }

    fn read(&self) -> Result<Model, RecordDecodeError> {
        let classes = self.classes.iter().map(ClassRecord::read).collect::<Result<_, _>>()?;
        let te_classes = self.te_classes.iter().map(|te_class| {
            Ok(TeClass {
                class_type: class_type(te_class.class_type)?,
                priority: priority("priority", te_class.priority)?,
            })
        });
        Ok(Model::new(self.model.into(), classes, te_classes.collect::<Result<_, RecordDecodeError>>()?)?)
    }
}

impl ClassRecord {
    fn read(&self) -> Result<ClassConfig, RecordDecodeError> {
        Ok(ClassConfig {
            class_type: class_type(self.class_type)?,
            share: share("share_ppm", self.share_ppm)?,
            high_to_low: share("high_to_low_ppm", self.high_to_low_ppm)?,
            low_to_high: share("low_to_high_ppm", self.low_to_high_ppm)?,
            overbooking: Overbooking::from_ppm(self.overbooking_ppm)
                .ok_or_else(|| RecordDecodeError::out_of_range("overbooking_ppm", self.overbooking_ppm))?,
        })
    }
}

fn share(field: &'static str, ppm: u32) -> Result<Share, RecordDecodeError> {
    Share::from_ppm(ppm).ok_or_else(|| RecordDecodeError::out_of_range(field, ppm))
}
