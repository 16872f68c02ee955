//! Bandwidth models: documents and kernel values. Shares are private and sum
//! to one million; shares that do not are scaled, with a warning that says so.

use std::collections::BTreeMap;

use api::bandwidth_model::{
    BandwidthModelClass, BandwidthModelDocument, BandwidthModelOverride, ModelName, PathChoiceName, PathMetricName,
    RelocationDocument, RestorationName, TeClassDocument, VictimOrderName, VictimPolicyName,
};
use kernel::bam::{ClassConfig, Model, ModelError, ModelKind, VictimOrder, VictimPolicy};
use kernel::class::{ClassType, Priority, TeClass};
use kernel::id::{Name, NameError};
use kernel::path::Metric;
use kernel::policy::{BandwidthModel, MOVES_MAX, PathChoice, Policy, RelocationPolicy, Restoration};
use kernel::units::{Overbooking, PPM, Share};

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
        /// The reason.
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
        /// The reason.
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

/// The model, and what was assumed.
///
/// # Errors
/// The first fault found, with its place in the document.
pub fn model_of(document: &BandwidthModelDocument) -> Result<(BandwidthModel, Vec<String>), DocumentError> {
    let mut warnings = vec![];
    let mut te_classes = vec![];
    for (at, te_class) in document.te_classes.iter().enumerate() {
        let field = |name| format!("te_classes[{at}].{name}");
        te_classes.push(TeClass {
            class_type: class_type(te_class.class_type, || field("class_type"))?,
            priority: Priority::new(te_class.priority)
                .ok_or_else(|| out_of_range(field("priority"), te_class.priority, 0, 7))?,
        });
    }
    let model = build(document.model, &document.classes, &te_classes, "classes", &mut warnings)?;
    let mut overrides = BTreeMap::new();
    for (at, special) in document.link_overrides.iter().enumerate() {
        let field = format!("link_overrides[{at}].link");
        let link = Name::new(&special.link).map_err(|error| DocumentError::BadName { field: field.clone(), error })?;
        let place = format!("link_overrides[{at}].classes");
        let model = build(special.model, &special.classes, &te_classes, &place, &mut warnings)?;
        if overrides.insert(link.clone(), model).is_some() {
            return Err(DocumentError::DuplicateOverride { field, link });
        }
    }
    Ok((BandwidthModel { model, overrides, policy: policy(document)? }, warnings))
}

fn policy(document: &BandwidthModelDocument) -> Result<Policy, DocumentError> {
    if let Some(percent) = document.refuse_above_percent
        && !(100..=1_000_000).contains(&percent)
    {
        return Err(out_of_range("refuse_above_percent".to_owned(), percent, 100, 1_000_000));
    }
    let max_moves = document.relocation.max_moves;
    if max_moves > MOVES_MAX {
        return Err(out_of_range("relocation.max_moves".to_owned(), max_moves, 0, MOVES_MAX));
    }
    Ok(Policy {
        victim_order: match document.victim_order {
            VictimOrderName::HighestFirst => VictimOrder::HighestFirst,
            VictimOrderName::LowestFirst => VictimOrder::LowestFirst,
        },
        victim_policy: match document.victim_policy {
            VictimPolicyName::LeastBandwidth => VictimPolicy::LeastBandwidth,
            VictimPolicyName::Newest => VictimPolicy::Newest,
            VictimPolicyName::Fewest => VictimPolicy::Fewest,
        },
        path_choice: match document.path_choice {
            PathChoiceName::AvoidVictims => PathChoice::AvoidVictims,
            PathChoiceName::FewestHops => PathChoice::FewestHops,
        },
        path_metric: metric(document.path_metric),
        restoration: match document.restoration {
            RestorationName::Reroute => Restoration::Reroute,
            RestorationName::None => Restoration::None,
        },
        relocation: RelocationPolicy { max_moves },
        refuse_above_percent: document.refuse_above_percent,
    })
}

