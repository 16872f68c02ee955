//! # Watermaster: the map
//!
//! A bandwidth allocator for an SDN backbone. It holds a topology as a graph, takes bandwidth requests, computes a
//! label-switched path for each, admits or denies it under a bandwidth allocation model, and names the allocations that were preempted for it.
//!
//! Bandwidth admission is double-entry accounting under contention. So the core is an accounting machine: a **journal**
//! (append-only, durable) feeds a **deterministic, pure state machine** (the [`kernel`]), and everything else is derived
//! from that state.
//!
//! ```text
//!     engineer ──PUT topology──▶ http ─┐
//!     aggregator ─POST request─▶ http ─┴─▶ app ─▶ kernel: decide, apply
//!     dashboard ◀──SSE, GET──── http ◀──── app ─▶ journal (SQLite | PostgreSQL)
//! ```
//!
//! ## The rooms, in reading order
//!
//! What is pure, what is spoken and what others could use alone are crates of their own, below `crates/`:
//!
//! | crate | what it is | may touch | may not |
//! |---|---|---|---|
//! | [`kernel`] | what is true, what is allowed, what follows. [`kernel::decide()`] looks at the state and says what happens; [`kernel::apply()`] makes it true | its arguments, std collections of fixed order, petgraph: its manifest is the proof | clocks, randomness, I/O, async, threads, locks, logging, serde, floats |
//! | [`optimizer`] | studies and plans on a version of the state: what failures take with them, which moves make the network better, and what no routing is better than | the kernel's decisions, on versions of its own | clocks: a budget is an argument |
//! | [`api`] | every public document once: REST, server-sent events, metadata and rates of aggregators, the gateway's interface. With the feature `client` the typed client, by which the command line and the gateway speak | serde, utoipa, jiff; reqwest behind `client`, http behind `server` | the kernel, the service |
//! | [`formats`] | files and documents ↔ kernel values: topologies, bandwidth models, traces, reports of aggregators. A topology's native file is the document of the REST interface, so that `formats` knows `api` | kernel, api | anything that lives |
//! | [`mqtt`] | the broker: MQTT 3.1.1 and 5, sessions in a store that replicas share, or in a file. It serves any user of MQTT | packets, sessions, its store | bandwidth, topologies |
//! | [`web`] | the listener of every interface over HTTP: TLS, deadlines, places for each address | axum, hyper, mqtt's transports and addresses | what is asked |
//! | [`gateway`] | the edge of PSIoT-Orch: an aggregator of devices (buffers by QoS level, paced delivery) and the consumer | api, mqtt, web, the orchestrator's public interface | anything of the orchestrator's insides |
//!
//! The service itself is this package, below `src/`:
//!
//! | room | what it is | may touch | may not |
//! |---|---|---|---|
//! | [`journal`] | memory: append a batch, read it back, snapshots, samples of links. Events are stored in names; the stored form is private to this room | sqlx, serde, kernel | interpreting an event, a clock, retrying a conflict |
//! | [`auth`] | who asks and what they may do: tokens, certificates, roles, one table from operations to roles | journal, api, kernel | HTTP words, what a decision is about |
//! | [`southbound`] | hands: rules go into switches through a controller, and what switches report comes back | reqwest, its dialect's JSON, kernel, of api which addresses nobody is to lead us to | choosing a path, a rule or an order; remembering anything between calls |
//! | [`app`] | order: the single writer with group commit, the follower, housekeeping, planned maintenance, notices of preemption, samples of links, adjustments of auto-bandwidth, leadership, one worker a controller that keeps the switches as the kernel says, the task of the QoS scheduler (what it decides is in [`kernel::scheduler`]). The only room that changes state | kernel, journal, southbound, the clock | SQL, JSON, HTTP words, comparing two bandwidths |
//! | [`aggregator_mqtt`] | speech over publish and subscribe: metadata of aggregators in, retained rates out, birth and will; what the service decides for its broker | app, auth, api, kernel, formats, mqtt | journal, any decision beyond "does this parse" |
//! | [`http`] | speech: parse, submit, render. One resource a file. The page at `/` is built from `dashboard/`: TypeScript, a client of `/v1` like any other; the binary holds its `dist/` | app, auth, api, kernel, formats, optimizer, of mqtt what a topic filter is and what the broker tells operators | journal, any decision beyond "does this parse" |
//! | [`cli`] | one file a subcommand; [`cli::demo`] plays the scenario of PSIoT-Orch with all parts as processes of their own | service, api, formats, kernel, gateway | |
//! | [`service`], [`config`], [`telemetry`] | the composition root, its configuration and its metrics; [`service::books`] carries the books as a whole: backup, restore, verification | everything | |
//!
//! Between crates Cargo enforces the arrows; inside `src/` `tests/it/architecture.rs` does, from one table. It parses the
//! sources, and refuses circles between files and a type name in two rooms, too.
//!
//! ## How a request flows
//!
//! 1. [`http`] parses it into a [`kernel::Command`]; wire types never go further in.
//! 2. [`app`] puts it on a bounded queue (full: 503). The single writer takes what is waiting, stamps `now`, and for each
//!    command asks [`kernel::decide()`] and applies the [`kernel::Event`] to its own version of the state, so that every
//!    decision sees the ones before it. Then it appends the batch in one transaction, publishes the version, and only then
//!    answers. Versions share what did not change: a reader holds one for as long as it likes, sees only what is
//!    committed, and waits for nothing. A dry run is decided in a version that is dropped, without the writer.
//! 3. If the append fails or another writer was faster, the version is dropped and the batch decided again or refused: the
//!    journal's primary key is the arbiter.
//! 4. Start-up and standby take the same path: read the journal after the last known sequence number, apply.
//!
//! One command gives one event, and an event is whole: an admission carries the allocations that it preempts, so that no sequence
//! number ever stands between a reservation and the room that was made for it.
//!
//! ## How switches follow
//!
//! [`kernel::intent`] says which rules and meters each switch should hold for the allocations with a flow, and which steps
//! lead there from what it is seen to hold. Labels and meters follow from the journal, so that no two living allocations
//! of a topology share one; what other programs have on a switch is known and left alone. A worker in [`app`] reads, asks, and has a driver
//! in [`southbound`] take the steps; it chooses nothing. Of several instances one leads a controller, in a term that is an
//! event, and the others only read; so does one schedule aggregators. Controllers are hard state. Where an allocation stands with the switches (`installing`,
//! `rerouting`, `degraded`, and why) is soft state beside the books, with an entry only for those that are not in force: a
//! million allocations without a controller cost nothing.
//!
//! ## The invariants, each a test
//!
//! 1. No link ever carries more reserved bandwidth than its bandwidth model allows, at any sequence number of any history
//!    (but for a soft change of model, which says so).
//! 2. Releasing everything returns every book to zero, to the bit.
//! 3. Replaying the journal gives the same state as living through it.
//! 4. What was acknowledged survives `kill -9`; what was not is either wholly there or wholly absent.
//! 5. The same commands in the same order give the same events.
//! 6. The rules on the switches converge to the intent from any starting point; a rule of ours with no allocation goes, a
//!    foreign one stays.
//! 7. A refusal names its reason with data: the binding links, the class, what was available.

#[cfg(test)]
extern crate self as watermaster;

pub mod journal;

pub mod southbound;

pub mod auth;

pub mod app;

pub mod http;

pub mod aggregator_mqtt;

pub mod config;
pub mod service;
pub mod telemetry;

pub mod cli;
