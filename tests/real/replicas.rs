//! Several replicas on one PostgreSQL and one controller: one writes to the switches, the others see what it does, and another
//! takes over when it is gone or cut off.

use std::sync::Arc;
use std::time::Duration;

use kernel::Command;
use kernel::allocation::{Flow, Ipv4Prefix, LspAttributes};
use kernel::class::ClassType;
use kernel::command::{Expected, NamedConstraints, OnMisfit, Request};
use kernel::controller::DriverKind;
use kernel::event::Event;
use kernel::id::{AllocationId, Name};
use kernel::intent::RuleSettings;
use kernel::topology::Topology;
use kernel::units::{Bandwidth, Millis};
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;
use watermaster::app::{App, AppOptions, LspState, Mode, SampledTopology, Tasks};
use watermaster::journal::{Journal, SampleResolution};
use watermaster::southbound::Simulated;

use crate::journal::Scratch;
use crate::silent_database::behind_a_relay;

/// How long what is not measured may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A path of two links: three rules and a meter.
const STEPS_EACH: u64 = 4;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn ring() -> Topology {
    let text = include_str!("../../topologies/ring.json");
    formats::read(text.as_bytes(), &formats::ReadOptions::default()).unwrap().topology
}

pub(crate) struct Replica {
    pub(crate) app: App,
    pub(crate) tasks: Tasks,
}

impl Replica {
    async fn start(journal: Journal, network: &Simulated) -> Self {
        let network = network.clone();
        let options = AppOptions {
            driver_factory: Arc::new(move |_, _| Ok(Arc::new(network.clone()))),
            deadline: Duration::from_secs(2),
            ..AppOptions::default()
        };
        Self::start_with(journal, options).await
    }

    pub(crate) async fn start_with(journal: Journal, options: AppOptions) -> Self {
        let (app, tasks) = App::start_with(journal, options).await.unwrap();
        Self { app, tasks }
    }

    pub(crate) async fn must(&self, command: Command) -> Event {
        self.app.submit_one(command, Mode::Commit, None).await.unwrap().unwrap().event.clone()
    }

    async fn admit(&self, host: u8) -> AllocationId {
        let address = Ipv4Prefix { address: [10, 0, 0, host].into(), length: 32 };
        let flow = Some(Box::new(Flow { ipv4_dst: Some(address), ..Flow::default() }));
        let request = Request {
            topology: None,
            ingress: name("s1"),
            egress: name("s3"),
            class_type: ClassType::LOWEST,
            bandwidth: Bandwidth::from_bps(1_000).unwrap(),
            setup_priority: None,
            hold_priority: None,
            moves_max: None,
            hold_for: None,
            duration: None,
            constraints: NamedConstraints::default(),
            attributes: LspAttributes { flow, ..LspAttributes::default() },
        };
        match self.must(Command::Allocate(Box::new(request))).await {
            Event::Admitted { allocation, .. } => allocation.id,
            other => panic!("{other:?}"),
        }
    }

    /// How many allocations it calls active.
    fn active(&self) -> usize {
        let conditions = self.app.conditions();
        let is_active = |id: &AllocationId| {
            let of = |state: &kernel::State| state.allocation(*id).map(|lsp| conditions.of(lsp).state);
            self.app.read(of) == Some(LspState::Active)
        };
        let ids: Vec<_> = self.app.read(|state| state.allocations_after(None).map(|lsp| lsp.id).collect());
        ids.iter().filter(|id| is_active(id)).count()
    }

    /// Whether it is the one that writes, and the number of the term.
    fn leads(&self) -> (bool, u64) {
        let controller = self.app.read(|state| state.controller("c").cloned());
        let leader = controller.and_then(|controller| controller.leader.clone());
        (leader.as_ref().map(|leader| &leader.instance) == self.app.instance(), leader.map_or(0, |leader| leader.term))
    }
}

