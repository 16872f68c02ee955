//! Several replicas on one PostgreSQL and aggregators: one schedules, and the others leave its reservations alone.

use std::sync::Arc;
use std::time::Duration;

use api::aggregator::AggregatorMetadata;
use kernel::Command;
use kernel::command::{Expected, OnMisfit};
use kernel::id::AllocationId;
use kernel::scheduler::SchedulerSettings;
use kernel::units::Millis;
use serde_json::json;
use watermaster::app::{AppOptions, ReportError, SchedulerLead, SchedulerOptions};
use watermaster::journal::Journal;

use crate::journal::Scratch;
use crate::replicas::{Replica, eventually, name, ring};

const LEASE_MS: u64 = 400;

async fn start(journal: Journal) -> Replica {
    let settings = SchedulerSettings { lease_ms: LEASE_MS, ..SchedulerSettings::default() };
    let scheduler = SchedulerOptions { settings, ..SchedulerOptions::default() };
    Replica::start_with(journal, AppOptions { scheduler, ..AppOptions::default() }).await
}

impl Replica {
    /// Reports that the aggregator wants 500 kbit/s; its rate, or the instance that takes reports in.
    async fn report(&self, aggregator: &str) -> Result<u64, String> {
        let Millis(now_ms) = self.app.now();
        let at = jiff::Timestamp::from_millisecond(i64::try_from(now_ms).unwrap()).unwrap();
        let document: AggregatorMetadata = serde_json::from_value(json!({
            "node": "s1", "at": at.to_string(),
            "levels": [{"qos_level": 1, "subscribers": 1, "buffer_bytes": 0, "buffer_capacity_bytes": 1000, "arrival_bps": 500_000}],
            "topics": [{"topic": "t", "qos_level": 1, "arrival_bps": 500_000, "subscribers": [{"consumer": "c", "node": "s3"}]}],
        }))
        .unwrap();
        let metadata = formats::aggregator::report(&document).unwrap();
        match self.app.scheduler().report(name(aggregator), metadata).await {
            Ok(view) => Ok(view.rates.levels[1].rate.as_bps()),
            Err(ReportError::Elsewhere(instance)) => Err(instance.to_string()),
            Err(ReportError::Busy) => Err("busy".to_owned()),
            Err(error) => panic!("{error}"),
        }
    }

    fn reservations(&self) -> Vec<AllocationId> {
        self.app.read(|state| state.allocations_after(None).map(|lsp| lsp.id).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_replicas_one_schedules_and_another_takes_over() {
    let scratch = Scratch::new().await;
    let mut replicas = vec![];
    for _ in 0..3 {
        replicas.push(start(scratch.open().await).await);
    }
    let (expected, misfits) = (Expected::Unsaid, OnMisfit::Refuse);
    replicas[0].must(Command::PutTopology { name: name("ring"), topology: Arc::new(ring()), expected, misfits }).await;
    let knows = |replica: &Replica| replica.app.read(|state| state.network("ring").is_some());
    eventually("all replicas know the network", || replicas.iter().all(knows)).await;
    assert!(replicas.iter().all(|replica| replica.app.scheduler_lead() == SchedulerLead::Nowhere), "none has to");

    assert!(replicas[0].report("ag").await.unwrap() > 0, "who hears of an aggregator schedules");
    assert_eq!(replicas[0].app.scheduler_lead(), SchedulerLead::Here);
    let instance = replicas[0].app.instance().unwrap().to_string();
    let is_told = |replica: &Replica| matches!(replica.app.scheduler_lead(), SchedulerLead::Elsewhere(_));
    eventually("the others know", || replicas[1..].iter().all(is_told)).await;
    assert_eq!(replicas[1].report("ag").await, Err(instance.clone()));
    assert_eq!(replicas[2].report("other").await, Err(instance));

    // A replica that comes later, and those that are there for long, leave the reservation alone.
    let made = replicas[0].reservations();
    assert_eq!(made.len(), 1);
    replicas.push(start(scratch.open().await).await);
    let began = replicas[3].app.now();
    while replicas[3].app.now().0 < began.0 + 6 * LEASE_MS {
        replicas[0].report("ag").await.unwrap();
        tokio::time::sleep(Duration::from_millis(LEASE_MS / 4)).await;
    }
    assert_eq!(replicas[0].reservations(), made);

    // The one that schedules leaves, and the aggregator reports to another: what was reserved stays its own.
    let old = replicas.remove(0);
    old.tasks.stop(&old.app).await;
    eventually("nobody schedules", || replicas[0].app.scheduler_lead() == SchedulerLead::Nowhere).await;
    assert!(replicas[0].report("ag").await.unwrap() > 0);
    assert_eq!((replicas[0].reservations(), replicas[0].app.scheduler_lead()), (made, SchedulerLead::Here));

    // It leaves too, and no aggregator reports any more: one of the others releases what is left, and then nobody schedules.
    let old = replicas.remove(0);
    old.tasks.stop(&old.app).await;
    eventually("what is left is released", || replicas[0].reservations().is_empty()).await;
    eventually("nobody schedules", || replicas[0].app.scheduler_lead() == SchedulerLead::Nowhere).await;
    for replica in replicas {
        replica.tasks.stop(&replica.app).await;
    }
    scratch.drop().await;
}
