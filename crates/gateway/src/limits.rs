//! Every limit of a gateway and of a consumer, each in this one place.

use std::time::Duration;

/// The most subscriptions of one gateway.
pub const SUBSCRIPTIONS_MAX: usize = 1_024;
/// Those of one consumer.
pub const SUBSCRIPTIONS_PER_CONSUMER_MAX: usize = 256;
/// Those made from one address.
pub const SUBSCRIPTIONS_PER_PEER_MAX: usize = 512;
/// The most topic filters with a policy of their own.
pub const POLICIES_MAX: usize = 256;
/// The most topics with a last value; the one that is silent longest is forgotten. The orchestrator accepts no more.
pub const TOPICS_MAX: usize = 1_024;
/// The most bytes of last values; the topic that is silent longest is forgotten.
pub const LAST_VALUES_MAX_BYTES: usize = 32 << 20;
/// The longest topic or filter: the longest name of the orchestrator.
pub const TOPIC_MAX_BYTES: usize = 255;
/// The longest name of a consumer or a node.
pub const NAME_MAX_BYTES: usize = 255;
/// The longest callback URL.
pub const CALLBACK_URL_MAX_BYTES: usize = 2_048;
/// The largest body that a gateway reads.
pub const BODY_MAX_BYTES: usize = 64 << 10;
/// The largest packet that a device may send.
pub const PACKET_MAX_BYTES: u32 = 256 << 10;
/// The buffer of a level unless the options have another.
pub const BUFFER_DEFAULT_BYTES: u64 = 1_000_000;
/// The largest buffer of a level.
pub const BUFFER_MAX_BYTES: u64 = 1 << 32;

/// The most messages of one batch.
pub const BATCH_MAX_MESSAGES: usize = 16_384;
/// The most bytes of one batch, but for a message that is larger by itself. At low rates it is a sixteenth.
pub const BATCH_MAX_BYTES: u64 = 1 << 20;
/// A level whose rate is low waits for so much credit before it sends a part of what waits: heads of batches then take
/// little of it.
pub const EFFICIENT_BATCH_BYTES: u64 = 6 << 10;
/// What a level asks for is enough for a batch of each subscription in this time;
pub const BATCH_INTERVAL_US: u64 = 500_000;
/// and in this time, so that messages wait less, as long as the heads of batches take no more than a third of what messages do.
pub const BATCH_INTERVAL_SHORT_US: u64 = 100_000;
/// What a level asks for beyond what it needs is one part of so many: with it credit waits for messages, not messages for
/// credit. It is more than the rise that an orchestrator may leave unsignalled.
pub const HEADROOM_PART: u64 = 6;
/// The most that a level asks for beyond what it needs, in bit/s: at high rates a small part is enough.
pub const HEADROOM_MAX_BPS: u64 = 64_000;
/// What of the messages that were written to a stream stays for a reader that comes back, in bytes.
pub const STREAM_REPLAY_MAX_BYTES: u64 = 8 << 20;
/// What a batch takes besides its messages: the envelope, the head of the request and of the answer.
pub const BATCH_OVERHEAD_BYTES: u64 = 600;
/// The head of a delivery's request and of its answer.
pub const DELIVERY_HEADS_BYTES: usize = 400;
/// The window of a coded stream, as a power of two of bytes: with it a stream takes about 300 KiB.
pub const CODING_WINDOW_LOG: u32 = 16;
/// The largest window that a consumer decodes: 8 MiB (RFC 9659 §3).
pub const CODING_WINDOW_MAX_LOG: u32 = 23;
/// What is decoded at once.
pub const DECODE_BUFFER_BYTES: usize = 64 << 10;
/// The least that messages are expected to take once they are coded, in parts per million of what they take as rendered: one
/// batch of others then overdraws by no more than that allows.
pub const CODED_MIN_PPM: u64 = 100_000;
/// How much of a batch one packet carries at most.
pub const SEGMENT_BYTES: u64 = 1_400;
/// What a packet takes besides: Ethernet, a label, IP and TCP with its usual options.
pub const SEGMENT_OVERHEAD_BYTES: u64 = 70;
/// What a message takes besides its rendered part: its sequence number.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 36;
/// The most that is sent to consumers at the gateway's own node, which share no link of the orchestrator.
pub const LOCAL_BPS: u64 = 1_000_000_000;
/// The time in which an idle bucket fills, unless answers take longer; so much is sent at once, at most.
pub const BUCKET_DEPTH_US: u64 = 100_000;
/// The longest time that answers may take without a loss of rate: a bucket fills no longer than a little more than this.
pub const ANSWER_MAX_US: u64 = 500_000;

