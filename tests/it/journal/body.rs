//! What a journal must do, whatever it is kept in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel::allocation::Allocation;
use kernel::annotation::{Annotation, AnnotationField};
use kernel::class::ClassType;
use kernel::id::{AllocationId, LinkIx, Name, NodeIx, Sequence};
use kernel::link_sample::{BandwidthRange, LinkSample};
use kernel::topology::LinkState;
use kernel::units::{Bandwidth, Millis};
use kernel::{ApplyError, State};
use watermaster::app::{CarryError, check_chain};
use watermaster::journal::{
    AnnotationFilter, AppendError, DatabaseUrl, Journal, JournalError, LinkHistoryAges, LinkSampling, Past, PastFilter,
    Receipt, RecordBatch, Retention, SampleChange, SampleResolution, SampledTopology,
};

use super::fixture::{World, name, receipt};

/// A batch that follows the journal's last event.
async fn after(journal: &Journal) -> RecordBatch {
    RecordBatch::after(journal.chain_head().await.unwrap().digest)
}

/// Lives on in batches, each written before the next.
async fn live(world: &mut World, journal: &Journal, batches: usize) {
    let mut draft = after(journal).await;
    for _ in 0..batches {
        let steps = world.dice.roll(20);
        world.live(usize::try_from(steps).unwrap(), &mut draft);
        journal.append(&draft).await.unwrap();
        draft.clear();
    }
}

pub(crate) async fn what_is_appended_is_read_back(journal: &Journal) {
    assert_eq!(journal.head().await.unwrap(), Sequence(0));
    assert!(journal.read_after(Sequence(0), 10).await.unwrap().is_empty());
    journal.probe(Duration::from_secs(60)).await.unwrap();
    journal.append(&RecordBatch::new()).await.unwrap();
    let mut world = World::new(1);
    let mut happened = Vec::new();
    let mut draft = RecordBatch::new();
    while happened.len() < 300 {
        let Some(one) = world.step() else { continue };
        draft.push(&one.fact, &[]).unwrap();
        happened.push((one.before, one.fact));
        if happened.len() % 7 == 0 {
            journal.append(&draft).await.unwrap();
            draft.clear();
        }
    }
    journal.append(&draft).await.unwrap();
    assert_eq!(journal.head().await.unwrap(), Sequence(300));
    for (before, fact) in &happened {
        let rows = journal.read_after(before.sequence(), 1).await.unwrap();
        let read = rows[0].decode(before).unwrap();
        assert_eq!((read.sequence, read.at, &read.event), (fact.sequence, fact.at, &fact.event));
    }
    // Without a state, events have numbers of their own; stored again, they are the same.
    let mut again = RecordBatch::new();
    for fact in journal.facts_after(Sequence(0), 300).await.unwrap() {
        again.push(&fact, &[]).unwrap();
    }
    let copy = Journal::open(&DatabaseUrl::SqliteMemory).await.unwrap();
    copy.append(&again).await.unwrap();
    assert!(copy.restore().await.unwrap() == world.state);
    assert_eq!(journal.read_after(Sequence(290), 100).await.unwrap().len(), 10);
    assert!(journal.read_after(Sequence(300), 100).await.unwrap().is_empty());
}

pub(crate) async fn a_batch_that_does_not_follow_is_a_conflict(journal: &Journal) {
    let mut world = World::new(2);
    let mut early = RecordBatch::new();
    world.live(10, &mut early);
    let middle = world.state.sequence();
    let mut late = RecordBatch::after(early.digest());
    world.live(40, &mut late);
    let is_conflict = |done| matches!(done, Err(AppendError::Conflict));
    assert!(is_conflict(journal.append(&late).await), "a gap");
    journal.append(&early).await.unwrap();
    assert!(is_conflict(journal.append(&early).await), "a repetition");
    assert_eq!(journal.head().await.unwrap(), middle);
    journal.append(&late).await.unwrap();
    assert!(is_conflict(journal.append(&late).await), "a repetition with more than records");
    assert_eq!(journal.head().await.unwrap(), world.state.sequence());
}

