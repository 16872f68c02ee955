//! The typed client: asks a running service for bandwidth, lists what lives on the topology, and watches what happens.
//!
//!     cargo run --release &
//!     cargo run --example typed_client -- http://127.0.0.1:8080

use api::allocation::AllocationRequest;
use api::client::{AllocationFilter, Client, ClientError, Effect, PageRequest};
use api::flow::FlowRequest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let client = Client::new(&address)?;
    let request = AllocationRequest {
        ingress: "WA".to_owned(),
        egress: "CA1".to_owned(),
        qos_level: Some(2),
        bandwidth_bps: 500_000_000,
        flow: Some(FlowRequest { ipv4_dst: Some("10.0.0.3".parse()?), ..FlowRequest::default() }),
        ..AllocationRequest::default()
    };
    // Sent again under the same key, the request still happens once.
    match client.allocation_create(&request, "typed-client-example", Effect::Real).await {
        Ok(done) => print(&format!("admitted on {}", done.allocation.path.join(", "))),
        Err(ClientError::Refused(problem)) => print(&format!("denied: {problem}")),
        Err(error) => return Err(error.into()),
    }

    let filter = AllocationFilter { ingress: Some("WA".to_owned()), ..AllocationFilter::default() };
    for one in client.allocation_list(&filter, PageRequest::first(10)).await?.items {
        print(&format!("{} is {} with {} bit/s", one.id.unwrap_or_default(), one.state, one.demand.bandwidth_bps));
    }

    // From the first event on; after `None` only what happens from now on.
    let mut events = client.events(Some(0), None);
    let event = events.next().await?;
    print(&format!("event {} at {}: {}", event.sequence, event.at, event.kind));
    Ok(())
}

fn print(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
