//! A driver of one's own: two switches whose tables are maps in memory. The service computes the path of an allocation and
//! the rules that each switch needs; the driver only writes them, and reads them back when asked.
//!
//! `cargo run --example own_driver`

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::Request;
use futures_util::FutureExt;
use futures_util::future::ready;
use kernel::intent::{CookieFilter, Dpid, Meter, MeterId, PortNo, Rule, RuleKey, RuleStep, StepOutcome, SwitchFault};
use tower::ServiceExt;
use watermaster::app::{App, AppOptions, FieldEvent};
use watermaster::http;
use watermaster::journal::{DatabaseUrl, Journal};
use watermaster::southbound::{Adjacency, Driver, DriverError, DriverFuture, Port, PortCounters};

/// The switches behind the driver.
#[derive(Debug)]
struct Whiteboard {
    switches: Mutex<BTreeMap<Dpid, Table>>,
}

#[derive(Debug, Default)]
struct Table {
    rules: BTreeMap<RuleKey, Rule>,
    meters: BTreeMap<MeterId, Meter>,
}

impl Whiteboard {
    fn new(switches: impl IntoIterator<Item = u64>) -> Self {
        let switches = switches.into_iter().map(|dpid| (Dpid(dpid), Table::default()));
        Self { switches: Mutex::new(switches.collect()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Dpid, Table>> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `read` on a switch; one that is not there is an error, and never an empty answer.
    fn of<T: Send + 'static>(&self, dpid: Dpid, read: impl FnOnce(&mut Table) -> T) -> DriverFuture<'_, T> {
        let found = self.lock().get_mut(&dpid).map(read).ok_or(DriverError::UnknownSwitch { dpid });
        ready(found).boxed()
    }
}

impl Table {
    fn apply(&mut self, step: &RuleStep) -> StepOutcome {
        match step {
            RuleStep::AddMeter(meter) | RuleStep::ModifyMeter(meter) => drop(self.meters.insert(meter.id, *meter)),
            RuleStep::PutRule(rule) => drop(self.rules.insert(rule.place.clone(), rule.clone())),
            RuleStep::DeleteRule { place, .. } => drop(self.rules.remove(place)),
            RuleStep::DeleteMeter(id) => drop(self.meters.remove(id)),
            // `Driver::has_groups` says that there are none.
            RuleStep::AddGroup(_) | RuleStep::ModifyGroup(_) | RuleStep::DeleteGroup(_) => {
                return StepOutcome::Refused(SwitchFault::Unsupported { what: "make a group" });
            }
        }
        StepOutcome::InForce
    }
}

impl Driver for Whiteboard {
    fn apply<'a>(&'a self, switch: Dpid, steps: &'a [RuleStep]) -> DriverFuture<'a, Vec<StepOutcome>> {
        self.of(switch, |table| steps.iter().map(|step| table.apply(step)).collect())
    }

    fn rules(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, Vec<Rule>> {
        self.of(switch, |table| table.rules.values().filter(|rule| which.meets(rule.cookie)).cloned().collect())
    }

    fn rule_count(&self, switch: Dpid, which: CookieFilter) -> DriverFuture<'_, u64> {
        self.of(switch, |table| table.rules.values().filter(|rule| which.meets(rule.cookie)).count() as u64)
    }

    fn meters(&self, switch: Dpid) -> DriverFuture<'_, Vec<Meter>> {
        self.of(switch, |table| table.meters.values().copied().collect())
    }

    fn probe(&self, switch: Dpid) -> DriverFuture<'_, ()> {
        self.of(switch, |_| ())
    }

    fn switches(&self) -> DriverFuture<'_, Vec<Dpid>> {
        ready(Ok(self.lock().keys().copied().collect())).boxed()
    }

    fn ports(&self, switch: Dpid) -> DriverFuture<'_, Vec<Port>> {
        let port = |number| Port { number: PortNo(number), name: format!("p{number}"), live: true, speed_bps: None };
        self.of(switch, |_| [1, 2].map(port).into())
    }

    fn links(&self) -> DriverFuture<'_, Vec<Adjacency>> {
        ready(Err(DriverError::Unsupported { what: "discover links" })).boxed()
    }

    fn port_counters(&self, switch: Dpid) -> DriverFuture<'_, Vec<PortCounters>> {
        self.of(switch, |_| vec![])
    }
}

/// Two switches and the link between them; a host at port 1 of each.
const TOPOLOGY: &str = r#"{
    "nodes": [{"id": "a", "dpid": "1", "host_ports": [1]}, {"id": "b", "dpid": "2", "host_ports": [1]}],
    "links": [{"id": "ab", "from": "a", "to": "b", "capacity_bps": 1000000000, "from_port": 2, "to_port": 2, "bidirectional": true}]
}"#;
/// The factory below gives every controller our driver, whatever dialect its document names.
const CONTROLLER: &str = r#"{"driver": "simulated", "topology": "pair"}"#;
const ALLOCATION: &str =
    r#"{"ingress": "a", "egress": "b", "class_type": 1, "bandwidth_bps": 5000000, "flow": {"ipv4_dst": "10.0.0.2"}}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let whiteboard = Arc::new(Whiteboard::new([1, 2]));
    let driver = Arc::clone(&whiteboard);
    let options =
        AppOptions { driver_factory: Arc::new(move |_, _| Ok(Arc::clone(&driver) as _)), ..AppOptions::default() };
    let (app, tasks) = App::start_with(Journal::open(&DatabaseUrl::SqliteMemory).await?, options).await?;
    let mut events = app.field_events();
    let router = http::router(http::Context::new(app.clone(), "example"));
    for (method, uri, body) in [
        ("PUT", "/v1/topologies/pair", TOPOLOGY),
        ("PUT", "/v1/controllers/board", CONTROLLER),
        ("POST", "/v1/allocations", ALLOCATION),
    ] {
        let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        let answer = router.clone().oneshot(request.body(Body::from(body))?).await?;
        writeln!(std::io::stdout(), "{method} {uri}: {}", answer.status())?;
    }
    // The allocation is reserved by now; its rules are installed once the driver has acknowledged each of them.
    while !matches!(events.recv().await?, FieldEvent::Installed { .. }) {}
    for (dpid, table) in &*whiteboard.lock() {
        for rule in table.rules.values() {
            writeln!(std::io::stdout(), "switch {dpid}: {:?} -> {:?}", rule.place.matches, rule.actions)?;
        }
    }
    tasks.stop(&app).await;
    Ok(())
}
