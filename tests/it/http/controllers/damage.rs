//! Controllers and switches that fail, and other programs on them.

use super::*;
use kernel::intent::CookieFilter;

#[tokio::test]
async fn a_controller_that_is_away_keeps_nobody_waiting_and_nothing_is_lost() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let first = admit(&service, "s1", "s3", 0).await;
    active(&service, &first).await;
    network.set_away(true);
    for host in 1..40 {
        admit(&service, "s1", "s3", host).await;
    }
    let seen = until(&service, "/v1/controllers/c", |seen| seen["reachable"] == false).await;
    assert!(seen["last_error"].as_str().unwrap().contains("cannot be reached"), "{seen}");
    let waiting =
        until(&service, "/v1/allocations?state=degraded", |seen| seen["items"].as_array().unwrap().len() == 39);
    assert!(waiting.await["items"][0]["reason"].as_str().unwrap().contains("cannot be reached"));
    let (before, begin) = (network.call_counts().0, Instant::now());
    eventually("the controller is asked again", || network.call_counts().0 >= before + 3).await;
    assert!(begin.elapsed() >= Duration::from_millis(100), "a controller that is away is asked in a hot loop");
    network.set_away(false);
    let seen = calm(&service).await;
    assert_eq!(seen["rules"]["installed"], 160);
    assert_eq!(held(&network), (120, 40));
    service.close().await;
}

#[tokio::test]
async fn what_others_break_is_repaired_and_what_is_theirs_stays() {
    let network = network(Faults::default());
    network.write_directly(Dpid(2), foreign(0));
    network.write_directly(Dpid(2), foreign(0x99));
    let service = ring(&network).await;
    control(&service).await;
    for host in 0..10 {
        admit(&service, "s1", "s3", host).await;
    }
    calm(&service).await;
    // Another program's that happens to have the tag.
    let stray = Cookie::new(TAG, 3, kernel::id::AllocationId(77)).unwrap();
    network.write_directly(Dpid(2), Rule { cookie: stray, ..foreign(1) });
    let right: Vec<_> = (1..=4).map(|dpid| network.rules_held(Dpid(dpid))).collect();
    let is_right = || (1..=4).map(|dpid| network.rules_held(Dpid(dpid))).collect::<Vec<_>>() == right;
    assert!(
        network.delete_directly(Dpid(2), CookieFilter::tagged(TAG))
            + network.delete_directly(Dpid(4), CookieFilter::tagged(TAG))
            == 11
    );
    network.write_directly(Dpid(2), Rule { cookie: stray, ..foreign(1) });
    let mut corrupt = network.rules_held(Dpid(1))[0].clone();
    corrupt.actions = vec![Action::Output(PortNo(1))];
    network.write_directly(Dpid(1), corrupt);
    // A leftover of an allocation that is over.
    let label = kernel::intent::MplsLabel::new(OURS.label_min() + 7).unwrap();
    let place = RuleKey {
        table: TABLE,
        priority: OURS.label_priority(),
        matches: Match::Mpls { label, bottom_of_stack: true, in_port: None },
    };
    network.write_directly(Dpid(3), Rule { place, cookie: stray, actions: vec![Action::Output(PortNo(1))] });
    eventually("the rules are repaired", is_right).await;
    network.restart(Dpid(3));
    eventually("a restart is repaired", is_right).await;
    service.close().await;
}

