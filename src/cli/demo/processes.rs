//! The orchestrator, three gateways and two consumers, each a process of its own, and what each step of the scenario does
//! with them. What must stay true: everything is requested over the public interfaces.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::process::{DemoProcess, ProcessError};
use super::sampler::{Sampler, SamplerError, latencies};
use super::samples::Latency;
use super::scenario::{self, AGGREGATORS, BACKGROUND_BPS, BACKGROUND_CLASS, ScenarioAction, Timeline, WithHeavy};
use super::{DemoPolicy, backbone};
use api::allocation::AllocationRequest;
use api::batch::BatchRequests;
use api::client::{Client, ClientError, Effect, Upload};
use api::qos_level::PerLevel;

/// The orchestrator's address if it is free.
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
/// Any free port of this machine.
const LISTEN_FREE: &str = "127.0.0.1:0";
/// How long the aggregators may take to report.
const READY_WAIT: Duration = Duration::from_secs(30);
/// How often that is checked.
const READY_EVERY: Duration = Duration::from_millis(50);

/// Why the demo's processes do not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The orchestrator refuses.
    #[error("the orchestrator: {0}")]
    Client(#[from] ClientError),
    /// A figure cannot be read.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// There is no folder for logs and data.
    #[error("a folder for logs and data: {0}")]
    Scratch(std::io::Error),
    /// Not all aggregators report.
    #[error("not all aggregators have reported within {} s", READY_WAIT.as_secs())]
    NotReady,
    /// A consumer ended without a summary.
    #[error("{consumer} ended without a summary: {error}")]
    Consumer { consumer: &'static str, error: serde_json::Error },
}

/// All processes.
pub(super) struct DemoProcesses {
    // In the order in which they are dropped.
    consumers: Vec<(&'static str, DemoProcess)>,
    gateways: Vec<DemoProcess>,
    orchestrator: DemoProcess,
    pub(super) sampler: Sampler,
    pub(super) address: SocketAddr,
    client: Client,
    gateway_urls: Vec<String>,
    background: Option<String>,
    backbone: (usize, usize),
    scratch: TempDir,
}

impl DemoProcesses {
    /// Starts the orchestrator, uploads both networks, and starts the gateways.
    pub(super) async fn start(
        policy: DemoPolicy,
        listen: Option<SocketAddr>,
        timeline: &Timeline,
        on_listening: impl FnOnce(SocketAddr),
    ) -> Result<Self, DemoError> {
        let scratch = tempfile::Builder::new().prefix("watermaster-demo-").tempdir().map_err(DemoError::Scratch)?;
        let mut orchestrator =
            DemoProcess::start(scratch.path(), "orchestrator", &serve_arguments(&scratch, policy, listen)?)?;
        let address = orchestrator.address().await?;
        on_listening(address);
        let client = Client::new(&format!("http://{address}"))?;
        let network = scenario::topology().to_string().into_bytes();
        client.topology_put(scenario::TOPOLOGY, network, &Upload::default()).await?;
        let backbone = load_backbone(&client).await?;
        let mut gateways = vec![];
        for (aggregator, (name, _)) in AGGREGATORS.iter().enumerate() {
            let arguments = gateway_arguments(aggregator, address, timeline);
            gateways.push(DemoProcess::start(scratch.path(), name, &arguments)?);
        }
        let mut addresses = vec![];
        for gateway in &mut gateways {
            addresses.push(gateway.address().await?);
        }
        let gateway_urls = addresses.iter().map(|address| format!("http://{address}")).collect();
        let sampler = Sampler::new(client.clone(), addresses);
        let consumers = vec![];
        let processes = Self {
            consumers,
            gateways,
            orchestrator,
            sampler,
            address,
            client,
            gateway_urls,
            background: None,
            backbone,
            scratch,
        };
        processes.wait_until_complete().await?;
        Ok(processes)
    }

    /// The number of the backbone's allocations that were admitted, and that were requested.
    pub(super) fn backbone(&self) -> (usize, usize) {
        self.backbone
    }

    async fn wait_until_complete(&self) -> Result<(), DemoError> {
        let deadline = Instant::now() + READY_WAIT;
        while !self.sampler.is_complete().await? {
            if Instant::now() > deadline {
                return Err(DemoError::NotReady);
            }
            sleep(READY_EVERY).await;
        }
        Ok(())
    }

    /// Takes a step of the scenario.
    pub(super) async fn step(&mut self, step: ScenarioAction) -> Result<(), DemoError> {
        match step {
            ScenarioAction::Background => {
                let request = AllocationRequest {
                    topology: Some(scenario::TOPOLOGY.to_owned()),
                    ingress: "gen1".to_owned(),
                    egress: "gen2".to_owned(),
                    class_type: Some(BACKGROUND_CLASS.into()),
                    bandwidth_bps: BACKGROUND_BPS,
                    ..AllocationRequest::default()
                };
                let admitted = self.client.allocation_create(&request, "background", Effect::Real).await?;
                self.background = admitted.allocation.id;
            }
            ScenarioAction::Quiet => {
                if let Some(id) = self.background.take() {
                    self.client.allocation_release(&id).await?;
                }
            }
            ScenarioAction::Client1 => self.subscribe("client1", WithHeavy::No)?,
            ScenarioAction::Client2 => self.subscribe("client2", WithHeavy::Yes)?,
            ScenarioAction::End => {}
        }
        Ok(())
    }

    fn subscribe(&mut self, name: &'static str, with_heavy: WithHeavy) -> Result<(), DemoError> {
        let mut arguments: Vec<String> =
            ["consumer", "--quiet", "--uncompressed", "--name", name, "--node", name].map(str::to_owned).to_vec();
        for subscription in scenario::subscriptions(with_heavy, &self.gateway_urls) {
            arguments.extend(["--subscribe".to_owned(), subscription]);
        }
        self.consumers.push((name, DemoProcess::start(self.scratch.path(), name, &arguments)?));
        Ok(())
    }

    /// Whether all processes still run.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        let consumers = self.consumers.iter_mut().map(|(_, process)| process);
        let mut all = consumers.chain(&mut self.gateways).chain(std::iter::once(&mut self.orchestrator));
        Ok(all.try_for_each(DemoProcess::check)?)
    }

    /// Stops the consumers; the latencies of their summaries.
    pub(super) async fn collect_latencies(&mut self) -> Result<[PerLevel<Latency>; AGGREGATORS.len()], DemoError> {
        let mut all = Default::default();
        for (consumer, process) in std::mem::take(&mut self.consumers) {
            let last_line = process.stop().await;
            latencies(&last_line, &mut all).map_err(|error| DemoError::Consumer { consumer, error })?;
        }
        Ok(all)
    }

    /// Stops all processes, dependants first.
    pub(super) async fn stop_all(self) {
        for (_, process) in self.consumers {
            process.stop().await;
        }
        for process in self.gateways {
            process.stop().await;
        }
        self.orchestrator.stop().await;
    }
}

fn serve_arguments(
    scratch: &TempDir,
    policy: DemoPolicy,
    listen: Option<SocketAddr>,
) -> Result<Vec<String>, DemoError> {
    let config = scratch.path().join("orchestrator.toml");
    let (policy, topology) = (policy.word(), scenario::TOPOLOGY);
    let (drain_ms, raise_by_ppm) = (scenario::DRAIN_MS, scenario::RAISE_BY_PPM);
    let text = format!(
        "[scheduler]\npolicy = \"{policy}\"\ntopology = \"{topology}\"\ndrain_ms = {drain_ms}\nraise_by_ppm = {raise_by_ppm}\n"
    );
    std::fs::write(&config, text).map_err(DemoError::Scratch)?;
    let listen = listen.map_or_else(free_or_default, |address| address.to_string());
    let data = scratch.path().join("data");
    let texts = [
        "serve",
        "--config",
        &config.to_string_lossy(),
        "--listen",
        &listen,
        "--mqtt-listen",
        LISTEN_FREE,
        "--data",
        &data.to_string_lossy(),
    ];
    Ok(texts.map(str::to_owned).to_vec())
}

/// The usual address if it is free.
fn free_or_default() -> String {
    TcpListener::bind(LISTEN_DEFAULT).map_or(LISTEN_FREE, |_| LISTEN_DEFAULT).to_owned()
}

fn gateway_arguments(aggregator: usize, orchestrator: SocketAddr, timeline: &Timeline) -> Vec<String> {
    let (id, node) = AGGREGATORS.get(aggregator).copied().unwrap_or_default();
    let (every, buffer) = (timeline.report_every_ms.to_string(), timeline.buffer_bytes);
    let (orchestrator, buffers) = (format!("http://{orchestrator}"), format!("{buffer},{buffer},{buffer}"));
    let mut arguments: Vec<String> = [
        "gateway",
        "--id",
        id,
        "--node",
        node,
        "--listen",
        LISTEN_FREE,
        "--mqtt-listen",
        LISTEN_FREE,
        "--orchestrator",
        &orchestrator,
        "--report-every-ms",
        &every,
        "--buffer-bytes",
        &buffers,
    ]
    .map(str::to_owned)
    .to_vec();
    for source in scenario::sources(aggregator) {
        arguments.extend(["--generate".to_owned(), source]);
    }
    arguments
}

/// Puts load on the backbone; the numbers of allocations that were admitted and requested.
async fn load_backbone(client: &Client) -> Result<(usize, usize), DemoError> {
    let requests = backbone::requests();
    let count = requests.len();
    let answer = client.allocation_batch(&BatchRequests { requests, atomic: false }, "backbone").await?;
    Ok((answer.outcomes.iter().filter(|outcome| outcome.allocation.is_some()).count(), count))
}
