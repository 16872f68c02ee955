//! What links had: samples at fixed instants, at three resolutions. A row holds a link's samples of a block of instants, the
//! first of the block and then those that differ from the one before, so that a link at rest costs a row a block and a link
//! that changes all the time costs no more rows. Which instants were sampled is a table of its own: an instant that no replica
//! sampled has no value, and the table's key lets one replica write each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::column::{column, number};
use super::database::within;
use super::error::JournalError;
use super::json::JsonText;
use super::scalars::LinkWord;
use super::{BULK_MAX, Journal, on_either, on_reader, statement};
use kernel::class::ClassType;
use kernel::id::{Name, Sequence};
use kernel::link_sample::{BandwidthRange, LinkSample};
use kernel::units::{Bandwidth, Millis};

const TABLE: &str = "link_history";
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How far apart samples are. A coarser one is merged from those of the next finer resolution.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SampleResolution {
    /// Of the instant on the minute.
    Minute,
    /// Of fifteen minutes.
    QuarterHour,
    /// Of six hours.
    SixHours,
}

/// An instant that was sampled, or at which a sampled period begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkSampling {
    pub at: Millis,
    /// The last event then; of a period, the last event at its last instant.
    pub sequence: Sequence,
}

/// What became of a link since the sample before: another sample, or none where it is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SampleChange {
    pub topology: Name,
    pub link: Name,
    pub sample: Option<LinkSample>,
}

/// Whose samples are wanted: those of a topology's name, from the event on that put this topology.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SampledTopology<'a> {
    pub topology: &'a Name,
    pub created: Sequence,
}

impl<'a> SampledTopology<'a> {
    /// Of every topology that had the name.
    pub const fn any(topology: &'a Name) -> Self {
        Self { topology, created: Sequence(0) }
    }
}

/// A link with its samples, oldest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SampledLink {
    pub link: Name,
    pub samples: Vec<(Millis, LinkSample)>,
}

impl SampleResolution {
    /// Each, the finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::QuarterHour, Self::SixHours];

    /// How far apart its samples are.
    pub const fn step(self) -> Millis {
        Millis(match self {
            Self::Minute => MINUTE_MS,
            Self::QuarterHour => 15 * MINUTE_MS,
            Self::SixHours => 6 * HOUR_MS,
        })
    }

    /// How long the block of one row is: a multiple of the step here and of that of the next coarser resolution.
    const fn block_ms(self) -> u64 {
        match self {
            Self::Minute => HOUR_MS,
            Self::QuarterHour => DAY_MS,
            Self::SixHours => 30 * DAY_MS,
        }
    }

    /// The last of its instants that is not after `at`.
    pub const fn floor(self, at: Millis) -> Millis {
        Millis(at.0 - at.0 % self.step().0)
    }

    /// Where the block of an instant begins.
    pub const fn block_of(self, at: Millis) -> Millis {
        Millis(at.0 - at.0 % self.block_ms())
    }
}

/// As it stands in a row: how many steps after the begin of the block, state, capacity, maximum reservable bandwidth, what was
/// reserved in all and by class type, and what was measured if anything was, each as mean and maximum; or the number alone where
/// the link is gone.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SampleRecord {
    Measured(u64, LinkWord, u64, u64, (u64, u64), Vec<(u8, u64, u64)>, (u64, u64)),
    Present(u64, LinkWord, u64, u64, (u64, u64), Vec<(u8, u64, u64)>),
    Gone((u64,)),
}

impl SampleRecord {
    fn of(place: u64, sample: Option<&LinkSample>) -> Self {
        let Some(sample) = sample else { return Self::Gone((place,)) };
        let pair = |range: BandwidthRange| (range.mean_bps, range.max_bps);
        let (state, capacity) = (sample.state.into(), sample.capacity.as_bps());
        let (max_reservable, reserved) = (sample.max_reservable.as_bps(), pair(sample.reserved));
        let classes = sample.classes.iter();
        let classes = classes.map(|(class_type, range)| (class_type.number(), range.mean_bps, range.max_bps)).collect();
        match sample.measured.map(pair) {
            Some(measured) => Self::Measured(place, state, capacity, max_reservable, reserved, classes, measured),
            None => Self::Present(place, state, capacity, max_reservable, reserved, classes),
        }
    }