pub(crate) async fn a_history_is_restored(journal: &Journal) {
    assert!(journal.restore().await.unwrap() == State::new());
    for seed in 3..6 {
        let mut world = World::new(seed);
        world.state = journal.restore().await.unwrap();
        live(&mut world, journal, 20).await;
        assert!(journal.restore().await.unwrap() == world.state);
    }
}

pub(crate) async fn a_snapshot_is_the_state(journal: &Journal) {
    let mut world = World::new(8);
    let mut most = 0;
    for _ in 0..4 {
        live(&mut world, journal, 20).await;
        let frozen = world.state.clone();
        journal.write_snapshot(&frozen).await.unwrap();
        assert!(journal.restore().await.unwrap() == world.state);
        journal.write_snapshot(&frozen).await.unwrap();
        live(&mut world, journal, 3).await;
        assert!(journal.restore().await.unwrap() == world.state);
        most = most.max(frozen.allocation_count());
    }
    assert!(most > 0, "an empty world proves nothing");
}

pub(crate) async fn a_newer_snapshot_takes_the_place_of_an_older_one(journal: &Journal) {
    let mut world = World::new(10);
    live(&mut world, journal, 10).await;
    let older = world.state.clone();
    live(&mut world, journal, 10).await;
    journal.write_snapshot(&world.state).await.unwrap();
    // Late, as by another program that had begun earlier: it must not hide the newer one.
    journal.write_snapshot(&older).await.unwrap();
    assert!(journal.restore().await.unwrap() == world.state);
}

/// A snapshot that is damaged is passed over: the one before it is read, and every event where that is damaged too, unless the
/// events are not kept any more. `damage` carries out a statement behind the journal's back.
pub(crate) async fn a_damaged_snapshot_is_passed_over(journal: &Journal, damage: impl AsyncFn(&str)) {
    let mut world = World::new(18);
    let mut snapshots = vec![];
    for _ in 0..3 {
        live(&mut world, journal, 20).await;
        journal.write_snapshot(&world.state).await.unwrap();
        snapshots.push(world.state.sequence());
    }
    live(&mut world, journal, 5).await;
    // Still JSON of its form, and not what was written.
    let [_, second, third] = snapshots[..] else { panic!() };
    damage(&format!("UPDATE snapshot SET body = body || ' ' WHERE sequence = {} AND part = 0", third.0)).await;
    let damaged = |read: Result<_, JournalError>, wanted| match read {
        Err(JournalError::BadSnapshot { at, .. }) => assert_eq!(at, wanted),
        other => panic!("{other:?}"),
    };
    damaged(journal.read_snapshot().await.map(drop), third);
    assert!(journal.restore().await.unwrap() == world.state, "by the one before");
    damage(&format!("DELETE FROM snapshot WHERE sequence = {}", second.0)).await;
    assert!(journal.restore().await.unwrap() == world.state, "by every event");
    damage("DELETE FROM journal WHERE sequence = 1").await;
    damaged(journal.restore().await.map(drop), third);
    journal.write_snapshot(&world.state).await.unwrap();
    assert!(journal.restore().await.unwrap() == world.state);
    // The one before is kept, damaged or not, until it is forgotten.
    assert_eq!(journal.oldest_snapshot().await.unwrap(), Some(third));
    journal.forget_snapshot(third).await.unwrap();
    assert_eq!(journal.oldest_snapshot().await.unwrap(), Some(world.state.sequence()));
    assert!(journal.restore().await.unwrap() == world.state);
}

/// Some history, snapshot included; the state after it.
pub(crate) async fn some_history(journal: &Journal) -> State {
    let mut world = World::new(11);
    live(&mut world, journal, 20).await;
    journal.write_snapshot(&world.state).await.unwrap();
    live(&mut world, journal, 5).await;
    world.state
}