/// What the kernel holds, as a document.
pub fn document_of(model: &BandwidthModel) -> BandwidthModelDocument {
    let te_classes = model.model.te_classes().iter().map(|te_class| TeClassDocument {
        class_type: te_class.class_type.number(),
        priority: te_class.priority.number(),
    });
    let overrides = model.overrides.iter().map(|(link, special)| BandwidthModelOverride {
        link: link.to_string(),
        model: model_name(special.kind()),
        classes: classes_of(special),
    });
    BandwidthModelDocument {
        model: model_name(model.model.kind()),
        classes: classes_of(&model.model),
        te_classes: te_classes.collect(),
        victim_order: match model.policy.victim_order {
            VictimOrder::HighestFirst => VictimOrderName::HighestFirst,
            VictimOrder::LowestFirst => VictimOrderName::LowestFirst,
        },
        victim_policy: match model.policy.victim_policy {
            VictimPolicy::LeastBandwidth => VictimPolicyName::LeastBandwidth,
            VictimPolicy::Newest => VictimPolicyName::Newest,
            VictimPolicy::Fewest => VictimPolicyName::Fewest,
        },
        path_choice: match model.policy.path_choice {
            PathChoice::AvoidVictims => PathChoiceName::AvoidVictims,
            PathChoice::FewestHops => PathChoiceName::FewestHops,
        },
        path_metric: metric_name(model.policy.path_metric),
        restoration: match model.policy.restoration {
            Restoration::Reroute => RestorationName::Reroute,
            Restoration::None => RestorationName::None,
        },
        relocation: RelocationDocument { max_moves: model.policy.relocation.max_moves },
        refuse_above_percent: model.policy.refuse_above_percent,
        link_overrides: overrides.collect(),
    }
}

/// What a document says paths minimise, as the kernel has it.
pub fn metric(name: PathMetricName) -> Metric {
    match name {
        PathMetricName::Congestion => Metric::Congestion,
        PathMetricName::CongestionTe => Metric::CongestionTe,
        PathMetricName::Te => Metric::Te,
        PathMetricName::Hops => Metric::Hops,
        PathMetricName::Delay => Metric::Delay,
    }
}

/// What the kernel says paths minimise, as documents have it.
pub fn metric_name(metric: Metric) -> PathMetricName {
    match metric {
        Metric::Congestion => PathMetricName::Congestion,
        Metric::CongestionTe => PathMetricName::CongestionTe,
        Metric::Te => PathMetricName::Te,
        Metric::Hops => PathMetricName::Hops,
        Metric::Delay => PathMetricName::Delay,
    }
}

/// The model that a document names, as the kernel has it.
pub fn model_kind(name: ModelName) -> ModelKind {
    match name {
        ModelName::Mam => ModelKind::Mam,
        ModelName::Rdm => ModelKind::Rdm,
        ModelName::Gbam => ModelKind::Gbam,
        ModelName::Atcs => ModelKind::Atcs,
    }
}

/// The name of a model in documents.
pub fn model_name(kind: ModelKind) -> ModelName {
    match kind {
        ModelKind::Mam => ModelName::Mam,
        ModelKind::Rdm => ModelName::Rdm,
        ModelKind::Gbam => ModelName::Gbam,
        ModelKind::Atcs => ModelName::Atcs,
    }
}