    fn read(self) -> (u64, Option<LinkSample>) {
        let (place, state, capacity, max_reservable, reserved, classes, measured) = match self {
            Self::Gone((place,)) => return (place, None),
            Self::Present(place, state, capacity, max_reservable, reserved, classes) => {
                (place, state, capacity, max_reservable, reserved, classes, None)
            }
            Self::Measured(place, state, capacity, max_reservable, reserved, classes, measured) => {
                (place, state, capacity, max_reservable, reserved, classes, Some(measured))
            }
        };
        let range = |(mean_bps, max_bps)| BandwidthRange { mean_bps, max_bps };
        let class = |(number, mean_bps, max_bps)| Some((ClassType::new(number)?, range((mean_bps, max_bps))));
        let sample = LinkSample {
            state: state.into(),
            capacity: Bandwidth::saturating_from_bps(capacity),
            max_reservable: Bandwidth::saturating_from_bps(max_reservable),
            reserved: range(reserved),
            classes: classes.into_iter().filter_map(class).collect(),
            measured: measured.map(range),
        };
        (place, Some(sample))
    }
}

/// A row to be written.
#[derive(Serialize)]
struct BlockRow<'a> {
    topology: &'a str,
    link: &'a str,
    step_ms: u64,
    block_ms: u64,
    samples: String,
}

