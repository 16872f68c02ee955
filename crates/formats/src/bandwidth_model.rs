//! The JSON of a bandwidth model: what engineers put, what is answered, and what `replay` reads. Shares are private and sum
//! to one million; shares that do not are scaled, with a warning that says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use kernel::bam::{ClassConfig, Model, ModelError, ModelKind, VictimOrder};
use kernel::class::{ClassType, Priority, TeClass};
use kernel::id::{Name, NameError};
use kernel::path::Metric;
use kernel::policy::{BandwidthModel, PathChoice, Policy, Restoration};
use kernel::units::{Overbooking, PPM, Share};

/// Which bandwidth allocation model.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelName {
    /// Maximum allocation, RFC 4125.
    Mam,
    /// Russian dolls, RFC 4127.
    Rdm,
    /// Generalised, with any loans.
    Gbam,
    /// AllocTC-Sharing.
    Atcs,
}

/// A bandwidth model and the policies that go with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BandwidthModel)]
pub struct Document {
    /// Which model.
    pub model: ModelName,
    /// The class types, at most eight. Absent: CT0, CT1 and CT2 with 25, 35 and 40 %.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub classes: Vec<ClassDocument>,
    /// TE-classes (RFC 4124); absent: the class is the only priority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub te_classes: Vec<TeClassDocument>,
    /// Which class yields first.
    #[serde(default)]
    pub victim_order: VictimOrderName,
    /// Which path is taken when some need victims.
    #[serde(default)]
    pub path_choice: PathChoiceName,
    /// What paths minimise where a request does not say.
    #[serde(default)]
    pub path_metric: PathMetricName,
    /// What becomes of who has to leave a path.
    #[serde(default)]
    pub restoration: RestorationName,
    /// Under the `congestion` metric: refuse a path whose congestion exceeds this many percent of an empty path with the
    /// fewest hops. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 1_000_000, nullable = false)]
    pub refuse_above_percent: Option<u32>,
    /// Links with bounds of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10_000)]
    pub link_overrides: Vec<OverrideDocument>,
}

/// What one class type may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BandwidthModelClass)]
pub struct ClassDocument {
    /// The class type, 0 (lowest) to 7.
    #[schema(minimum = 0, maximum = 7)]
    pub class_type: u8,
    /// Its private share of a link's maximum reservable bandwidth, in parts per million.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub share_ppm: u32,
    /// The part of its share that it lends to lower classes. Only `gbam` reads it; the other models fix it.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub high_to_low_ppm: u32,
    /// The part of its share that it lends to higher classes. Only `gbam` reads it; the other models fix it.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub low_to_high_ppm: u32,
    /// Local overbooking multiplier: 2,000,000 lets twice the share be reserved.
    #[serde(default = "once")]
    #[schema(minimum = 1_000, maximum = 1_000_000_000)]
    pub overbooking_ppm: u32,
    /// In answers: the class's bandwidth constraint as its RFC has it, in parts per million of the maximum reservable
    /// bandwidth (BCc; nested under RDM; share and all loans under G-BAM and ATCS). Not read in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(read_only, nullable = false)]
    pub constraint_ppm: Option<u64>,
}

fn once() -> u32 {
    PPM
}

/// A class type at a preemption priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TeClass)]
pub struct TeClassDocument {
    /// 0 to 7.
    #[schema(minimum = 0, maximum = 7)]
    pub class_type: u8,
    /// 0 (best) to 7.
    #[schema(minimum = 0, maximum = 7)]
    pub priority: u8,
}

/// A link's own bounds; its class types must be those of the topology's model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BandwidthModelOverride)]
pub struct OverrideDocument {
    /// Which link.
    #[schema(min_length = 1, max_length = 255)]
    pub link: String,
    /// Which model.
    pub model: ModelName,
    /// The class types.
    #[schema(max_items = 8)]
    pub classes: Vec<ClassDocument>,
}

/// Which class yields first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VictimOrderName {
    /// Higher classes: evicts least.
    #[default]
    HighestFirst,
    /// Lower classes.
    LowestFirst,
}

/// Which path is taken when some need victims.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathChoiceName {
    /// One that needs none, if there is any.
    #[default]
    AvoidVictims,
    /// The one with the fewest hops.
    FewestHops,
}