/// How long a consumer may take to accept a connection.
pub const CALLBACK_CONNECT_WAIT: Duration = Duration::from_secs(2);
/// How long a consumer may take to answer.
pub const CALLBACK_WAIT: Duration = Duration::from_secs(10);
/// How much of a consumer's answer is read so that its connection can be used again.
pub const CALLBACK_ANSWER_MAX_BYTES: usize = 4 << 10;
/// The first pause after a failed delivery; it doubles.
pub const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The longest pause between deliveries that fail.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The longest pause that a consumer gets by Retry-After.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// How often a consumer that fails is a line in the log.
pub const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// How long deliveries may fail, or a batch be unanswered, until what arrives for the consumer is no demand any more.
pub const DEMAND_PATIENCE_US: u64 = 5_000_000;
/// How long deliveries may fail, or a stream be unread, until the subscription ends.
pub const SILENCE_MAX_US: u64 = 600_000_000;

/// A segment of the spool takes no more messages once it has so many bytes.
pub const SPOOL_SEGMENT_BYTES: usize = 256 << 10;
/// What segments may have beyond twice what buffers hold, before what is left of the oldest is written anew.
pub const SPOOL_SLACK_BYTES: u64 = 16 << 20;
/// How long what nobody waits for may stay unwritten.
pub const SPOOL_UNASKED_PAUSE: Duration = Duration::from_millis(100);
/// How long a consumer that subscribes waits for the spool.
pub const KEEP_WAIT: Duration = Duration::from_secs(5);
/// The most retained messages with which a subscription begins.
pub const RETAINED_FIRST_MAX: usize = 10_000;
/// Between two tries while the spool takes no writes.
pub const SPOOL_RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The interval of reports unless the options have another.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two reports.
pub const REPORT_PAUSE: Duration = Duration::from_millis(50);
/// The largest report: a little less than the orchestrator reads.
pub const REPORT_MAX_BYTES: usize = 240 << 10;
/// The most nodes with consumers in a report: the orchestrator accepts no more.
pub const NODES_MAX: usize = 256;
/// How long a node that the orchestrator does not know is left out of reports.
pub const UNKNOWN_NODE_WAIT: Duration = Duration::from_secs(5);
/// A difference of clocks that is none.
pub const CLOCK_TOLERANCE_MS: u64 = 5_000;
/// How long a connection to a consumer or the orchestrator is kept for the next request: they close it after 30 s.
pub const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(20);
/// How long the orchestrator may take to answer.
pub const ORCHESTRATOR_WAIT: Duration = Duration::from_secs(5);
/// How long a gateway that stops waits for the answer to its last report.
pub const FAREWELL_WAIT: Duration = Duration::from_secs(1);
/// The longest silence on a stream of rates; its server sends a comment every 15 seconds.
pub const STREAM_SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long an idle connection to the orchestrator's broker stays without a packet from the gateway: PINGREQ follows.
pub const BROKER_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many packets of the orchestrator's broker, and requests to it, wait.
pub const BROKER_QUEUE_MAX: usize = 16;
/// How many refusals of reports wait for the task that reports; of more the last are lost.
pub const FAULTS_MAX: usize = 16;
/// The first pause after the orchestrator did not answer; it doubles.
pub const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two attempts to reach the orchestrator or a gateway.
pub const RETRY_MAX: Duration = Duration::from_secs(5);
/// The largest event of a stream of server-sent events, and the largest answer that is read.
pub const EVENT_MAX_BYTES: usize = 1 << 20;
/// The longest lease; longer ones are cut.
pub const LEASE_MAX_MS: u64 = 3_600_000;
/// What a level may send without an orchestrator: 250, 350 and 400 kbit/s.
pub const FALLBACK_DEFAULT_BPS: [u64; 3] = [250_000, 350_000, 400_000];

/// The most sources of one traffic generator.
pub const SOURCES_MAX: usize = 256;
/// The largest payload that a generator makes.
pub const PAYLOAD_MAX_BYTES: usize = 128 << 10;
/// The most messages a second of one source.
pub const SOURCE_MAX_PER_S: u64 = 100_000;

/// The most subscriptions of one consumer.
pub const CONSUMER_SUBSCRIPTIONS_MAX: usize = 256;
/// The most topics that a consumer's summary lists one by one.
pub const SUMMARY_TOPICS_MAX: usize = 4_096;
/// The largest batch that a consumer reads, from a callback or a stream: a message of the largest packet, all of whose bytes
/// are escaped, fits.
pub const DELIVERY_MAX_BYTES: usize = 2 << 20;
/// How often a consumer checks that its subscriptions are still there, and asks which gateways offer a name.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How often a consumer that takes a name from one gateway asks it whether it is there,
pub const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// how long the answer may take,
pub const PROBE_WAIT: Duration = Duration::from_millis(500);
/// and after how many questions in a row without an answer another gateway takes over.
pub const PROBES_FAILED_MAX: u32 = 2;
/// How long another gateway may take to accept the subscription before the next one is asked.
pub const SUBSCRIBE_WAIT: Duration = Duration::from_secs(1);
/// The most takeovers that a consumer's summary lists one by one.
pub const TAKEOVERS_MAX: usize = 256;
/// How many pages of gateways that offer a name a consumer reads.
pub const LOOKUP_PAGES_MAX: usize = 16;
/// How often an idle stream sends a comment.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a graceful stop may take.
pub const STOP_WAIT: Duration = Duration::from_secs(3);
