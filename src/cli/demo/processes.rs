//! The stage: the orchestrator, three gateways, two consumers, each a process of its own, and what is done with them at
//! each step. What must stay true: everything is asked for over the public interfaces.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::process::{DemoProcess, PartError};
use super::sampler::{Sampler, WatchError, latencies};
use super::samples::Latency;
use super::scenario::{self, AGGREGATORS, BACKGROUND_BPS, BACKGROUND_CLASS, ScenarioAction, Timeline, WithHeavy};
use super::{DemoPolicy, backbone};
use api::client::{AllocationRequest, Client, ClientError, Effect, Upload};
use gateway::qos_level::PerLevel;

/// Where the orchestrator listens if it can.
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
/// Any free port of this machine.
const LISTEN_FREE: &str = "127.0.0.1:0";
/// How long the aggregators may take to be heard.
const READY_WAIT: Duration = Duration::from_secs(30);
/// How often is looked whether they are.
const READY_EVERY: Duration = Duration::from_millis(50);

/// Why the stage is not set, or broke.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A part failed.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The orchestrator refuses.
    #[error("the orchestrator: {0}")]
    Client(#[from] ClientError),
    /// Something cannot be seen.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// There is no folder for logs and data.
    #[error("a folder for logs and data: {0}")]
    Scratch(std::io::Error),
    /// The orchestrator does not hear of the aggregators.
    #[error("the orchestrator has not heard of all aggregators within {} s", READY_WAIT.as_secs())]
    NotReady,
    /// A consumer did not say what it got.
    #[error("{consumer} did not say what it got: {error}")]
    Consumer {
        /// Which.
        consumer: &'static str,
        /// Why.
        error: serde_json::Error,
    },
}

/// Everything that runs.
pub(super) struct DemoProcesses {
    // In the order in which they are dropped.
    consumers: Vec<(&'static str, DemoProcess)>,
    gateways: Vec<DemoProcess>,
    orchestrator: DemoProcess,
    pub(super) watch: Sampler,
    pub(super) address: SocketAddr,
    client: Client,
    gateway_urls: Vec<String>,
    background: Option<String>,
    backbone: (usize, usize),
    scratch: TempDir,
}

impl DemoProcesses {
    /// Starts the orchestrator and has it hold both networks; then the gateways.
    pub(super) async fn set(
        policy: DemoPolicy,
        listen: Option<SocketAddr>,
        timeline: &Timeline,
        hello: impl FnOnce(SocketAddr),
    ) -> Result<Self, StageError> {
        let scratch = tempfile::Builder::new().prefix("watermaster-demo-").tempdir().map_err(StageError::Scratch)?;
        let mut orchestrator =
            DemoProcess::start(scratch.path(), "orchestrator", &serve_arguments(&scratch, policy, listen)?)?;
        let address = orchestrator.address().await?;
        hello(address);
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
        let watch = Sampler::new(client.clone(), addresses);
        let consumers = vec![];
        let stage = Self {
            consumers,
            gateways,
            orchestrator,
            watch,
            address,
            client,
            gateway_urls,
            background: None,
            backbone,
            scratch,
        };
        stage.wait_until_complete().await?;
        Ok(stage)
    }

    /// How many allocations of the backbone were admitted, and of how many.
    pub(super) fn backbone(&self) -> (usize, usize) {
        self.backbone
    }

    async fn wait_until_complete(&self) -> Result<(), StageError> {
        let deadline = Instant::now() + READY_WAIT;
        while !self.watch.is_complete().await? {
            if Instant::now() > deadline {
                return Err(StageError::NotReady);
            }
            sleep(READY_EVERY).await;
        }
        Ok(())
    }

    /// Does what a step says.
    pub(super) async fn step(&mut self, step: ScenarioAction) -> Result<(), StageError> {
        match step {
            ScenarioAction::Background => {
                let request = AllocationRequest {
                    topology: Some(scenario::TOPOLOGY.to_owned()),
                    ingress: "gen1".to_owned(),
                    egress: "gen2".to_owned(),
                    class_type: Some(BACKGROUND_CLASS),
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

    fn subscribe(&mut self, name: &'static str, with_heavy: WithHeavy) -> Result<(), StageError> {
        let mut arguments: Vec<String> =
            ["consumer", "--quiet", "--name", name, "--node", name].map(str::to_owned).to_vec();
        for wish in scenario::wishes(with_heavy, &self.gateway_urls) {
            arguments.extend(["--subscribe".to_owned(), wish]);
        }
        self.consumers.push((name, DemoProcess::start(self.scratch.path(), name, &arguments)?));
        Ok(())
    }

    /// Whether all parts still run.
    pub(super) fn check(&mut self) -> Result<(), StageError> {
        let consumers = self.consumers.iter_mut().map(|(_, part)| part);
        let mut all = consumers.chain(&mut self.gateways).chain(std::iter::once(&mut self.orchestrator));
        Ok(all.try_for_each(DemoProcess::check)?)
    }

    /// Has the consumers end and tell what they got.
    pub(super) async fn hear_consumers(&mut self) -> Result<[PerLevel<Latency>; AGGREGATORS.len()], StageError> {
        let mut heard = Default::default();
        for (consumer, part) in std::mem::take(&mut self.consumers) {
            let said = part.stop().await;
            latencies(&said, &mut heard).map_err(|error| StageError::Consumer { consumer, error })?;
        }
        Ok(heard)
    }

    /// Ends everything, whoever depends on others first.
    pub(super) async fn strike(self) {
        for (_, part) in self.consumers {
            part.stop().await;
        }
        for part in self.gateways {
            part.stop().await;
        }
        self.orchestrator.stop().await;
    }
}

fn serve_arguments(
    scratch: &TempDir,
    policy: DemoPolicy,
    listen: Option<SocketAddr>,
) -> Result<Vec<String>, StageError> {
    let config = scratch.path().join("orchestrator.toml");
    let (policy, topology) = (policy.word(), scenario::TOPOLOGY);
    let (drain_ms, raise_by_ppm) = (scenario::DRAIN_MS, scenario::RAISE_BY_PPM);
    let text = format!(
        "[scheduler]\npolicy = \"{policy}\"\ntopology = \"{topology}\"\ndrain_ms = {drain_ms}\nraise_by_ppm = {raise_by_ppm}\n"
    );
    std::fs::write(&config, text).map_err(StageError::Scratch)?;
    let listen = listen.map_or_else(free_or_default, |said| said.to_string());
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

/// The usual address if nobody else has it.
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

/// Puts load on the backbone; how many requests were admitted, and of how many.
async fn load_backbone(client: &Client) -> Result<(usize, usize), StageError> {
    let requests = backbone::requests();
    let answer = client.allocation_batch(&requests, "backbone").await?;
    Ok((answer.outcomes.iter().filter(|outcome| outcome.allocation.is_some()).count(), requests.len()))
}