/// What a path minimises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathMetricName {
    /// The TE metric times an exponential in utilisation.
    #[default]
    Congestion,
    /// The TE metric.
    Te,
    /// The number of links.
    Hops,
    /// The one-way delay.
    Delay,
}

/// What becomes of who has to leave a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestorationName {
    /// Another path, if there is one.
    #[default]
    Reroute,
    /// The end.
    None,
}

/// Why a document is no bandwidth model.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DocumentError {
    /// A number out of its range.
    #[error("{field} is {value}, not within {min} to {max}")]
    OutOfRange {
        /// Where in the document.
        field: String,
        /// What it is.
        value: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// A link name that is none.
    #[error("{field}: {error}")]
    BadName {
        /// Where in the document.
        field: String,
        /// Why.
        error: NameError,
    },
    /// One link twice.
    #[error("{field}: link '{link}' is overridden twice")]
    DuplicateOverride {
        /// Where in the document.
        field: String,
        /// Which.
        link: Name,
    },
    /// The parts do not make a model.
    #[error("{field}: {error}")]
    Model {
        /// Which part.
        field: String,
        /// Why.
        error: ModelError,
    },
}

impl DocumentError {
    /// Where in the document the fault is.
    pub fn field(&self) -> &str {
        match self {
            Self::OutOfRange { field, .. }
            | Self::BadName { field, .. }
            | Self::DuplicateOverride { field, .. }
            | Self::Model { field, .. } => field,
        }
    }
}

impl Document {
    /// The model, and what was assumed.
    ///
    /// # Errors
    /// The first fault found, with its place in the document.
    pub fn to_model(&self) -> Result<(BandwidthModel, Vec<String>), DocumentError> {
        let mut warnings = vec![];
        let mut te_classes = vec![];
        for (at, te_class) in self.te_classes.iter().enumerate() {
            let field = |name| format!("te_classes[{at}].{name}");
            te_classes.push(TeClass {
                class_type: class_type(te_class.class_type, || field("class_type"))?,
                priority: Priority::new(te_class.priority)
                    .ok_or_else(|| out_of_range(field("priority"), te_class.priority, 0, 7))?,
            });
        }
        let model = build(self.model, &self.classes, &te_classes, "classes", &mut warnings)?;
        let mut overrides = BTreeMap::new();
        for (at, special) in self.link_overrides.iter().enumerate() {
            let field = format!("link_overrides[{at}].link");
            let link =
                Name::new(&special.link).map_err(|error| DocumentError::BadName { field: field.clone(), error })?;
            let place = format!("link_overrides[{at}].classes");
            let model = build(special.model, &special.classes, &te_classes, &place, &mut warnings)?;
            if overrides.insert(link.clone(), model).is_some() {
                return Err(DocumentError::DuplicateOverride { field, link });
            }
        }
        Ok((BandwidthModel { model, overrides, policy: self.policy()? }, warnings))
    }

    fn policy(&self) -> Result<Policy, DocumentError> {
        if let Some(percent) = self.refuse_above_percent
            && !(100..=1_000_000).contains(&percent)
        {
            return Err(out_of_range("refuse_above_percent".to_owned(), percent, 100, 1_000_000));
        }
        Ok(Policy {
            victim_order: match self.victim_order {
                VictimOrderName::HighestFirst => VictimOrder::HighestFirst,
                VictimOrderName::LowestFirst => VictimOrder::LowestFirst,
            },
            path_choice: match self.path_choice {
                PathChoiceName::AvoidVictims => PathChoice::AvoidVictims,
                PathChoiceName::FewestHops => PathChoice::FewestHops,
            },
            path_metric: self.path_metric.into(),
            restoration: match self.restoration {
                RestorationName::Reroute => Restoration::Reroute,
                RestorationName::None => Restoration::None,
            },
            refuse_above_percent: self.refuse_above_percent,
        })
    }

