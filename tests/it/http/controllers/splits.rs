//! Flows of aggregators over several paths at switches: one rule at the ingress and a group for all of them.

use super::*;
use api::instant::Instant as Time;
use kernel::intent::{SwitchFault, Ways};
use kernel::scheduler::SchedulerSettings;
use watermaster::app::{AppOptions, SchedulerOptions};

/// A service that splits flows over two paths where a controller drives the switches.
async fn splitting(network: &Simulated, max_paths_on_switches: u32) -> TestService {
    let settings = SchedulerSettings { max_paths_on_switches, ..SchedulerSettings::default() };
    let scheduler = SchedulerOptions { settings, ..SchedulerOptions::default() };
    let options = AppOptions { driver_factory: driving(network), scheduler, ..AppOptions::default() };
    let service = TestService::open_with(tempfile::tempdir().unwrap(), options).await;
    assert_eq!(service.send("PUT", "/v1/topologies/ring", &[], RING).await.status, 201);
    assert_eq!(control(&service).await.status, 201);
    service
}

/// The allocations of the level of a report.
async fn report(service: &TestService, ahead_ms: u64, arrival_bps: u64) -> (u64, Vec<String>) {
    let body = json!({"node": "s1", "address": "10.0.0.1", "at": json!(Time(service.app.now().0 + ahead_ms)),
        "levels": [{"qos_level": 0, "subscribers": 1, "buffer_bytes": 0, "buffer_capacity_bytes": 1_000_000,
            "arrival_bps": arrival_bps, "dropped": 0}],
        "topics": [{"topic": "plant/film", "qos_level": 0, "arrival_bps": arrival_bps,
            "subscribers": [{"consumer": "one", "node": "s3", "address": "10.0.0.3", "port": 8_080}]}]});
    let answer = service.send("PUT", "/v1/aggregators/ag/metadata", &[], body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let level = &answer.json()["levels"][0];
    let ids = level["allocations"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    (level["rate_bps"].as_u64().unwrap(), ids)
}

/// What is told, and the allocation, once a flow of two paths has one.
async fn one_path(service: &TestService) -> (u64, String) {
    let (_, first) = report(service, 0, 150_000_000).await;
    assert_eq!(first.len(), 2, "it was not tried yet");
    let end = Instant::now() + PATIENCE;
    loop {
        let (rate_bps, ids) = report(service, 0, 150_000_000).await;
        if ids == first[..1] {
            return (rate_bps, first[0].clone());
        }
        assert!(Instant::now() < end, "{ids:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_flow_over_two_paths_is_split_by_a_group() {
    let network = network(Faults::default());
    let service = splitting(&network, 2).await;
    let (rate_bps, ids) = report(&service, 0, 150_000_000).await;
    assert!(rate_bps >= 150_000_000 && ids.len() == 2, "{rate_bps} {ids:?}");
    for id in &ids {
        active(&service, id).await;
    }
    let heads = || network.rules_held(Dpid(1)).iter().filter(|rule| matches!(rule.place.matches, Match::Ip(_))).count();
    let groups = || [1, 2, 3, 4].map(|dpid| network.groups_held(Dpid(dpid)).len());
    calm(&service).await;
    assert_eq!((heads(), groups()), (1, [1, 0, 0, 0]));
    let group = network.groups_held(Dpid(1))[0].clone();
    assert_eq!(group.ports().len(), 2);
    assert_eq!(network.meters_held(Dpid(1))[0].rate_kbps, u32::try_from(rate_bps.div_ceil(1_000)).unwrap());

    // What is deleted at the switch is there again.
    network.delete_group_directly(Dpid(1), group.id);
    eventually("the group and the rule are there again", || {
        heads() == 1 && network.groups_held(Dpid(1)) == [group.clone()]
    })
    .await;
    // Without need for two paths there is one.
    let (_, ids) = report(&service, 1, 10_000_000).await;
    assert_eq!(ids.len(), 1);
    eventually("one path is left", || groups() == [0; 4] && heads() == 1).await;
    calm(&service).await;
    assert_eq!(held(&network), (3, 1));
    service.close().await;
}

#[tokio::test]
async fn a_switch_without_groups_has_the_first_path_alone() {
    let network = network(Faults::default());
    network.refuse_groups(Dpid(1));
    let service = splitting(&network, 2).await;
    let (rate_bps, first) = one_path(&service).await;
    active(&service, &first).await;
    calm(&service).await;
    // What it is told, the ingress lets through.
    assert!(rate_bps <= 100_000_000, "{rate_bps}");
    assert_eq!(network.meters_held(Dpid(1))[0].rate_kbps, u32::try_from(rate_bps.div_ceil(1_000)).unwrap());
    let aggregator = service.get("/v1/aggregators/ag").await.json();
    assert_eq!(aggregator["max_paths"], 1, "{aggregator}");
    service.close().await;
}

#[tokio::test]
async fn a_switch_that_splits_no_flow_fails_over_all_the_same() {
    // OFPET_GROUP_MOD_FAILED, OFPGMFC_OUT_OF_GROUPS, and as it shows where groups are read back.
    for fault in [SwitchFault::Switch { kind: 6, code: 3 }, SwitchFault::ReadBackDiffers] {
        let network = network(Faults::default());
        network.refuse_splits(Dpid(1), fault);
        let service = splitting(&network, 2).await;
        let body = json!({"ingress": "s1", "egress": "s3", "class_type": 0, "bandwidth_bps": 1_000_000,
                          "flow": {"ipv4_dst": "10.0.0.9"}, "protection": {"kind": "dedicated"}});
        let answer = service.post("/v1/allocations", &body.to_string()).await;
        active(&service, answer.json()["id"].as_str().unwrap()).await;
        let (_, first) = one_path(&service).await;
        active(&service, &first).await;
        calm(&service).await;
        let groups = network.groups_held(Dpid(1));
        assert!(matches!(&groups[..], [one] if matches!(one.ways, Ways::Failover { .. })), "{fault}: {groups:?}");
        service.close().await;
    }
}

#[tokio::test]
async fn a_path_that_is_released_stays_while_its_ingress_is_silent() {
    let network = network(Faults::default());
    let service = splitting(&network, 2).await;
    let (_, ids) = report(&service, 0, 150_000_000).await;
    for id in &ids {
        active(&service, id).await;
    }
    calm(&service).await;
    let labelled = || {
        let is_label = |rule: &Rule| matches!(rule.place.matches, Match::Mpls { .. });
        [2, 3, 4].map(|dpid| network.rules_held(Dpid(dpid)).into_iter().filter(is_label).count())
    };
    assert_eq!(labelled(), [1, 2, 1]);
    network.set_silent(Dpid(1), true);
    until(&service, &format!("/v1/allocations/{}", ids[0]), |seen| seen["state"] == "degraded").await;
    let (_, left) = report(&service, 1, 10_000_000).await;
    assert_eq!(left.len(), 1);
    // Its two label rules are too many, and what is to be at the ingress is unknown.
    until(&service, "/v1/controllers/c", |seen| seen["rules"]["intended"] == 4).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(labelled(), [1, 2, 1]);
    network.set_silent(Dpid(1), false);
    calm(&service).await;
    assert_eq!((held(&network), network.groups_held(Dpid(1))), ((3, 1), vec![]));
    service.close().await;
}

#[tokio::test]
async fn by_default_switches_have_one_path_a_flow() {
    let network = network(Faults::default());
    let service = splitting(&network, SchedulerSettings::default().max_paths_on_switches).await;
    let (rate_bps, ids) = report(&service, 0, 150_000_000).await;
    assert!(rate_bps <= 100_000_000 && ids.len() == 1, "{rate_bps} {ids:?}");
    service.close().await;
}