fn build(
    name: ModelName,
    classes: &[BandwidthModelClass],
    te_classes: &[TeClass],
    place: &str,
    warnings: &mut Vec<String>,
) -> Result<Model, DocumentError> {
    let standard = [(0, 250_000), (1, 350_000), (2, 400_000)].map(|(class_type, share_ppm)| BandwidthModelClass {
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
    make_whole(name, &mut classes, place, warnings);
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
    let place = place.to_owned();
    Model::new(model_kind(name), configs, te_classes.to_vec())
        .map_err(|error| DocumentError::Model { field: place, error })
}

/// Scales shares that do not sum to one million, never silently. What rounding leaves goes to the largest share. MAM's may
/// sum to more: its constraints and the link are tested apart (RFC 4125 §3).
fn make_whole(name: ModelName, classes: &mut [BandwidthModelClass], place: &str, warnings: &mut Vec<String>) {
    let sum: u64 = classes.iter().map(|class| u64::from(class.share_ppm)).sum();
    let exceeds = name == ModelName::Mam && sum > u64::from(PPM);
    if sum == 0 || sum == u64::from(PPM) || exceeds {
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

fn classes_of(model: &Model) -> Vec<BandwidthModelClass> {
    let whole = model.bounds(kernel::units::Bandwidth::saturating_from_bps(u64::from(PPM)));
    let class = |class: &ClassConfig| BandwidthModelClass {
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

    fn read(text: &str) -> BandwidthModelDocument {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_papers_shares_are_scaled_with_a_warning() {
        let document = read(
            r#"{"model":"atcs","classes":[{"class_type":0,"share_ppm":250000},{"class_type":1,"share_ppm":350000},
                {"class_type":2,"share_ppm":450000}]}"#,
        );
        let (model, warnings) = model_of(&document).unwrap();
        let shares: Vec<_> = model.model.classes().iter().map(|class| class.share.as_ppm()).collect();
        assert_eq!(shares, [238_095, 333_333, 428_572]);
        assert!(warnings[0].contains("1050000"), "{warnings:?}");
    }

    #[test]
    fn constraints_of_mam_may_sum_to_more_than_the_link() {
        let document = read(
            r#"{"model":"mam","classes":[{"class_type":0,"share_ppm":1000000},{"class_type":1,"share_ppm":350000},
                {"class_type":2,"share_ppm":450000}],"victim_policy":"newest"}"#,
        );
        let (model, warnings) = model_of(&document).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let constraints: Vec<_> = document_of(&model).classes.iter().map(|class| class.constraint_ppm).collect();
        assert_eq!(constraints, [Some(1_000_000), Some(350_000), Some(450_000)]);
        assert_eq!(model_of(&document_of(&model)).unwrap(), (model, vec![]));
    }

    #[test]
    fn a_document_answered_can_be_put_again() {
        let document = read(
            r#"{"model":"rdm","te_classes":[{"class_type":0,"priority":2},{"class_type":0,"priority":1},
            {"class_type":1,"priority":1},{"class_type":2,"priority":0}],"path_metric":"te","restoration":"none"}"#,
        );
        let (model, warnings) = model_of(&document).unwrap();
        assert!(warnings.is_empty());
        let answered = document_of(&model);
        let nested: Vec<_> = answered.classes.iter().map(|class| class.constraint_ppm).collect();
        assert_eq!(nested, [Some(1_000_000), Some(750_000), Some(400_000)]);
        assert_eq!(model_of(&answered).unwrap(), (model, vec![]));
    }

    #[test]
    fn faults_name_their_place() {
        let at = |text: &str| model_of(&read(text)).unwrap_err().field().to_owned();
        assert_eq!(at(r#"{"model":"mam","classes":[{"class_type":8,"share_ppm":1000000}]}"#), "classes[0].class_type");
        assert_eq!(at(r#"{"model":"mam","classes":[{"class_type":0,"share_ppm":1000001}]}"#), "classes[0].share_ppm");
        assert_eq!(at(r#"{"model":"mam","classes":[{"class_type":0,"share_ppm":0}]}"#), "classes");
        assert_eq!(at(r#"{"model":"mam","te_classes":[{"class_type":1,"priority":9}]}"#), "te_classes[0].priority");
        assert_eq!(at(r#"{"model":"mam","refuse_above_percent":1}"#), "refuse_above_percent");
        assert_eq!(at(r#"{"model":"mam","relocation":{"max_moves":11}}"#), "relocation.max_moves");
        assert_eq!(
            at(r#"{"model":"mam","link_overrides":[{"link":"","model":"mam","classes":[]}]}"#),
            "link_overrides[0].link"
        );
    }
}