/// Two writers who each restore, decide and append, and on a conflict restore and decide again.
pub(crate) async fn of_two_writers_one_wins_each_place(one: Journal, two: Journal) {
    let write = async |journal: &Journal, seed: u64| {
        let mut world = World::new(seed);
        let (mut won, mut lost, mut events) = (0, 0, 0);
        while won < 30 {
            let (state, digest) = journal.restore_with_digest().await.unwrap();
            world.state = state;
            let mut draft = RecordBatch::after(digest);
            world.live(5, &mut draft);
            match journal.append(&draft).await {
                Ok(()) => (won, events) = (won + 1, events + draft.len()),
                Err(AppendError::Conflict) => lost += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        (events, lost)
    };
    let first = one.clone();
    let (here, there) = tokio::join!(
        tokio::spawn(async move { write(&first, 12).await }),
        tokio::spawn(async move { write(&two, 13).await }),
    );
    let ((mine, my_losses), (theirs, their_losses)) = (here.unwrap(), there.unwrap());
    assert_eq!(one.head().await.unwrap(), Sequence(mine + theirs));
    assert!(my_losses + their_losses > 0, "they never met");
    one.restore().await.unwrap();
}

/// While another writes without rest, who asks to write alone succeeds each time; a claim that is dropped leaves nothing.
pub(crate) async fn who_writes_alone_is_not_outrun(one: Journal, two: Journal) {
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    let restless = tokio::spawn(async move {
        let mut world = World::new(15);
        while !told.load(Ordering::Relaxed) {
            let (state, digest) = two.restore_with_digest().await.unwrap();
            world.state = state;
            let mut draft = RecordBatch::after(digest);
            world.live(5, &mut draft);
            match two.append(&draft).await {
                Ok(()) | Err(AppendError::Conflict) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        two
    });
    let mut world = World::new(16);
    for _ in 0..20 {
        let alone = one.lock().await.unwrap();
        world.state = one.restore().await.unwrap();
        let mut draft = after(&one).await;
        world.live(5, &mut draft);
        alone.append(&draft).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let two = restless.await.unwrap();
    world.state = one.restore().await.unwrap();
    drop(one.lock().await.unwrap());
    let mut draft = after(&one).await;
    world.live(5, &mut draft);
    two.append(&draft).await.unwrap();
    assert!(one.restore().await.unwrap() == world.state);
}

/// `damage` carries out a statement behind the journal's back.
pub(crate) async fn damaged_rows_are_named(journal: &Journal, damage: impl AsyncFn(&'static str)) {
    let mut world = World::new(14);
    live(&mut world, journal, 40).await;
    while world.state.allocation_count() == 0 {
        live(&mut world, journal, 1).await;
    }
    assert!(world.state.sequence().0 > 100);
    damage("UPDATE journal SET body = '{\"kind\":\"allocation_released\",\"id\":\"9999\"}' WHERE sequence = 90").await;
    assert!(matches!(journal.restore().await, Err(JournalError::Contradiction(ApplyError::NoAllocation { .. }))));
    damage("UPDATE journal SET body = '{\"kind\":\"model_set\"' WHERE sequence = 90").await;
    let torn = journal.read_after(Sequence(80), 20).await;
    assert!(matches!(torn, Err(JournalError::Damaged { table: "journal", row: 90, .. })));
    assert_eq!(journal.read_after(Sequence(90), 5).await.unwrap().len(), 5);
    assert!(matches!(journal.restore().await, Err(JournalError::Damaged { row: 90, .. })));
    damage("UPDATE journal SET body = '{\"kind\":\"topology_deleted\",\"topology\":\"\"}' WHERE sequence = 90").await;
    assert!(matches!(journal.restore().await, Err(JournalError::Damaged { row: 90, .. })));
    let unknown = "UPDATE journal SET body = '{\"kind\":\"link_changed\",\"topology\":\"none\",\"links\":[]}' WHERE sequence = 90";
    damage(unknown).await;
    assert!(matches!(journal.restore().await, Err(JournalError::Decode { at: Sequence(90), .. })));
    damage("DELETE FROM journal WHERE sequence = 90").await;
    let gap = ApplyError::OutOfSequence { after: Sequence(89), found: Sequence(91) };
    assert!(matches!(journal.restore().await, Err(JournalError::Contradiction(error)) if error == gap));
    // A snapshot after the damage makes the journal whole again, until it is damaged itself.
    journal.write_snapshot(&world.state).await.unwrap();
    assert!(journal.restore().await.unwrap() == world.state);
    damage("UPDATE snapshot SET body = replace(body, '\"', '\" ') WHERE part = 1").await;
    assert!(matches!(journal.restore().await, Err(JournalError::BadSnapshot { part: 1, .. })));
    damage("UPDATE snapshot_head SET allocations = allocations + 1").await;
    assert!(matches!(journal.restore().await, Err(JournalError::BadSnapshot { part: 1, .. })));
    damage("UPDATE snapshot SET body = '[]' WHERE part = 1").await;
    assert!(matches!(journal.restore().await, Err(JournalError::BadSnapshot { part: 1, .. })));
    damage("DELETE FROM snapshot WHERE part = 0").await;
    assert!(matches!(journal.restore().await, Err(JournalError::BadSnapshot { part: 0, .. })));
    damage("UPDATE past_allocation SET state = 'gone'").await;
    let past = journal.past(&PastFilter::default(), None, 1).await;
    assert!(matches!(past, Err(JournalError::Damaged { table: "past_allocation", .. })));
}

pub(crate) async fn the_past_is_filtered(journal: &Journal) {
    let mut world = World::new(8);
    let mut draft = RecordBatch::new();
    let mut past = Vec::new();
    for _ in 0..4_000 {
        let Some(happened) = world.step() else { continue };
        draft.push(&happened.fact, &happened.past).unwrap();
        past.extend(happened.past);
    }
    journal.append(&draft).await.unwrap();
    past.sort_by_key(|past| past.allocation.id);
    assert!(past.len() > 50);
    let all = journal.past(&PastFilter::default(), None, 10_000).await.unwrap();
    assert_eq!(named(&all), named(&past));
    let some = journal.past(&PastFilter::default(), Some(past[4].allocation.id), 7).await.unwrap();
    assert_eq!(named(&some), named(&past[5..12]));
    let one = journal.past_one(past[9].allocation.id).await.unwrap();
    assert_eq!(named(&Vec::from_iter(one)), named(&past[9..10]));
    assert!(journal.past_one(AllocationId(u64::MAX)).await.unwrap().is_none());
    for (at, wanted) in past.iter().enumerate().step_by(5) {
        let like = &wanted.allocation;
        let node = |ix| wanted.names.node(ix).cloned();
        let first_link = wanted.names.link(like.path[0]).cloned();
        let filters = [
            PastFilter { topology: Some(like.demand.topology.clone()), ..PastFilter::default() },
            PastFilter { cause: Some(wanted.cause), ..PastFilter::default() },
            PastFilter { ingress: node(like.demand.ingress), ..PastFilter::default() },
            PastFilter { egress: node(like.demand.egress), ..PastFilter::default() },
            PastFilter { link: first_link.clone(), ..PastFilter::default() },
            PastFilter { aggregator: like.demand.attributes.aggregator.clone(), ..PastFilter::default() },
            PastFilter {
                topology: Some(like.demand.topology.clone()),
                class_type: Some(like.demand.class_type),
                link: first_link.clone(),
                ..PastFilter::default()
            },
        ];
        let filter = &filters[at / 5 % filters.len()];
        let found = journal.past(filter, None, 10_000).await.unwrap();
        let expected: Vec<_> = past.iter().filter(|past| fits(filter, past)).cloned().collect();
        assert_eq!(named(&found), named(&expected), "{filter:?}");
    }
    for field in AnnotationField::ALL {
        for wanted in ["ACME", "ACME*", "acme", "AC*", "*", "ACME east %_", "%", "note=x", "é'\"", "west*"] {
            let filter = AnnotationFilter::new(field, wanted);
            let filter = PastFilter { annotations: vec![filter], ..PastFilter::default() };
            let found = journal.past(&filter, None, 10_000).await.unwrap();
            let fits = |past: &&Past| {
                let text = past.allocation.demand.attributes.annotations.get(field).map(Annotation::as_str);
                text.is_some_and(|text| {
                    wanted.strip_suffix('*').map_or(text == wanted, |start| text.starts_with(start))
                })
            };
            let expected: Vec<_> = past.iter().filter(fits).cloned().collect();
            assert_eq!(named(&found), named(&expected), "{field:?} {wanted}");
            assert_eq!(expected.is_empty(), ["%", "west*"].contains(&wanted), "{field:?} {wanted}");
        }
    }
    let nobody = PastFilter { link: Some(name("%")), ..PastFilter::default() };
    assert!(journal.past(&nobody, None, 10).await.unwrap().is_empty());
}

/// What a filter means, said plainly.
fn fits(filter: &PastFilter, past: &Past) -> bool {
    let like = &past.allocation;
    let is_node = |wanted: &Option<Name>, ix| wanted.is_none() || past.names.node(ix) == wanted.as_ref();
    filter.topology.as_ref().is_none_or(|wanted| *wanted == like.demand.topology)
        && filter.cause.is_none_or(|wanted| wanted == past.cause)
        && filter.class_type.is_none_or(|wanted| wanted == like.demand.class_type)
        && is_node(&filter.ingress, like.demand.ingress)
        && is_node(&filter.egress, like.demand.egress)
        && filter.link.as_ref().is_none_or(|wanted| past.names.path(&like.links()).any(|link| link == wanted))
        && filter.aggregator.as_ref().is_none_or(|wanted| like.demand.attributes.aggregator.as_ref() == Some(wanted))
}

/// Ended allocations with names in the place of numbers, which differ from reading to reading.
fn named(past: &[Past]) -> Vec<String> {
    let of = |past: &Past| {
        let (demand, names) = (&past.allocation.demand, &past.names);
        let mut plain = Allocation::clone(&past.allocation);
        (plain.demand.ingress, plain.demand.egress, plain.path) = (NodeIx(0), NodeIx(0), [].into());
        (plain.demand.constraints, plain.recovery) = (None, None);
        let ends = (names.node(demand.ingress), names.node(demand.egress));
        let of = |path: Option<&Arc<[LinkIx]>>| path.map(|path| names.path(path).cloned().collect::<Vec<_>>());
        let paths = (of(Some(&past.allocation.path)), of(past.allocation.backup()), of(past.allocation.reverts_to()));
        format!("{ends:?} {paths:?} {plain:?} {:?} {:?} {:?}", past.cause, past.ended_at, past.ended_by)
    };
    past.iter().map(of).collect()
}

pub(crate) async fn receipts_are_kept_and_forgotten(journal: &Journal) {
    let mut world = World::new(9);
    let happened = world.step().unwrap();
    let mut draft = RecordBatch::new();
    draft.push(&happened.fact, &[]).unwrap();
    let mut first = receipt(&happened.fact);
    first.refusals = Some("[null,\"'é'\"]".to_owned());
    draft.push_receipt(first.clone());
    journal.append(&draft).await.unwrap();
    assert_eq!(journal.receipt(&first.key).await.unwrap().as_ref(), Some(&first));
    assert_eq!(journal.receipt("another").await.unwrap(), None);
    // A key is taken once, with or without events, and nothing of the second batch is written.
    for with_event in [false, true] {
        draft.clear();
        if with_event {
            let next = std::iter::repeat_with(|| world.step()).flatten().next().unwrap();
            draft.push(&next.fact, &[]).unwrap();
        }
        draft.push_receipt(Receipt { count: 3, ..first.clone() });
        assert!(matches!(journal.append(&draft).await, Err(AppendError::KeyTaken)));
        assert_eq!(journal.head().await.unwrap(), happened.fact.sequence);
    }
    assert_eq!(journal.receipt(&first.key).await.unwrap().as_ref(), Some(&first));
    draft.clear();
    let old = Millis(first.at.0 + 1);
    assert_eq!(journal.forget_receipts_before(old).await.unwrap(), 1);
    first.at = Millis(5_000);
    draft.push_receipt(first.clone());
    journal.append(&draft).await.unwrap();
    assert_eq!(journal.forget_receipts_before(Millis(5_000)).await.unwrap(), 0);
    assert_eq!(journal.forget_receipts_before(Millis(5_001)).await.unwrap(), 1);
    assert_eq!(journal.receipt(&first.key).await.unwrap(), None);
}

/// After connections broke: what fails once works the next time.
pub(crate) async fn goes_on(journal: &Journal, state: State) {
    let mut world = World::new(15);
    world.state = state;
    let mut head = journal.chain_head().await;
    while head.is_err() {
        head = journal.chain_head().await;
    }
    let mut draft = RecordBatch::after(head.unwrap().digest);
    world.live(20, &mut draft);
    let first = journal.append(&draft).await;
    assert!(!matches!(first, Err(AppendError::Conflict)), "nobody else writes");
    if first.is_err() {
        journal.append(&draft).await.unwrap();
    }
    let mut restored = journal.restore().await;
    while restored.is_err() {
        restored = journal.restore().await;
    }
    assert!(restored.unwrap() == world.state);
}

pub(crate) async fn what_is_old_is_deleted_below_a_snapshot(journal: &Journal) {
    let mut world = World::new(12);
    live(&mut world, journal, 60).await;
    let snapshot = world.state.sequence();
    assert_eq!(journal.first_sequence().await.unwrap(), Sequence(1));
    let all = Retention {
        event_age: Some(Duration::ZERO),
        events: Some(0),
        ended_age: Some(Duration::ZERO),
        ..Retention::default()
    };
    let later = Millis(u64::MAX >> 1);
    assert_eq!(journal.forget_some_events(&all, later, Sequence(0)).await.unwrap(), 0, "without a snapshot");
    journal.write_snapshot(&world.state).await.unwrap();
    assert!(journal.read_snapshot().await.unwrap().0 == world.state);
    live(&mut world, journal, 10).await;
    let none = Retention::default();
    assert_eq!(journal.forget_some_events(&none, later, snapshot).await.unwrap(), 0, "unset is for ever");
    let young = Retention { event_age: Some(Duration::from_millis(1)), ..none };
    assert_eq!(journal.forget_some_events(&young, Millis(0), snapshot).await.unwrap(), 0);
    // An answer that may be asked for again keeps its events.
    journal.forget_receipts_before(later).await.unwrap();
    let mut batch = RecordBatch::new();
    let thirtieth = journal.facts_after(Sequence(29), 1).await.unwrap();
    batch.push_receipt(receipt(&thirtieth[0]));
    journal.append(&batch).await.unwrap();
    while journal.forget_some_events(&all, later, snapshot).await.unwrap() > 0 {}
    assert_eq!(journal.first_sequence().await.unwrap(), Sequence(30));
    journal.forget_receipts_before(later).await.unwrap();
    while journal.forget_some_events(&all, later, snapshot).await.unwrap() > 0 {}
    assert_eq!(journal.first_sequence().await.unwrap(), snapshot, "that of the snapshot stays");
    while journal.forget_some_past(&all, later).await.unwrap() > 0 {}
    assert!(journal.past(&PastFilter::default(), None, 10).await.unwrap().is_empty());
    assert!(journal.restore().await.unwrap() == world.state);
    while journal.shrink_some().await.unwrap() {}
    live(&mut world, journal, 3).await;
    assert!(journal.restore().await.unwrap() == world.state);
}

/// `damage` carries out a statement behind the journal's back.
pub(crate) async fn the_chain_breaks_where_a_row_was_changed(journal: &Journal, damage: impl AsyncFn(&str)) {
    let mut world = World::new(17);
    live(&mut world, journal, 2).await;
    // As a version left it that had no chain.
    damage("UPDATE journal SET digest = NULL").await;
    let unchained = world.state.sequence();
    live(&mut world, journal, 40).await;
    assert!(Sequence(0) < unchained && unchained < Sequence(49), "{unchained:?}");
    let head = world.state.sequence();
    check_chain(journal, head).await.unwrap();
    let (before, digest) = journal.restore_with_digest().await.unwrap();
    assert_eq!(journal.chain_head().await.unwrap().digest, digest);
    for (change, back) in [
        ("body = body || ' '", "body = rtrim(body)"),
        ("at_ms = at_ms + 1", "at_ms = at_ms - 1"),
        ("digest = NULL", ""),
    ] {
        damage(&format!("UPDATE journal SET {change} WHERE sequence = 50")).await;
        let broken = check_chain(journal, head).await;
        assert!(matches!(broken, Err(CarryError::Broken { at: Sequence(50) })), "{change}: {broken:?}");
        if !back.is_empty() {
            damage(&format!("UPDATE journal SET {back} WHERE sequence = 50")).await;
            check_chain(journal, head).await.unwrap();
        }
    }
    // A batch, or a snapshot, that stands on another last event is not written.
    damage(
        "UPDATE journal SET digest = replace(digest, 'a', 'b') WHERE sequence = (SELECT MAX(sequence) FROM journal)",
    )
    .await;
    let mut draft = RecordBatch::after(digest);
    world.live(20, &mut draft);
    assert!(matches!(journal.append(&draft).await, Err(AppendError::Conflict)));
    let refused = journal.write_snapshot_on(&before, digest).await;
    assert!(matches!(refused, Err(JournalError::OtherEvents { at }) if at == head), "{refused:?}");
}

/// What a link has of one class.
fn sample_of(bps: u64) -> LinkSample {
    let reserved = BandwidthRange::at_once(bps);
    LinkSample {
        state: LinkState::Up,
        capacity: Bandwidth::saturating_from_bps(1_000),
        max_reservable: Bandwidth::saturating_from_bps(900),
        reserved,
        classes: [(ClassType::LOWEST, reserved)].into(),
        measured: (bps > 5).then_some(BandwidthRange { mean_bps: bps, max_bps: 2 * bps }),
    }
}

pub(crate) async fn samples_of_links_are_kept_and_forgotten(journal: &Journal) {
    const MINUTE: SampleResolution = SampleResolution::Minute;
    let (net, one, two) = (name("net"), name("one's \"link\""), name("two"));
    let at = |minute: u64| Millis(minute * 60_000);
    let put = async |minute: u64, changes: &[(&Name, Option<u64>)]| {
        let change = |(link, bps): &(&Name, Option<u64>)| SampleChange {
            topology: net.clone(),
            link: (*link).clone(),
            sample: bps.map(sample_of),
        };
        let changes: Vec<_> = changes.iter().map(change).collect();
        let sampling = LinkSampling { at: at(minute), sequence: Sequence(minute) };
        journal.put_link_samples(MINUTE, sampling, &changes).await.unwrap()
    };
    assert!(put(50, &[(&one, Some(5)), (&two, Some(7))]).await);
    assert!(put(51, &[]).await && put(53, &[(&one, Some(6)), (&two, None)]).await);
    assert!(!put(53, &[(&one, Some(99))]).await, "another instance wrote this instant");
    assert!(put(60, &[(&one, Some(8))]).await);

    let of = async |link: &Name, from: u64, to: u64| {
        let found = journal.link_samples(MINUTE, SampledTopology::any(&net), link, (at(from), at(to))).await.unwrap();
        found.into_iter().map(|(at, sample)| (at.0 / 60_000, sample.reserved.max_bps)).collect::<Vec<_>>()
    };
    assert_eq!(of(&one, 0, 100).await, [(50, 5), (51, 5), (53, 6), (60, 8)]);
    assert_eq!(of(&two, 0, 100).await, [(50, 7), (51, 7)]);
    assert_eq!(of(&one, 51, 60).await, [(51, 5), (53, 6)]);
    let nearest = journal.nearest_link_sampling(MINUTE, at(59)).await.unwrap().unwrap();
    assert_eq!(nearest, LinkSampling { at: at(53), sequence: Sequence(53) });
    let then = journal.topology_samples(MINUTE, SampledTopology::any(&net), (at(53), at(54))).await.unwrap();
    assert_eq!(then.len(), 2);
    assert_eq!((&then[0].link, &then[0].samples), (&one, &vec![(at(53), sample_of(6))]));
    assert!(then[1].samples.is_empty());
    let later = SampledTopology { topology: &net, created: Sequence(52) };
    let found = journal.link_samples(MINUTE, later, &one, (at(0), at(100))).await.unwrap();
    assert_eq!(found.iter().map(|(at, _)| at.0 / 60_000).collect::<Vec<_>>(), [53, 60], "of this topology");

    let ages = LinkHistoryAges { minutes: Duration::from_secs(3_600), ..LinkHistoryAges::default() };
    let retention = Retention { link_history: ages, ..Retention::default() };
    assert_eq!(
        journal.forget_some_link_history(&retention, at(119)).await.unwrap(),
        0,
        "the hour is not over for so long"
    );
    assert_eq!(journal.forget_some_link_history(&retention, at(121)).await.unwrap(), 5, "two rows and three instants");
    assert_eq!(of(&one, 0, 100).await, [(60, 8)]);
}