impl Journal {
    /// Writes what changed from the sample before to this one, of every link that has no sample in the block yet, too;
    /// whether it did: not if the instant is there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_link_samples(
        &self,
        resolution: SampleResolution,
        sampling: LinkSampling,
        changes: &[SampleChange],
    ) -> Result<bool, JournalError> {
        let block = resolution.block_of(sampling.at);
        let place = (sampling.at.0 - block.0) / resolution.step().0;
        let rows = changes.iter().map(|change| {
            let record = SampleRecord::of(place, change.sample.as_ref());
            let samples = serde_json::to_string(&record).map_err(JournalError::Unwritable)?;
            let (topology, link) = (change.topology.as_str(), change.link.as_str());
            Ok(BlockRow { topology, link, step_ms: resolution.step().0, block_ms: block.0, samples })
        });
        let rows = rows.collect::<Result<Vec<_>, JournalError>>()?;
        Ok(self.put_blocks(resolution, &[sampling], rows).await? > 0)
    }

    /// Writes samplings and rows in one transaction, the rows only if a sampling is new; how many are.
    async fn put_blocks(
        &self,
        resolution: SampleResolution,
        samplings: &[LinkSampling],
        rows: Vec<BlockRow<'_>>,
    ) -> Result<u64, JournalError> {
        let keyed: BTreeMap<usize, BlockRow<'_>> = rows.into_iter().enumerate().collect();
        let rows = serde_json::to_string(&keyed).map_err(JournalError::Unwritable)?;
        let step = column(resolution.step().0)?;
        on_either!(&*self.database, |connections| {
            let mut guard = connections.bulk.lock().await;
            let done = within(BULK_MAX, async {
                let connection = guard.connection().await?;
                sqlx::raw_sql(connections.begin_write).execute(&mut *connection).await?;
                let mut written = 0;
                for sampling in samplings {
                    let query = sqlx::query(statement::SAMPLING_PUT).bind(step).bind(column(sampling.at.0)?);
                    let query = query.bind(column(sampling.sequence.0)?);
                    written += query.execute(&mut *connection).await?.rows_affected();
                }
                if written > 0 {
                    sqlx::query(statement::LINK_HISTORY_PUT).bind(JsonText(&rows)).execute(&mut *connection).await?;
                }
                sqlx::raw_sql(statement::COMMIT).execute(&mut *connection).await?;
                Ok::<_, JournalError>(written)
            });
            let done = done.await;
            // After a failure the transaction is still open: it ends with the connection.
            guard.keep_if_done(done)
        })
    }

    /// The instants of a resolution that were sampled, from `from` to before `to`, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn link_samplings(
        &self,
        resolution: SampleResolution,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<LinkSampling>, JournalError> {
        let (step, from, to) = (column(resolution.step().0)?, clamped(from), clamped(to));
        let rows: Vec<(i64, i64)> = on_reader!(self, |connection| {
            sqlx::query_as(statement::SAMPLINGS).bind(step).bind(from).bind(to).fetch_all(connection).await?
        });
        rows.into_iter().map(sampling).collect()
    }

    /// The newest sampling at an instant or before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn nearest_link_sampling(
        &self,
        resolution: SampleResolution,
        at: Millis,
    ) -> Result<Option<LinkSampling>, JournalError> {
        self.one_sampling(statement::SAMPLING_NEAREST, resolution, at).await
    }

    /// The oldest sampling at an instant or later.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_link_sampling(
        &self,
        resolution: SampleResolution,
        at: Millis,
    ) -> Result<Option<LinkSampling>, JournalError> {
        self.one_sampling(statement::SAMPLING_NEXT, resolution, at).await
    }

    async fn one_sampling(
        &self,
        text: &'static str,
        resolution: SampleResolution,
        at: Millis,
    ) -> Result<Option<LinkSampling>, JournalError> {
        let (step, at) = (column(resolution.step().0)?, clamped(at));
        let row: Option<(i64, i64)> = on_reader!(self, |connection| {
            sqlx::query_as(text).bind(step).bind(at).fetch_optional(connection).await?
        });
        row.map(sampling).transpose()
    }

    /// A link at each instant of a resolution that was sampled, from `from` to before `to`. Samples from before the event that
    /// put the topology are of another one of the same name.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn link_samples(
        &self,
        resolution: SampleResolution,
        SampledTopology { topology, created }: SampledTopology<'_>,
        link: &Name,
        (from, to): (Millis, Millis),
    ) -> Result<Vec<(Millis, LinkSample)>, JournalError> {
        let mut samplings = self.link_samplings(resolution, from, to).await?;
        samplings.retain(|sampling| sampling.sequence >= created);
        let (step, first, to) = (column(resolution.step().0)?, clamped(resolution.block_of(from)), clamped(to));
        let rows: Vec<(i64, String)> = on_reader!(self, |connection| {
            let query = sqlx::query_as(statement::LINK_HISTORY_OF_LINK).bind(topology.as_str()).bind(link.as_str());
            query.bind(step).bind(first).bind(to).fetch_all(connection).await?
        });
        let mut found = vec![];
        for (block, text) in rows {
            let block = Millis(number(TABLE, block, block)?);
            let of_block = samplings.iter().filter(|sampling| resolution.block_of(sampling.at) == block);
            found.extend(series(resolution, block, &text, of_block)?);
        }
        Ok(found)
    }

    /// The links of a topology at each instant of a resolution that was sampled, from `from` to before `to` or to the end
    /// of the block that `from` is in; samples from before the topology was put are left out.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn topology_samples(
        &self,
        resolution: SampleResolution,
        SampledTopology { topology, created }: SampledTopology<'_>,
        (from, to): (Millis, Millis),
    ) -> Result<Vec<SampledLink>, JournalError> {
        let block = resolution.block_of(from);
        let to = Millis(to.0.min(block.0.saturating_add(resolution.block_ms())));
        let mut samplings = self.link_samplings(resolution, from, to).await?;
        samplings.retain(|sampling| sampling.sequence >= created);
        let rows = self.rows_of_block(resolution, block, topology.as_str()).await?;
        let read = rows.into_iter().filter_map(|(link, text)| {
            // A name that this program did not write names no link.
            let link = Name::new(&link).ok()?;
            let samples = series(resolution, block, &text, &samplings);
            Some(samples.map(|samples| SampledLink { link, samples }))
        });
        read.collect()
    }

    async fn rows_of_block(
        &self,
        resolution: SampleResolution,
        block: Millis,
        topology: &str,
    ) -> Result<Vec<(String, String)>, JournalError> {
        let (step, block) = (column(resolution.step().0)?, column(block.0)?);
        Ok(on_reader!(self, |connection| {
            let query = sqlx::query_as(statement::LINK_HISTORY_OF_BLOCK).bind(step).bind(block).bind(topology);
            query.fetch_all(connection).await?
        }))
    }

    /// The topologies that have samples in the block of an instant.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sampled_topologies(
        &self,
        resolution: SampleResolution,
        at: Millis,
    ) -> Result<Vec<Name>, JournalError> {
        let (step, block) = (column(resolution.step().0)?, clamped(resolution.block_of(at)));
        let names: Vec<String> = on_reader!(self, |connection| {
            sqlx::query_scalar(statement::LINK_HISTORY_TOPOLOGIES).bind(step).bind(block).fetch_all(connection).await?
        });
        Ok(names.iter().filter_map(|name| Name::new(name).ok()).collect())
    }

    /// Copies every sample into a journal that has none.
    ///
    /// # Errors
    /// One of the databases failed.
    pub async fn carry_link_history(&self, to: &Self) -> Result<(), JournalError> {
        for resolution in SampleResolution::ALL {
            let samplings = self.link_samplings(resolution, Millis(0), Millis(u64::MAX)).await?;
            for samplings in samplings.chunk_by(|a, b| resolution.block_of(a.at) == resolution.block_of(b.at)) {
                let Some(first) = samplings.first() else { continue };
                let block = resolution.block_of(first.at);
                let topologies = self.sampled_topologies(resolution, block).await?;
                let mut rows = vec![];
                for topology in &topologies {
                    for (link, samples) in self.rows_of_block(resolution, block, topology.as_str()).await? {
                        rows.push((topology.as_str(), link, samples));
                    }
                }
                let rows = rows.iter().map(|(topology, link, samples)| BlockRow {
                    topology,
                    link,
                    step_ms: resolution.step().0,
                    block_ms: block.0,
                    samples: samples.clone(),
                });
                to.put_blocks(resolution, samplings, rows.collect()).await?;
            }
        }
        Ok(())
    }
}

