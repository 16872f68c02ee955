//! What links had: each minute, on the minute, every link is sampled, and what is over is merged into coarser samples. Of
//! several instances the first one at the database writes an instant; one whose state is not up to date samples nothing.

use std::collections::BTreeMap;

use tokio::time::{Duration, sleep};

use super::reconcile::Conditions;
use super::{App, JournalError};
use crate::journal::{Journal, LinkSampling, SampleChange, SampleResolution, SampledTopology};
use kernel::State;
use kernel::id::Name;
use kernel::link_sample::{BandwidthRange, LinkSample};
use kernel::units::Millis;

/// How many links are sampled, over all topologies in the order of their names.
pub const LINKS_SAMPLED_MAX: usize = 20_000;
/// How many periods of a coarser resolution one turn merges: more than one after the service was away only.
const PERIODS_AT_ONCE: usize = 8;

/// Every sampled link at an instant.
type LinkSamples = BTreeMap<(Name, Name), LinkSample>;

/// The samples that this instance wrote last, so that it need not read them back.
#[derive(Default)]
pub(super) struct LastSamples {
    at: Millis,
    samples: LinkSamples,
    /// How many links are beyond the bound.
    left_out: usize,
}

/// A link over a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkHistory {
    /// How long the period of a point is: longer than asked for where finer samples are not kept any more, so that it is a
    /// multiple of theirs.
    pub step: Millis,
    /// When each period begins, and what the link had in it; a period without a sample has no point.
    pub points: Vec<(Millis, LinkSample)>,
}

/// The links of a topology at an instant that was sampled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinksThen {
    /// The instant; of a longer period, its begin.
    pub sampling: LinkSampling,
    /// How long the period is.
    pub step: Millis,
    /// In the order of their names.
    pub links: Vec<(Name, LinkSample)>,
}

/// LinkSamples on each minute until the service stops.
pub(super) async fn run(app: App) {
    let (stop, step) = (app.stopping(), SampleResolution::Minute.step());
    loop {
        let since = app.now().0 % step.0;
        tokio::select! {
            () = sleep(Duration::from_millis(step.0 - since)) => {}
            () = stop.cancelled() => return,
        }
        if app.inner.leadership.is_current()
            && let Err(error) = app.sample_links(SampleResolution::Minute.floor(app.now())).await
        {
            tracing::warn!(%error, "the links could not be sampled");
        }
    }
}