pub(crate) async fn eventually(what: &str, is: impl Fn() -> bool) {
    let come = timeout(PATIENCE, async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(come.await.is_ok(), "it never came to be that {what}");
}

async fn begin(first: &Replica) {
    let (expected, misfits) = (Expected::Unsaid, OnMisfit::Refuse);
    first.must(Command::PutTopology { name: name("ring"), topology: Arc::new(ring()), expected, misfits }).await;
    let put = Command::PutController {
        name: name("c"),
        driver: DriverKind::Simulated,
        address: None,
        topology: name("ring"),
        settings: RuleSettings::default(),
    };
    first.must(put).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_replicas_one_writes_each_rule_once() {
    let (scratch, network) = (Scratch::new().await, Simulated::of(&ring()));
    let mut replicas = vec![];
    for _ in 0..3 {
        replicas.push(Replica::start(scratch.open().await, &network).await);
    }
    begin(&replicas[0]).await;
    let knows = |replica: &Replica| replica.app.read(|state| state.controller("c").is_some());
    eventually("all replicas know the controller", || replicas.iter().all(knows)).await;
    let mut ids = vec![];
    for host in 0..21 {
        ids.push(replicas[usize::from(host) % 3].admit(host).await);
    }
    let all_active = |replicas: &[Replica], count| replicas.iter().all(|replica| replica.active() == count);
    eventually("all replicas call all active", || all_active(&replicas, 21)).await;
    assert_eq!(network.call_counts().1, 21 * STEPS_EACH, "every rule is written once");
    let leading: Vec<_> = replicas.iter().filter(|replica| replica.leads().0).collect();
    assert_eq!(leading.len(), 1);

    // The leader leaves: another takes over and goes on, and touches nothing that stands.
    let at = replicas.iter().position(|replica| replica.leads().0).unwrap();
    let old = replicas.remove(at);
    old.tasks.stop(&old.app).await;
    for id in ids.drain(..5) {
        replicas[0].must(Command::Release { id }).await;
    }
    for host in 30..35 {
        replicas[1].admit(host).await;
    }
    eventually("the next leader has done it", || network.call_counts().1 == 31 * STEPS_EACH).await;
    eventually("both replicas see it", || all_active(&replicas, 21)).await;
    let terms: Vec<_> = replicas.iter().map(Replica::leads).collect();
    assert_eq!(terms.iter().filter(|(leads, term)| *leads && *term == 2).count(), 1, "{terms:?}");
    // A replica that comes later is told and does nothing.
    replicas.push(Replica::start(scratch.open().await, &network).await);
    eventually("the newcomer sees it", || all_active(&replicas, 21)).await;
    assert_eq!(network.call_counts().1, 31 * STEPS_EACH);
    for replica in replicas {
        replica.tasks.stop(&replica.app).await;
    }
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_from_the_database_writes_nothing() {
    let (scratch, network) = (Scratch::new().await, Simulated::of(&ring()));
    let (relay, journal) = behind_a_relay(&scratch).await;
    let cut_off = Replica::start(journal, &network).await;
    begin(&cut_off).await;
    let mut ids = vec![];
    for host in 0..6 {
        ids.push(cut_off.admit(host).await);
    }
    eventually("its rules are there", || cut_off.active() == 6).await;
    assert_eq!(cut_off.leads(), (true, 1));
    let other = Replica::start(scratch.open().await, &network).await;
    eventually("the other sees them", || other.active() == 6).await;

    relay.silence_all();
    // It does not hear of these, but it sees the switches.
    eventually("the other leads", || other.leads() == (true, 2)).await;
    for id in ids.drain(..3) {
        other.must(Command::Release { id }).await;
    }
    for host in 10..15 {
        other.admit(host).await;
    }
    eventually("the other has done it", || network.call_counts().1 == 14 * STEPS_EACH).await;
    eventually("it is as the other says", || other.active() == 8).await;
    // The one that is cut off looks at the switches all the time, and finds what it does not know.
    let before = network.call_counts().0;
    eventually("it has looked", || network.call_counts().0 > before + 200).await;
    assert_eq!(network.call_counts().1, 14 * STEPS_EACH, "nothing of it is undone, nothing is written twice");

    relay.silence_old(true);
    eventually("the one that was cut off follows", || cut_off.leads() == (false, 2) && cut_off.active() == 8).await;
    assert_eq!(network.call_counts().1, 14 * STEPS_EACH);
    for replica in [cut_off, other] {
        replica.tasks.stop(&replica.app).await;
    }
    scratch.drop().await;
}

/// What one replica was told a moment ago, another does not refuse as unknown: it asks the journal before it refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_refuses_nothing_by_an_old_state() {
    let (scratch, network) = (Scratch::new().await, Simulated::of(&ring()));
    let replicas =
        [Replica::start(scratch.open().await, &network).await, Replica::start(scratch.open().await, &network).await];
    begin(&replicas[0]).await;
    let has_network = |replica: &Replica| replica.app.read(|state| state.network("ring").is_some());
    eventually("both have the network", || replicas.iter().all(has_network)).await;
    for round in 0..40_u8 {
        let (one, other) = (&replicas[usize::from(round % 2)], &replicas[usize::from((round + 1) % 2)]);
        let id = one.admit(round).await;
        let released = other.app.submit_one(Command::Release { id }, Mode::Commit, None).await.unwrap();
        assert!(released.is_ok(), "round {round}: {released:?}");
        // What is really over is refused, wherever it is asked.
        let again = one.app.submit_one(Command::Release { id }, Mode::Commit, None).await.unwrap();
        assert!(again.is_err(), "round {round}");
    }
    for replica in replicas {
        replica.tasks.stop(&replica.app).await;
    }
    scratch.drop().await;
}

/// However many replicas sample a minute, it is written once, and what changed since the last one is told from that, whichever
/// replica wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_replicas_one_writes_each_sample() {
    /// 2030-01-05T00:00:00Z: the replicas' own clock is not there yet.
    const MIDNIGHT_MS: u64 = 1_893_801_600_000;
    const MINUTES: u64 = 20;
    let minute = |number: u64| Millis(MIDNIGHT_MS + number * 60_000);
    let (scratch, network) = (Scratch::new().await, Simulated::of(&ring()));
    let mut replicas = vec![];
    for _ in 0..3 {
        replicas.push(Replica::start(scratch.open().await, &network).await);
    }
    begin(&replicas[0]).await;
    let has_network = |replica: &Replica| replica.app.read(|state| state.network("ring").is_some());
    eventually("all have the network", || replicas.iter().all(has_network)).await;
    for number in 0..MINUTES {
        if number == 10 {
            replicas[0].admit(1).await;
            let admitted = |replica: &Replica| replica.app.read(|state| state.allocation_count()) == 1;
            eventually("all know of it", || replicas.iter().all(admitted)).await;
        }
        let sampled = replicas.iter().map(|replica| replica.app.sample_links(minute(number)));
        for outcome in futures_util::future::join_all(sampled).await {
            outcome.unwrap();
        }
    }
    let journal = scratch.open().await;
    let samplings = journal.link_samplings(SampleResolution::Minute, minute(0), minute(MINUTES)).await.unwrap();
    assert_eq!(
        samplings.iter().map(|sampling| sampling.at).collect::<Vec<_>>(),
        (0..MINUTES).map(minute).collect::<Vec<_>>()
    );
    let topology = name("ring");
    let first = replicas[0].app.read(|state| state.allocations_after(None).next().map(|lsp| lsp.path[0])).unwrap();
    let link = ring().link(first).unwrap().name.clone();
    for replica in &replicas {
        let found = replica
            .app
            .link_history(SampledTopology::any(&topology), &link, (minute(0), minute(MINUTES)), Millis(60_000))
            .await
            .unwrap();
        let reserved: Vec<u64> = found.points.iter().map(|(_, sample)| sample.reserved.max_bps).collect();
        assert_eq!(reserved.len() as u64, MINUTES);
        assert!(reserved[..10].iter().all(|bps| *bps == 0), "{reserved:?}");
        assert!(reserved[10..].iter().all(|bps| *bps == reserved[10]), "{reserved:?}");
    }
    let rows = "SELECT COUNT(*), SUM((LENGTH(samples) - LENGTH(REPLACE(samples, '\"up\"', ''))) / 4)::BIGINT \
        FROM link_history WHERE step_ms = 60000 AND block_ms >= $1";
    let mut database: PgConnection = scratch.options().connect().await.unwrap();
    let query = sqlx::query_as(rows).bind(i64::try_from(MIDNIGHT_MS).unwrap());
    let (links, samples): (i64, i64) = query.fetch_one(&mut database).await.unwrap();
    assert_eq!(links, i64::try_from(ring().link_count()).unwrap());
    assert_eq!(samples, links + 2, "each link once, and the two of the path when it was admitted");
    drop(database);
    journal.close().await;
    for Replica { app, tasks } in replicas {
        tasks.stop(&app).await;
    }
    scratch.drop().await;
}