/// An instant as a column has it; one that no column has is later than any.
fn clamped(at: Millis) -> i64 {
    column(at.0).unwrap_or(i64::MAX)
}

fn sampling((at, sequence): (i64, i64)) -> Result<LinkSampling, JournalError> {
    let of = |value| number("link_sampling", at, value);
    Ok(LinkSampling { at: Millis(of(at)?), sequence: Sequence(of(sequence)?) })
}

/// The sample at each of some samplings of a block: that of the instant, or the last one before.
fn series<'a>(
    resolution: SampleResolution,
    block: Millis,
    text: &str,
    samplings: impl IntoIterator<Item = &'a LinkSampling>,
) -> Result<Vec<(Millis, LinkSample)>, JournalError> {
    let row = column(block.0)?;
    let records: Vec<SampleRecord> = serde_json::from_str(&format!("[{text}]"))
        .map_err(|error| JournalError::Damaged { table: TABLE, row, error })?;
    let mut records = records.into_iter().map(SampleRecord::read).peekable();
    let (mut current, mut found) = (None, vec![]);
    for LinkSampling { at, .. } in samplings {
        let place = (at.0 - block.0) / resolution.step().0;
        while let Some((_, sample)) = records.next_if(|(changed, _)| *changed <= place) {
            current = sample;
        }
        found.extend(current.clone().map(|sample| (*at, sample)));
    }
    Ok(found)
}