impl App {
    /// Writes what links have now as the sample of an instant, and merges the periods that are over then; nothing if the
    /// instant is sampled, or a later one of its block: samples of a block are written in order.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sample_links(&self, at: Millis) -> Result<(), JournalError> {
        let (journal, resolution) = (&self.inner.journal, SampleResolution::Minute);
        let mut last = self.inner.last_samples.lock().await;
        let state = self.state();
        if is_overtaken(journal, resolution, at).await? {
            return Ok(());
        }
        let newest = journal.nearest_link_sampling(resolution, at).await?;
        let newest = newest.filter(|newest| resolution.block_of(newest.at) == resolution.block_of(at));
        let base = match newest {
            Some(newest) if newest.at == last.at => {
                // If this instant cannot be written, the database says what was before the next one.
                last.at = Millis::default();
                std::mem::take(&mut last.samples)
            }
            Some(newest) => samples_at(journal, resolution, newest.at).await?,
            None => LinkSamples::new(),
        };
        let samples = samples_of(&state, &self.conditions(), self.now());
        let left_out = links_left_out(&state);
        if left_out > 0 && last.left_out == 0 {
            tracing::warn!(links = left_out, limit = LINKS_SAMPLED_MAX, "links beyond the limit are not sampled");
        }
        last.left_out = left_out;
        let changes = changes(&samples, base);
        let sampling = LinkSampling { at, sequence: state.sequence() };
        if !journal.put_link_samples(resolution, sampling, &changes).await? {
            return Ok(());
        }
        *last = LastSamples { at, samples, left_out };
        merge_periods(journal, &state, (resolution, SampleResolution::QuarterHour), at).await?;
        merge_periods(journal, &state, (SampleResolution::QuarterHour, SampleResolution::SixHours), at).await
    }

    /// How many links there are beyond those that are sampled.
    pub fn links_left_out(&self) -> usize {
        self.read(links_left_out)
    }

    /// What a link had from `from` to before `to`, in steps of at least `step`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn link_history(
        &self,
        topology: SampledTopology<'_>,
        link: &Name,
        (from, to): (Millis, Millis),
        step: Millis,
    ) -> Result<LinkHistory, JournalError> {
        let journal = &self.inner.journal;
        let (mut step, mut end, mut pieces) = (step, to, vec![]);
        // The finest samples as far back as they are kept, coarser ones before them.
        for resolution in SampleResolution::ALL {
            let from = resolution.floor(from);
            let samples = journal.link_samples(resolution, topology, link, (from, end)).await?;
            if !samples.is_empty() {
                step = Millis(step.0.checked_next_multiple_of(resolution.step().0).unwrap_or(step.0));
            }
            pieces.push((resolution, samples));
            let Some(first) = journal.next_link_sampling(resolution, from).await? else { continue };
            end = end.min(coarser(resolution).floor(first.at));
        }
        let samples = pieces.iter().rev();
        let samples = samples.flat_map(|(resolution, samples)| samples.iter().map(|one| (resolution.step(), one)));
        let mut periods: BTreeMap<Millis, Vec<(&LinkSample, Millis)>> = BTreeMap::new();
        for (lasts, (at, sample)) in samples {
            periods.entry(Millis(at.0 - at.0 % step.0.max(1))).or_default().push((sample, lasts));
        }
        let points = periods.into_iter().filter_map(|(at, samples)| Some((at, LinkSample::merged(samples)?)));
        Ok(LinkHistory { step, points: points.collect() })
    }

    /// The links of a topology as they were at an instant: at the nearest one before it that was sampled. `None`: there is no
    /// sample so old.
    ///
    /// # Errors
    /// The database failed.
    pub async fn links_then(
        &self,
        topology: SampledTopology<'_>,
        at: Millis,
    ) -> Result<Option<LinksThen>, JournalError> {
        let journal = &self.inner.journal;
        for resolution in SampleResolution::ALL {
            let Some(sampling) = journal.nearest_link_sampling(resolution, at).await? else { continue };
            let Millis(at) = sampling.at;
            let links = journal.topology_samples(resolution, topology, (sampling.at, Millis(at + 1))).await?;
            let links = links.into_iter().filter_map(|mut one| Some((one.link, one.samples.pop()?.1)));
            return Ok(Some(LinksThen { sampling, step: resolution.step(), links: links.collect() }));
        }
        Ok(None)
    }

    /// The oldest instant of which there is a sample.
    ///
    /// # Errors
    /// The database failed.
    pub async fn first_link_sampling(&self) -> Result<Option<Millis>, JournalError> {
        let mut first: Option<Millis> = None;
        for resolution in SampleResolution::ALL {
            let oldest = self.inner.journal.next_link_sampling(resolution, Millis(0)).await?;
            first = first.into_iter().chain(oldest.map(|oldest| oldest.at)).min();
        }
        Ok(first)
    }
}

/// The next coarser resolution; of the coarsest, itself.
fn coarser(resolution: SampleResolution) -> SampleResolution {
    match resolution {
        SampleResolution::Minute => SampleResolution::QuarterHour,
        SampleResolution::QuarterHour | SampleResolution::SixHours => SampleResolution::SixHours,
    }
}

/// Whether an instant, or a later one of its block, is sampled.
async fn is_overtaken(journal: &Journal, resolution: SampleResolution, at: Millis) -> Result<bool, JournalError> {
    let next = journal.next_link_sampling(resolution, at).await?;
    Ok(next.is_some_and(|next| resolution.block_of(next.at) == resolution.block_of(at)))
}

