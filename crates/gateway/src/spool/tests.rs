//! What a file gives back is what was in memory when it was last written, whatever happened before.

use std::path::Path;
use std::sync::Mutex;

use api::gateway::{OverflowPolicy, PolicyDocument, SubscriptionRequest, TopicPolicy};
use bytes::Bytes;
use mqtt::Synchronous;
use proptest::prelude::*;

use super::super::buffer::SubscriptionId;
use super::super::clock::SinceStart;
use super::super::core::{DeliveryOutcome, GatewayCore, GatewaySettings, SpoolCut};
use super::super::subscription::{DeliveryTarget, SubscriptionTerms};
use super::*;

impl SpooledCore for Mutex<GatewayCore> {
    fn take_cut(&self) -> (Option<SpoolCut>, u64) {
        self.lock().unwrap().take_cut()
    }

    fn release_written(&self, lanes: &[(SubscriptionId, u64)]) {
        self.lock().unwrap().release_written(lanes);
    }
}

fn settings() -> GatewaySettings {
    GatewaySettings {
        node: "here".to_owned(),
        buffer_bytes: [3_000; 3],
        fallback_bps: [1_000_000; 3],
        policies: PolicyDocument {
            policy: OverflowPolicy::Circular,
            policies: vec![TopicPolicy {
                topic: "log/#".to_owned(),
                policy: Some(OverflowPolicy::Fifo),
                qos_level: None,
            }],
        },
        first_id: 1,
    }
}

async fn open(folder: &Path) -> (Mutex<GatewayCore>, SpoolWriter, String) {
    let mut core = GatewayCore::new(SinceStart(0), settings());
    let path = folder.join("spool.sqlite");
    let file = SpoolFile::open(path, Synchronous::Normal, "instance".to_owned()).await.unwrap();
    let instance = file.instance.clone();
    let (_, mut writer) = Spool::load(file, SinceStart(0), &mut core).await.unwrap();
    // Old segments are written anew all the time.
    writer.slack_bytes = 0;
    (Mutex::new(core), writer, instance)
}

fn terms(filter: &str, level: u8, is_stream: bool) -> SubscriptionTerms {
    let request = SubscriptionRequest {
        topic: filter.to_owned(),
        qos_level: Some(level.try_into().unwrap()),
        callback_url: (!is_stream).then(|| "http://consumer.example/in".to_owned()),
        consumer: Some("c".to_owned()),
        node: None,
    };
    SubscriptionTerms::check(request, "127.0.0.1:1".parse().unwrap(), Some("10.0.0.7".parse().unwrap())).unwrap()
}

/// Everything that should survive, as text.
fn picture(core: &GatewayCore) -> Vec<String> {
    let lane = |level: u8, id| {
        let buffer = core.buffer(level.try_into().unwrap());
        format!("{id} {:?} {:?}", buffer.lane_state(id), buffer.held_sequences(id))
    };
    let lanes = core.subscriptions().map(|found| {
        format!("{} {:?} {}", found.terms.filter, found.terms.target, lane(found.terms.level.number(), found.id))
    });
    let topics = core.topics().latest_first();
    let mut topics: Vec<_> =
        topics.map(|topic| format!("{} {:?} {} {}", topic.topic, topic.payload, topic.at_ms, topic.messages)).collect();
    topics.sort();
    lanes.chain(topics).collect()
}

#[derive(Clone, Debug)]
enum Act {
    Subscribe(usize, u8, bool),
    End(usize),
    Offer(usize, usize),
    Deliver(u8),
    Resume(u64),
    Write,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => (0..3_usize, 0..3_u8, any::<bool>()).prop_map(|(filter, level, stream)| Act::Subscribe(filter, level, stream)),
        1 => (0..4_usize).prop_map(Act::End),
        9 => (0..3_usize, 0..900_usize).prop_map(|(topic, bytes)| Act::Offer(topic, bytes)),
        4 => (0..2_u8).prop_map(Act::Deliver),
        1 => (0..30_u64).prop_map(Act::Resume),
        3 => Just(Act::Write),
        1 => Just(Act::Restart),
    ]
}

async fn play(acts: Vec<Act>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut core, mut writer, instance) = open(folder.path()).await;
    let (mut now, mut at_ms) = (SinceStart(0), 0);
    for act in acts {
        (now, at_ms) = (now.after(1_000_000), at_ms + 1);
        let inner = core.get_mut().unwrap();
        let ids: Vec<_> = inner.subscriptions().map(|found| found.id).collect();
        match act {
            Act::Subscribe(filter, level, is_stream) => {
                let id = inner.subscribe(now, terms(["#", "log/#", "t"][filter], level, is_stream)).unwrap();
                assert!(!ids.contains(&id));
                inner.attach(id, None, false);
            }
            Act::End(at) => drop(ids.get(at).map(|id| inner.unsubscribe(*id))),
            Act::Offer(topic, bytes) => {
                inner.offer(now, at_ms, ["t", "log/x", "u"][topic], Bytes::from(vec![b'x'; bytes]))
            }
            Act::Deliver(how) => {
                if let Some(batch) = inner.dispatch(now) {
                    let target = &inner.subscription(batch.subscription).unwrap().terms.target;
                    let outcomes = match target {
                        DeliveryTarget::Stream => [DeliveryOutcome::Written, DeliveryOutcome::Failed],
                        DeliveryTarget::Callback(_) => [DeliveryOutcome::Delivered, DeliveryOutcome::Failed],
                    };
                    inner.finish_delivery(now, batch.subscription, outcomes[usize::from(how)]);
                    inner.tick(now);
                }
            }
            Act::Resume(last) => drop(ids.first().map(|id| inner.attach(*id, Some(last), false))),
            Act::Write => drop(writer.write_changes(&core).await),
            Act::Restart => {
                writer.write_changes(&core).await;
                let before = picture(core.get_mut().unwrap());
                drop((core, writer));
                let again;
                (core, writer, again) = open(folder.path()).await;
                assert_eq!(picture(core.get_mut().unwrap()), before);
                assert_eq!(again, instance);
                let ids: Vec<_> = core.get_mut().unwrap().subscriptions().map(|found| found.id).collect();
                ids.iter().for_each(|id| core.get_mut().unwrap().attach(*id, Some(0), false));
            }
        }
    }
    // Once everything is over nothing is left in the file.
    let ids: Vec<_> = core.get_mut().unwrap().subscriptions().map(|found| found.id).collect();
    assert!(ids.iter().all(|id| core.get_mut().unwrap().unsubscribe(*id)));
    while writer.write_changes(&core).await.is_some() {}
    assert_eq!(writer.segment_bytes(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
    #[test]
    fn a_restart_changes_nothing(acts in proptest::collection::vec(act(), 1..120)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(acts));
    }
}

/// What a message has in memory is not delivered before the file has it: a crash would give its number to another.
#[tokio::test]
async fn messages_leave_after_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let (mut core, mut writer, _) = open(folder.path()).await;
    let now = SinceStart(1_000_000);
    let inner = core.get_mut().unwrap();
    inner.subscribe(now, terms("t", 1, false)).unwrap();
    inner.offer(now, 0, "t", Bytes::from_static(b"x"));
    assert!(inner.dispatch(now).is_none());
    writer.write_changes(&core).await;
    let inner = core.get_mut().unwrap();
    inner.offer(now, 0, "t", Bytes::from_static(b"y"));
    assert_eq!(inner.dispatch(now).unwrap().items.len(), 1);
}
