//! Every limit of the broker, by name, in one place. What a limit protects stands beside it; nothing else in this room
//! holds a bare number of this kind.

use std::num::NonZeroU32;
use std::time::Duration;

/// How long a new connection may take until its CONNECT is complete: a slow one holds a socket and nothing else.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Connections at a time; the next one is closed at once.
pub const CONNECTIONS_MAX: usize = 200_000;
/// Sockets whose CONNECT is not complete, their handshakes included; the next one is closed at once.
pub const CONNECTING_MAX: usize = 10_000;
/// Those of one address; of fewer files that the process may have open, a quarter.
pub const CONNECTING_PER_ADDRESS_MAX: usize = 2_000;
/// Sockets a second from one address, as many at once; the next one is closed at once.
pub const ACCEPT_RATE_PER_ADDRESS_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(24_999);
/// CONNECTs a second from one address, as many at once; the next one is refused with 0x9F (3.1.1: 3).
pub const CONNECT_RATE_PER_ADDRESS_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(24_999);
/// How many sockets or CONNECTs come at once from one address: as many as may come in so long.
pub const RATE_BURST: Duration = Duration::from_secs(1);
/// Addresses whose rates are known at a time; one more is not counted until some are forgotten.
pub const ADDRESS_RATES_KEPT_MAX: usize = 100_000;
/// The largest packet taken from a client, in bytes.
pub const PACKET_BYTES_MAX: u32 = 1024 * 1024;
/// Levels of a topic or filter: matching recurses this deep at most.
pub const LEVELS_MAX: usize = 200;
/// Levels of filters that are looked at for one topic. No topic of up to 15 levels needs so many, whatever the filters.
pub const MATCH_LEVELS_MAX: usize = 100_000;
/// Subscriptions of one session.
pub const SUBSCRIPTIONS_MAX: usize = 10_000;
/// Bytes of the filters of one session.
pub const SESSION_FILTER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of all subscriptions.
pub const SUBSCRIPTION_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// The longest client identifier, in bytes.
pub const CLIENT_ID_BYTES_MAX: usize = 1024;
/// QoS 1 and 2 publications that a client may have unacknowledged (Receive Maximum in CONNACK).
pub const INBOUND_INFLIGHT_MAX: u16 = 1024;
/// Topic aliases a client may use towards the broker.
pub const INBOUND_ALIASES_MAX: u16 = 64;
/// Topic aliases the broker uses towards a client that allows them.
pub const OUTBOUND_ALIASES_MAX: u16 = 64;
/// Messages a client may have unacknowledged, however many it allows itself.
pub const OUTBOUND_INFLIGHT_MAX: u16 = 2048;
/// Encoded bytes waiting for a client's socket; beyond it QoS 0 is dropped and the rest stays where it is.
pub const OUTBOUND_BYTES_MAX: usize = 1024 * 1024;
/// Messages waiting in memory for a connected client's window. From half of it publishers are held back.
pub const WAITING_MESSAGES_MAX: usize = 20_000;
/// Their bytes.
pub const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes in memory for all connections: packets that are not complete, packets that wait for a socket, and messages that wait
/// for a window. Beyond it a connection that holds more than [`BUFFERED_BYTES_FREE`] of them is closed.
pub const BUFFERED_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024;
/// What a connection may hold without being counted.
pub const BUFFERED_BYTES_FREE: usize = 64 * 1024;
/// Messages kept for a lasting session; beyond it the newest is refused.
pub const QUEUE_MESSAGES_MAX: usize = 100_000;
/// Their bytes.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of the queues of all sessions. On Redis a message that several of them share counts once, and what stands for it in each
/// counts [`SHARED_ENTRY_BYTES`].
pub const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024 * 1024;
/// The smallest message, in bytes of its stored form, that Redis holds once for all queues of sessions that are away or behind:
/// what stands for it takes about a hundred bytes in each.
pub const SHARED_MESSAGE_BYTES_MIN: usize = 512;
/// What stands for a shared message in one queue, with its place in the index of the session, in bytes of Redis.
pub const SHARED_ENTRY_BYTES: usize = 160;
/// Sessions that are kept for clients that are away; beyond it no new lasting session begins.
pub const SESSIONS_MAX: usize = 1_000_000;
/// Lasting sessions of one user.
pub const USER_SESSIONS_MAX: usize = 10_000;
/// Messages of a lasting session read from the store at a time.
pub const LOAD_MESSAGES: usize = 256;
/// Retained messages in all.
pub const RETAINED_MAX: usize = 1_000_000;
/// Their bytes, and those of their places.
pub const RETAINED_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bytes of the retained messages that one client published.
pub const RETAINED_PUBLISHER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a publisher is held back by one slow consumer before it goes on, and one of 3.1.1 by a full queue before its
/// connection is closed.
pub const BACKPRESSURE_WAIT: Duration = Duration::from_secs(2);
/// A congested client that reads nothing for this long is disconnected.
pub const SLOW_CONSUMER_WAIT: Duration = Duration::from_secs(20);
/// Bytes read from a socket at a time.
pub const READ_BYTES: usize = 64 * 1024;
/// Packets handled before their operations are committed.
pub const PACKETS_PER_WAKE: usize = 512;
/// Levels of filters looked at before a connection lets others run.
pub const MATCH_LEVELS_PER_WAKE: usize = 100_000;
/// How long a connection runs before it lets others run.
pub const TURN: Duration = Duration::from_millis(5);
/// Topics whose matches a connection remembers.
pub const CACHED_MATCHES_MAX: usize = 64;
/// Topics of messages from other replicas whose matches are remembered.
pub const FORWARDED_MATCHES_MAX: usize = 8192;
/// Session expiry granted at most, in seconds: a week. CONNACK announces it.
pub const SESSION_EXPIRY_MAX_S: u32 = 7 * 24 * 3600;
/// Members of a replica's inbox; beyond it QoS 0 is dropped, and publishers with QoS above 0 are held back. Wake and
/// kick notices come besides: at most one entry a session.
pub const INBOX_MAX: usize = 100_000;
/// Bytes of the messages in a replica's inbox on Redis; beyond it the same.
pub const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a replica's lease lasts without being renewed.
pub const LEASE: Duration = Duration::from_millis(3000);
/// How often leases are renewed and due wills, dead replicas and expired sessions looked for.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// Messages of a shared subscription taken from a member that is away when another one comes.
pub const SHARE_RELEASE_COUNT: usize = 1000;
/// Members that are away, of whom they are taken.
pub const SHARE_RELEASE_MEMBERS: usize = 100;
/// Sessions taken from a dead replica, or expired, in one step.
pub const REAP_COUNT: usize = 500;
/// How often `$SYS` is published.
pub const SYS_INTERVAL: Duration = Duration::from_secs(10);
/// How long a newer connection waits until the older one of its session has handled what it received.
pub const HANDOVER_WAIT: Duration = Duration::from_millis(500);
/// How long SUBACK waits until other replicas know the subscription; a replica that is busy for longer may miss messages
/// for it.
pub const SUBSCRIBE_WAIT: Duration = Duration::from_secs(5);
/// How far the clocks of replicas may be apart.
pub const CLOCK_SKEW_MS: u64 = 1000;
/// How long a new connection waits for the store before CONNACK refuses it as unavailable.
pub const CLAIM_WAIT: Duration = Duration::from_secs(5);
/// Messages an in-process subscriber may be behind; beyond it publishers are held back.
pub const LOCAL_CLIENT_MESSAGES_MAX: usize = 8192;
/// How long a client may take to read the last packets.
pub const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// How long the will of a client that was sent to another replica waits for it to arrive there.
pub const MOVE_WAIT: Duration = Duration::from_secs(5);
/// Over how long a replica that stops sends its clients away.
pub const DRAIN_SPREAD: Duration = Duration::from_secs(2);
/// Users that a file may have.
pub const USERS_MAX: usize = 100_000;
/// The longest reason in words that a refusal has.
pub const REASON_STRING_MAX_CHARS: usize = 256;
/// Rules about topics that a file may have; each is looked at for every subscription and every new topic.
pub const RULES_MAX: usize = 10_000;
/// The longest file of users or rules, in bytes.
pub const ACCESS_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Passwords compared at a time at most, and on half of the cores: each takes a core and 19 MiB for some ten milliseconds.
pub const PASSWORDS_AT_A_TIME: usize = 4;
/// Connections whose password is compared or waits for it; the next one is refused as busy.
pub const PASSWORDS_WAITING_MAX: usize = 1024;
/// Those of one address.
pub const PASSWORDS_WAITING_PER_ADDRESS_MAX: usize = 32;
/// Wrong passwords a second of one address, whatever the names; the next one is refused without a comparison.
pub const WRONG_PASSWORDS_PER_ADDRESS_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);
/// As many at once as may come in so long.
pub const WRONG_PASSWORDS_BURST: Duration = Duration::from_secs(4);
/// How long the place of a comparison rests after a wrong password, as a multiple of what the comparison took.
pub const WRONG_PASSWORD_RESTS: u32 = 1;
/// Wrong passwords of one address under one name before it has to pause.
pub const FAILURES_WITHOUT_PAUSE: u32 = 5;
/// The first pause; each further wrong password doubles it.
pub const FAILURE_PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest one.
pub const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long after the last pause wrong passwords are forgotten.
pub const FAILURE_MEMORY: Duration = Duration::from_secs(600);
/// Pairs of address and name whose wrong passwords are remembered.
pub const FAILURES_KEPT_MAX: usize = 100_000;
/// The memory that comparing one password may ask for, in KiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// The passes over that memory.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// The longest header of the PROXY protocol behind its fixed part, in bytes.
pub const PROXY_HEADER_BYTES_MAX: u16 = 2048;
/// How long the header of the PROXY protocol, or a TLS or WebSocket handshake may take.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// How many files and sockets this process may have open; `None`: the system does not say.
#[must_use]
pub fn open_files_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    files.split_whitespace().next()?.parse().ok()
}