#[tokio::test]
async fn a_foreign_rule_in_the_way_is_said_and_left_alone() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let id = admit(&service, "s1", "s3", 0).await;
    active(&service, &id).await;
    let own = network.rules_held(Dpid(1)).into_iter().find(|rule| rule.cookie.tag() == TAG).unwrap();
    let theirs = Rule { cookie: Cookie(0xabc), actions: vec![Action::Output(PortNo(1))], ..own.clone() };
    network.write_directly(Dpid(1), theirs.clone());
    let uri = format!("/v1/allocations/{id}");
    let seen = until(&service, &uri, |seen| seen["state"] == "degraded").await;
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("foreign rule with cookie 0xabc on switch 0000000000000001"), "{reason}");
    eventually("the rest of the path goes", || held(&network) == (0, 0)).await;
    assert_eq!(network.rules_held(Dpid(1)), [theirs], "neither replaced nor deleted");
    network.delete_directly(Dpid(1), CookieFilter::ALL);
    active(&service, &id).await;
    assert!(network.rules_held(Dpid(1)).contains(&own));
    service.close().await;
}

#[tokio::test]
async fn on_a_bad_day_everything_comes_right_in_the_end() {
    for seed in 0..4 {
        let bad = Faults { seed, lose_ppm: 100_000, refuse_ppm: 100_000, restart_ppm: 3_000, delay_max_ms: 3 };
        let network = network(bad);
        let service = ring(&network).await;
        control(&service).await;
        let mut living = vec![];
        for host in 0..30 {
            living.push(admit(&service, ["s1", "s2", "s4"][host as usize % 3], "s3", host + 1).await);
            if host % 3 == 1 {
                let gone = living.remove(0);
                service.delete(&format!("/v1/allocations/{gone}")).await;
            }
            if host == 15 {
                service.patch("/v1/topologies/ring/links/12", r#"{"state":"maintenance"}"#).await;
            }
        }
        network.set_faults(Faults::default());
        calm(&service).await;
        let listed = service.get("/v1/allocations?state=active").await.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), living.len(), "seed {seed}");
        for id in living {
            service.delete(&format!("/v1/allocations/{id}")).await;
        }
        until(&service, "/v1/controllers/c", |seen| seen["rules"]["intended"] == 0 && seen["rules"]["drifting"] == 0)
            .await;
        assert_eq!(held(&network), (0, 0), "seed {seed}");
        service.close().await;
    }
}

#[tokio::test]
async fn a_silent_switch_is_not_taken_for_an_empty_one() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let through = admit(&service, "s1", "s3", 0).await;
    active(&service, &through).await;
    network.set_silent(Dpid(3), true);
    let path = format!("/v1/allocations/{through}");
    let seen = until(&service, &path, |seen| seen["state"] == "degraded").await;
    assert_eq!(seen["reason"], "switch 0000000000000003 does not answer");
    let new = admit(&service, "s2", "s3", 1).await;
    until(&service, &format!("/v1/allocations/{new}"), |seen| seen["state"] == "degraded").await;
    assert!(
        !network.rules_held(Dpid(2)).iter().any(|rule| matches!(rule.place.matches, Match::Ip(_))),
        "a head with no tail"
    );
    network.set_silent(Dpid(3), false);
    active(&service, &through).await;
    active(&service, &new).await;
    service.close().await;
}

#[tokio::test]
async fn what_is_damaged_again_and_again_is_said() {
    let network = network(Faults::default());
    let service = ring(&network).await;
    control(&service).await;
    let id = admit(&service, "s1", "s3", 0).await;
    let other = admit(&service, "s2", "s4", 1).await;
    active(&service, &id).await;
    let uri = format!("/v1/allocations/{id}");
    let mut reasons = vec![];
    while !reasons.last().is_some_and(|last: &String| last.contains("another program changes it")) {
        network.delete_directly(Dpid(3), CookieFilter::tagged(TAG));
        let seen = service.get(&uri).await.json();
        if let Some(reason) = seen["reason"].as_str().filter(|reason| reasons.last().is_none_or(|last| last != reason))
        {
            reasons.push(reason.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        reasons.iter().any(|reason| reason.contains("was gone on switch 0000000000000003: it is written again")),
        "{reasons:?}"
    );
    assert_ne!(service.get(&format!("/v1/allocations/{other}")).await.json()["reason"], json!(reasons.last()));
    active(&service, &id).await;
    service.close().await;
}