fn samples_of(state: &State, conditions: &Conditions, now: Millis) -> LinkSamples {
    let links = state.networks().flat_map(|(topology, network)| {
        let links = network.topology().links();
        links.map(move |(ix, link)| (topology, network, ix, link))
    });
    let sample = |(topology, network, ix, link): (&Name, _, _, &kernel::topology::Link)| {
        let load = conditions.link(topology, ix).load.filter(|load| load.is_fresh(now));
        let measured = load.map(|load| BandwidthRange::at_once(load.carried_bps));
        Some(((topology.clone(), link.name.clone()), LinkSample { measured, ..LinkSample::of(network, ix)? }))
    };
    links.take(LINKS_SAMPLED_MAX).filter_map(sample).collect()
}

fn links_left_out(state: &State) -> usize {
    let links: usize = state.networks().map(|(_, network)| network.topology().link_count()).sum();
    links.saturating_sub(LINKS_SAMPLED_MAX)
}

/// Every link at an instant that was sampled, as the block of the instant has it.
async fn samples_at(journal: &Journal, resolution: SampleResolution, at: Millis) -> Result<LinkSamples, JournalError> {
    let mut found = LinkSamples::new();
    for topology in journal.sampled_topologies(resolution, at).await? {
        let any = SampledTopology::any(&topology);
        for mut one in journal.topology_samples(resolution, any, (at, Millis(at.0 + 1))).await? {
            found.extend(one.samples.pop().map(|(_, sample)| ((topology.clone(), one.link), sample)));
        }
    }
    Ok(found)
}

/// The samples that are not as before, and the links that are gone.
fn changes(samples: &LinkSamples, mut before: LinkSamples) -> Vec<SampleChange> {
    let mut changes = vec![];
    for (key @ (topology, link), sample) in samples {
        if before.remove(key).as_ref() != Some(sample) {
            let sample = Some(sample.clone());
            changes.push(SampleChange { topology: topology.clone(), link: link.clone(), sample });
        }
    }
    changes.extend(before.into_keys().map(|(topology, link)| SampleChange { topology, link, sample: None }));
    changes
}

/// Merges the samples of a resolution into those of the next coarser one, as far as periods are over. Those of a topology that
/// was deleted are not merged, and are gone when they are old.
async fn merge_periods(
    journal: &Journal,
    state: &State,
    (finer, resolution): (SampleResolution, SampleResolution),
    now: Millis,
) -> Result<(), JournalError> {
    let step = resolution.step().0;
    let mut newest = journal.nearest_link_sampling(resolution, now).await?;
    for _ in 0..PERIODS_AT_ONCE {
        let from = newest.map_or(Millis(0), |newest| Millis(newest.at.0 + step));
        let Some(first) = journal.next_link_sampling(finer, from).await? else { return Ok(()) };
        let period = resolution.floor(first.at);
        let end = Millis(period.0 + step);
        if end > finer.floor(now) || is_overtaken(journal, resolution, period).await? {
            return Ok(());
        }
        let samplings = journal.link_samplings(finer, period, end).await?;
        let sequence = samplings.last().map_or(first.sequence, |last| last.sequence);
        let mut samples = LinkSamples::new();
        for topology in journal.sampled_topologies(finer, period).await? {
            let Some(created) = state.network(topology.as_str()).map(kernel::state::Network::created) else { continue };
            let sampled = SampledTopology { topology: &topology, created };
            for one in journal.topology_samples(finer, sampled, (period, end)).await? {
                let merged = LinkSample::merged(one.samples.iter().map(|(_, sample)| (sample, finer.step())));
                samples.extend(merged.map(|merged| ((topology.clone(), one.link), merged)));
            }
        }
        let before = newest.filter(|newest| resolution.block_of(newest.at) == resolution.block_of(period));
        let before = match before {
            Some(before) => samples_at(journal, resolution, before.at).await?,
            None => LinkSamples::new(),
        };
        let sampling = LinkSampling { at: period, sequence };
        if !journal.put_link_samples(resolution, sampling, &changes(&samples, before)).await? {
            return Ok(());
        }
        newest = Some(sampling);
    }
    Ok(())
}