    /// What the kernel holds, as a document.
    pub fn from_model(model: &BandwidthModel) -> Self {
        let te_classes = model.model.te_classes().iter().map(|te_class| TeClassDocument {
            class_type: te_class.class_type.number(),
            priority: te_class.priority.number(),
        });
        let overrides = model.overrides.iter().map(|(link, special)| OverrideDocument {
            link: link.to_string(),
            model: name_of(special.kind()),
            classes: classes_of(special),
        });
        Self {
            model: name_of(model.model.kind()),
            classes: classes_of(&model.model),
            te_classes: te_classes.collect(),
            victim_order: match model.policy.victim_order {
                VictimOrder::HighestFirst => VictimOrderName::HighestFirst,
                VictimOrder::LowestFirst => VictimOrderName::LowestFirst,
            },
            path_choice: match model.policy.path_choice {
                PathChoice::AvoidVictims => PathChoiceName::AvoidVictims,
                PathChoice::FewestHops => PathChoiceName::FewestHops,
            },
            path_metric: model.policy.path_metric.into(),
            restoration: match model.policy.restoration {
                Restoration::Reroute => RestorationName::Reroute,
                Restoration::None => RestorationName::None,
            },
            refuse_above_percent: model.policy.refuse_above_percent,
            link_overrides: overrides.collect(),
        }
    }
}

impl From<PathMetricName> for Metric {
    fn from(name: PathMetricName) -> Self {
        match name {
            PathMetricName::Congestion => Self::Congestion,
            PathMetricName::Te => Self::Te,
            PathMetricName::Hops => Self::Hops,
            PathMetricName::Delay => Self::Delay,
        }
    }
}

impl From<Metric> for PathMetricName {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Congestion => Self::Congestion,
            Metric::Te => Self::Te,
            Metric::Hops => Self::Hops,
            Metric::Delay => Self::Delay,
        }
    }
}

fn build(
    name: ModelName,
    classes: &[ClassDocument],
    te_classes: &[TeClass],
    place: &str,
    warnings: &mut Vec<String>,
) -> Result<Model, DocumentError> {
    let standard = [(0, 250_000), (1, 350_000), (2, 400_000)].map(|(class_type, share_ppm)| ClassDocument {
        class_type,
        share_ppm,
        high_to_low_ppm: 0,
        low_to_high_ppm: 0,
        overbooking_ppm: PPM,
        constraint_ppm: None,
    });
    let mut classes = if classes.is_empty() { standard.to_vec() } else { classes.to_vec() };
    for (at, class) in classes.iter().enumerate() {
        let share = |value, field| in_range(value, 0, PPM, || format!("{place}[{at}].{field}"));
        share(class.share_ppm, "share_ppm")?;
        share(class.high_to_low_ppm, "high_to_low_ppm")?;
        share(class.low_to_high_ppm, "low_to_high_ppm")?;
        let field = || format!("{place}[{at}].overbooking_ppm");
        in_range(class.overbooking_ppm, 1_000, Overbooking::MAX.as_ppm(), field)?;
    }
    make_whole(&mut classes, place, warnings);
    let mut configs = vec![];
    for (at, class) in classes.iter().enumerate() {
        configs.push(ClassConfig {
            class_type: class_type(class.class_type, || format!("{place}[{at}].class_type"))?,
            share: Share::from_ppm(class.share_ppm).unwrap_or(Share::NONE),
            high_to_low: Share::from_ppm(class.high_to_low_ppm).unwrap_or(Share::NONE),
            low_to_high: Share::from_ppm(class.low_to_high_ppm).unwrap_or(Share::NONE),
            overbooking: Overbooking::from_ppm(class.overbooking_ppm).unwrap_or(Overbooking::NONE),
        });
    }
    let kind = match name {
        ModelName::Mam => ModelKind::Mam,
        ModelName::Rdm => ModelKind::Rdm,
        ModelName::Gbam => ModelKind::Gbam,
        ModelName::Atcs => ModelKind::Atcs,
    };
    let place = place.to_owned();
    Model::new(kind, configs, te_classes.to_vec()).map_err(|error| DocumentError::Model { field: place, error })
}

/// Scales shares that do not sum to one million, never silently. What rounding leaves goes to the largest share.
fn make_whole(classes: &mut [ClassDocument], place: &str, warnings: &mut Vec<String>) {
    let sum: u64 = classes.iter().map(|class| u64::from(class.share_ppm)).sum();
    if sum == 0 || sum == u64::from(PPM) {
        return;
    }
    for class in &mut *classes {
        let scaled = u64::from(class.share_ppm) * u64::from(PPM) / sum;
        class.share_ppm = u32::try_from(scaled).unwrap_or(PPM);
    }
    let scaled: u32 = classes.iter().map(|class| class.share_ppm).sum();
    if let Some(largest) = classes.iter_mut().rev().max_by_key(|class| class.share_ppm) {
        largest.share_ppm += PPM - scaled;
    }
    let shares: Vec<String> = classes.iter().map(|c| format!("CT{} {}", c.class_type, c.share_ppm)).collect();
    warnings.push(format!(
        "the private shares of {place} sum to {sum} ppm, not {PPM}; they were scaled to {}",
        shares.join(", ")
    ));
}

fn class_type(number: u8, field: impl Fn() -> String) -> Result<ClassType, DocumentError> {
    ClassType::new(number).ok_or_else(|| out_of_range(field(), number, 0, 7))
}

fn in_range(value: u32, min: u32, max: u32, field: impl Fn() -> String) -> Result<(), DocumentError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(out_of_range(field(), value, min, max)) }
}

fn out_of_range<N: Into<u64>>(field: String, value: N, min: N, max: N) -> DocumentError {
    DocumentError::OutOfRange { field, value: value.into(), min: min.into(), max: max.into() }
}

fn name_of(kind: ModelKind) -> ModelName {
    match kind {
        ModelKind::Mam => ModelName::Mam,
        ModelKind::Rdm => ModelName::Rdm,
        ModelKind::Gbam => ModelName::Gbam,
        ModelKind::Atcs => ModelName::Atcs,
    }
}

fn classes_of(model: &Model) -> Vec<ClassDocument> {
    let whole = model.bounds(kernel::units::Bandwidth::saturating_from_bps(u64::from(PPM)));
    let class = |class: &ClassConfig| ClassDocument {
        class_type: class.class_type.number(),
        share_ppm: class.share.as_ppm(),
        high_to_low_ppm: class.high_to_low.as_ppm(),
        low_to_high_ppm: class.low_to_high.as_ppm(),
        overbooking_ppm: class.overbooking.as_ppm(),
        constraint_ppm: Some(whole.constraint_bps(model.kind(), class.class_type)),
    };
    model.classes().iter().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_papers_shares_are_scaled_with_a_warning() {
        let document = read(
            r#"{"model":"atcs","classes":[{"class_type":0,"share_ppm":250000},{"class_type":1,"share_ppm":350000},
                {"class_type":2,"share_ppm":450000}]}"#,
        );
        let (model, warnings) = document.to_model().unwrap();
        let shares: Vec<_> = model.model.classes().iter().map(|class| class.share.as_ppm()).collect();
        assert_eq!(shares, [238_095, 333_333, 428_572]);
        assert!(warnings[0].contains("1050000"), "{warnings:?}");
    }

    #[test]
    fn a_document_answered_can_be_put_again() {
        let document = read(
            r#"{"model":"rdm","te_classes":[{"class_type":0,"priority":2},{"class_type":0,"priority":1},
            {"class_type":1,"priority":1},{"class_type":2,"priority":0}],"path_metric":"te","restoration":"none"}"#,
        );
        let (model, warnings) = document.to_model().unwrap();
        assert!(warnings.is_empty());
        let answered = Document::from_model(&model);
        let nested: Vec<_> = answered.classes.iter().map(|class| class.constraint_ppm).collect();
        assert_eq!(nested, [Some(1_000_000), Some(750_000), Some(400_000)]);
        assert_eq!(answered.to_model().unwrap(), (model, vec![]));
    }

    #[test]
    fn faults_name_their_place() {
        let at = |text: &str| read(text).to_model().unwrap_err().field().to_owned();
        assert_eq!(at(r#"{"model":"mam","classes":[{"class_type":8,"share_ppm":1000000}]}"#), "classes[0].class_type");
        assert_eq!(at(r#"{"model":"mam","classes":[{"class_type":0,"share_ppm":1000001}]}"#), "classes[0].share_ppm");
        assert_eq!(at(r#"{"model":"mam","classes":[{"class_type":0,"share_ppm":0}]}"#), "classes");
        assert_eq!(at(r#"{"model":"mam","te_classes":[{"class_type":1,"priority":9}]}"#), "te_classes[0].priority");
        assert_eq!(at(r#"{"model":"mam","refuse_above_percent":1}"#), "refuse_above_percent");
        assert_eq!(
            at(r#"{"model":"mam","link_overrides":[{"link":"","model":"mam","classes":[]}]}"#),
            "link_overrides[0].link"
        );
    }
}
