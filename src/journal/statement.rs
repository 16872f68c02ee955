//! Every SQL text, once. Each is valid on SQLite and on PostgreSQL unchanged, which is why rows travel as one JSON object
//! that `json_each` takes apart: one statement a batch on both, whatever the batch's size.

/// `$1` an object whose keys are a sequence number and a time, each of twenty digits, a digest, and an actor where there is
/// one, and whose values are the bodies; `$2` the sequence number that must be the last so far, and `$4` its digest; `$3` the
/// batch. Writes nothing if it is not.
pub(super) const APPEND: &str = "INSERT INTO journal (sequence, at_ms, body, batch, digest, actor) \
    SELECT CAST(substr(key, 1, 20) AS BIGINT), CAST(substr(key, 21, 20) AS BIGINT), CAST(value AS TEXT), $3, \
    substr(key, 41, 64), NULLIF(substr(key, 105), '') \
    FROM json_each($1) WHERE COALESCE((SELECT MAX(sequence) FROM journal), \
    (SELECT MAX(sequence) FROM snapshot_head), 0) = $2 \
    AND COALESCE((SELECT digest FROM journal WHERE sequence = $2), \
    (SELECT digest FROM snapshot_head WHERE sequence = $2), \
    '0000000000000000000000000000000000000000000000000000000000000000') = $4";

/// The last event, and its digest.
pub(super) const CHAIN_HEAD: &str = "SELECT sequence, digest FROM journal ORDER BY sequence DESC LIMIT 1";
/// The newest snapshot's event, and its digest.
pub(super) const SNAPSHOT_CHAIN_HEAD: &str =
    "SELECT sequence, digest FROM snapshot_head ORDER BY sequence DESC LIMIT 1";

/// The digest of event `$1`, or of the snapshot that stands for it.
pub(super) const DIGEST_AT: &str = "SELECT COALESCE((SELECT digest FROM journal WHERE sequence = $1), \
    (SELECT digest FROM snapshot_head WHERE sequence = $1))";

/// After `$1`, at most `$2`.
pub(super) const READ_AFTER: &str =
    "SELECT sequence, at_ms, body, actor, digest FROM journal WHERE sequence > $1 ORDER BY sequence LIMIT $2";

/// As [`READ_AFTER`], of actors whose text contains `$3`.
pub(super) const READ_AFTER_BY: &str = "SELECT sequence, at_ms, body, actor, digest FROM journal WHERE sequence > $1 \
    AND actor IS NOT NULL AND replace(actor, $3, '') <> actor ORDER BY sequence LIMIT $2";

/// Before `$1`, the newest first, at most `$2`.
pub(super) const READ_BEFORE: &str =
    "SELECT sequence, at_ms, body, actor, digest FROM journal WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2";

/// As [`READ_BEFORE`], of actors whose text contains `$3`.
pub(super) const READ_BEFORE_BY: &str = "SELECT sequence, at_ms, body, actor, digest FROM journal WHERE sequence < $1 \
    AND actor IS NOT NULL AND replace(actor, $3, '') <> actor ORDER BY sequence DESC LIMIT $2";

/// Every access token.
pub(super) const TOKENS: &str = "SELECT id, digest, name, role, tenant, aggregator, created_at_ms, expires_at_ms, \
    last_used_at_ms FROM access_token ORDER BY created_at_ms, id";

/// The parameters are the columns, in the order of [`TOKENS`].
pub(super) const TOKEN_PUT: &str = "INSERT INTO access_token (id, digest, name, role, tenant, aggregator, \
    created_at_ms, expires_at_ms, last_used_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// `$1` the id.
pub(super) const TOKEN_DELETE: &str = "DELETE FROM access_token WHERE id = $1";

/// `$1` the tenant.
pub(super) const TOKENS_DELETE_OF_TENANT: &str = "DELETE FROM access_token WHERE tenant = $1";

/// `$1` the id, `$2` when it was used.
pub(super) const TOKEN_USED: &str = "UPDATE access_token SET last_used_at_ms = $2 WHERE id = $1";

/// The last sequence number, 0 if there is none. Where the journal begins after a snapshot, that is as good as an event.
pub(super) const HEAD: &str =
    "SELECT COALESCE((SELECT MAX(sequence) FROM journal), (SELECT MAX(sequence) FROM snapshot_head), 0)";

/// The first event's number; the one after [`HEAD`] if there is none.
pub(super) const FIRST: &str =
    "SELECT COALESCE((SELECT MIN(sequence) FROM journal), (SELECT MAX(sequence) FROM snapshot_head) + 1, 1)";

/// Of the `$1` oldest events the first that is not from before `$2`, or nothing.
pub(super) const FIRST_YOUNG: &str = "SELECT MIN(sequence) FROM \
    (SELECT sequence, at_ms FROM journal ORDER BY sequence LIMIT $1) AS oldest WHERE at_ms >= $2";

/// The oldest events before `$1`, at most `$2`.
pub(super) const EVENTS_FORGET: &str = "DELETE FROM journal WHERE sequence IN \
    (SELECT sequence FROM journal WHERE sequence < $1 ORDER BY sequence LIMIT $2)";

/// Allocations that ended before `$1`, at most `$2`.
pub(super) const PAST_FORGET: &str = "DELETE FROM past_allocation WHERE id IN \
    (SELECT id FROM past_allocation WHERE ended_at_ms < $1 ORDER BY ended_at_ms LIMIT $2)";

/// `$1` the step, `$2` the instant, `$3` the last event. Writes nothing if the instant is there.
pub(super) const SAMPLING_PUT: &str =
    "INSERT INTO link_sampling (step_ms, at_ms, sequence) VALUES ($1, $2, $3) ON CONFLICT (step_ms, at_ms) DO NOTHING";

/// `$1` the step: from `$2` to before `$3`, oldest first.
pub(super) const SAMPLINGS: &str = "SELECT at_ms, sequence FROM link_sampling \
    WHERE step_ms = $1 AND at_ms >= $2 AND at_ms < $3 ORDER BY at_ms";

/// `$1` the step: the newest, at `$2` or before.
pub(super) const SAMPLING_NEAREST: &str = "SELECT at_ms, sequence FROM link_sampling \
    WHERE step_ms = $1 AND at_ms <= $2 ORDER BY at_ms DESC LIMIT 1";

/// `$1` the step: the oldest, at `$2` or later.
pub(super) const SAMPLING_NEXT: &str = "SELECT at_ms, sequence FROM link_sampling \
    WHERE step_ms = $1 AND at_ms >= $2 ORDER BY at_ms LIMIT 1";

/// `$1` an object: each value a row; what comes to a row that is there is added to its list.
pub(super) const LINK_HISTORY_PUT: &str = "INSERT INTO link_history (topology, link, step_ms, block_ms, samples) \
    SELECT value ->> 'topology', value ->> 'link', CAST(value ->> 'step_ms' AS BIGINT), \
    CAST(value ->> 'block_ms' AS BIGINT), value ->> 'samples' FROM json_each($1) WHERE true \
    ON CONFLICT (topology, link, step_ms, block_ms) \
    DO UPDATE SET samples = link_history.samples || ',' || excluded.samples";

/// `$1` topology, `$2` link, `$3` step: the blocks from `$4` to before `$5`.
pub(super) const LINK_HISTORY_OF_LINK: &str = "SELECT block_ms, samples FROM link_history \
    WHERE topology = $1 AND link = $2 AND step_ms = $3 AND block_ms >= $4 AND block_ms < $5 ORDER BY block_ms";

/// `$1` step, `$2` block, `$3` topology.
pub(super) const LINK_HISTORY_OF_BLOCK: &str = "SELECT link, samples FROM link_history \
    WHERE step_ms = $1 AND block_ms = $2 AND topology = $3 ORDER BY link";

/// `$1` step, `$2` block.
pub(super) const LINK_HISTORY_TOPOLOGIES: &str =
    "SELECT DISTINCT topology FROM link_history WHERE step_ms = $1 AND block_ms = $2 ORDER BY topology";

/// `$1` step: of the blocks before `$2`, at most `$3` rows.
pub(super) const LINK_HISTORY_FORGET: &str = "DELETE FROM link_history WHERE (topology, link, step_ms, block_ms) IN \
    (SELECT topology, link, step_ms, block_ms FROM link_history WHERE step_ms = $1 AND block_ms < $2 \
    ORDER BY block_ms LIMIT $3)";

/// `$1` step: before `$2`, at most `$3`.
pub(super) const SAMPLINGS_FORGET: &str = "DELETE FROM link_sampling WHERE (step_ms, at_ms) IN \
    (SELECT step_ms, at_ms FROM link_sampling WHERE step_ms = $1 AND at_ms < $2 ORDER BY at_ms LIMIT $3)";

/// How many pages of SQLite's file are free.
pub(super) const FREE_PAGES_SQLITE: &str = "PRAGMA freelist_count";
/// Takes a megabyte of them out of the file.
pub(super) const SHRINK_SQLITE: &str = "PRAGMA incremental_vacuum(256)";

/// `$1` an object: each key an id, each value the row.
pub(super) const PAST_PUT: &str = "INSERT INTO past_allocation (id, topology, ingress, egress, class_type, \
    setup_priority, hold_priority, bandwidth_bps, aggregator, state, links, annotations, body, created_at_ms, \
    ended_at_ms, ended_by, tenant) SELECT CAST(key AS BIGINT), value ->> 'topology', value ->> 'ingress', value ->> 'egress', \
    CAST(value ->> 'class_type' AS BIGINT), CAST(value ->> 'setup_priority' AS BIGINT), \
    CAST(value ->> 'hold_priority' AS BIGINT), CAST(value ->> 'bandwidth_bps' AS BIGINT), value ->> 'aggregator', \
    value ->> 'state', value ->> 'links', value ->> 'annotations', value ->> 'body', CAST(value ->> 'created_at_ms' AS BIGINT), \
    CAST(value ->> 'ended_at_ms' AS BIGINT), CAST(value ->> 'ended_by' AS BIGINT), value ->> 'tenant' FROM json_each($1)";

/// Frames a link's name or an annotation among the others in its column; none contains it, since they have no control
/// characters.
pub(super) const FRAME: char = '\u{1f}';

/// The head of a listing: after `$1`, at most `$2`. Conditions on further parameters follow, then [`PAST_LIST_TAIL`].
pub(super) const PAST_LIST: &str = "SELECT id, state, ended_at_ms, ended_by, body FROM past_allocation WHERE id > $1";
/// Conditions of a listing, `$n` being the parameter's number.
pub(super) const PAST_TOPOLOGY: &str = " AND topology = $n";
/// See [`PAST_TOPOLOGY`].
pub(super) const PAST_STATE: &str = " AND state = $n";
/// See [`PAST_TOPOLOGY`].
pub(super) const PAST_CLASS_TYPE: &str = " AND class_type = $n";
/// See [`PAST_TOPOLOGY`].
pub(super) const PAST_INGRESS: &str = " AND ingress = $n";
/// See [`PAST_TOPOLOGY`].
pub(super) const PAST_EGRESS: &str = " AND egress = $n";
/// See [`PAST_TOPOLOGY`].
pub(super) const PAST_AGGREGATOR: &str = " AND aggregator = $n";
/// See [`PAST_TOPOLOGY`].
pub(super) const PAST_TENANT: &str = " AND tenant = $n";
/// See [`PAST_TOPOLOGY`]. Not LIKE, which takes `a` for `A` on SQLite and gives `%` and `_` a meaning.
pub(super) const PAST_LINK: &str = " AND replace(links, $n, '') <> links";
/// See [`PAST_LINK`].
pub(super) const PAST_ANNOTATION: &str = " AND annotations IS NOT NULL AND replace(annotations, $n, '') <> annotations";
/// See [`PAST_LIST`].
pub(super) const PAST_LIST_TAIL: &str = " ORDER BY id LIMIT $2";

/// `$1` the id.
pub(super) const PAST_ONE: &str = "SELECT id, state, ended_at_ms, ended_by, body FROM past_allocation WHERE id = $1";

/// `$1` an object: each value a row. A key that is taken is left as it is, and not counted among the rows written.
pub(super) const RECEIPT_PUT: &str = "INSERT INTO receipt (key, fingerprint, first_sequence, count, at_ms, refusals) \
    SELECT value ->> 'key', value ->> 'fingerprint', CAST(value ->> 'first_sequence' AS BIGINT), \
    CAST(value ->> 'count' AS BIGINT), CAST(value ->> 'at_ms' AS BIGINT), value ->> 'refusals' \
    FROM json_each($1) WHERE true ON CONFLICT (key) DO NOTHING";

/// `$1` the key.
pub(super) const RECEIPT_GET: &str =
    "SELECT fingerprint, first_sequence, count, at_ms, refusals FROM receipt WHERE key = $1";

/// The first event that a receipt refers to.
pub(super) const RECEIPT_OLDEST: &str = "SELECT first_sequence FROM receipt ORDER BY at_ms LIMIT 1";

/// Those before `$1`.
pub(super) const RECEIPTS_FORGET: &str = "DELETE FROM receipt WHERE at_ms < $1";

/// `$1` sequence, `$2` part, `$3` body. A part that is written again is the same.
pub(super) const SNAPSHOT_PUT: &str = "INSERT INTO snapshot (sequence, part, body) VALUES ($1, $2, $3) \
    ON CONFLICT (sequence, part) DO UPDATE SET body = excluded.body";

/// `$1` sequence, `$2` parts, `$3` allocations, `$4` digest, `$5` checksum. Writes nothing if the event has another digest or is not there.
pub(super) const SNAPSHOT_COMPLETE: &str = "INSERT INTO snapshot_head (sequence, parts, allocations, digest, checksum) \
    SELECT $1, $2, $3, $4, $5 WHERE COALESCE((SELECT digest FROM journal WHERE sequence = $1), \
    (SELECT digest FROM snapshot_head WHERE sequence = $1), \
    '0000000000000000000000000000000000000000000000000000000000000000') = $4 \
    ON CONFLICT (sequence) DO UPDATE SET parts = excluded.parts, allocations = excluded.allocations, \
    digest = excluded.digest, checksum = excluded.checksum";

/// As [`SNAPSHOT_COMPLETE`], in a journal without events, that is to go on after the snapshot.
pub(super) const SNAPSHOT_BASE: &str = "INSERT INTO snapshot_head (sequence, parts, allocations, digest, checksum) \
    SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM journal)";

/// The newest complete snapshot before `$1` that stands on the journal's events.
pub(super) const SNAPSHOT_HEAD: &str = "SELECT sequence, parts, allocations, digest, checksum FROM snapshot_head \
    WHERE sequence < $1 AND COALESCE((SELECT digest FROM journal WHERE journal.sequence = snapshot_head.sequence), digest, '') \
    = COALESCE(digest, '') ORDER BY sequence DESC LIMIT 1";

/// `$1` sequence, `$2` part.
pub(super) const SNAPSHOT_PART: &str = "SELECT body FROM snapshot WHERE sequence = $1 AND part = $2";

/// The heads before the last one before `$1`.
pub(super) const SNAPSHOT_HEADS_FORGET: &str = "DELETE FROM snapshot_head WHERE sequence < \
    (SELECT MAX(sequence) FROM snapshot_head WHERE sequence < $1)";

/// Some parts before `$1` without a head, few enough that no writer waits long.
pub(super) const SNAPSHOT_PARTS_FORGET: &str = "DELETE FROM snapshot WHERE (sequence, part) IN \
    (SELECT sequence, part FROM snapshot WHERE sequence < $1 \
    AND sequence NOT IN (SELECT sequence FROM snapshot_head) ORDER BY sequence, part LIMIT 8)";

/// Whether the database takes writes: it answers, and is not a standby.
pub(super) const PROBE_SQLITE: &str = "SELECT true";
/// See [`PROBE_SQLITE`].
pub(super) const PROBE_POSTGRES: &str =
    "SELECT NOT (pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean)";

/// Sets the heartbeat of instance `$1`, forgets those of an hour ago, and tells how many milliseconds ago each was, as it was
/// before, and in each row what time it is.
pub(super) const BEAT_POSTGRES: &str = "WITH clock AS (SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT AS ms), \
    beat AS (INSERT INTO replica (instance, beat_at_ms) SELECT $1, ms FROM clock \
    ON CONFLICT (instance) DO UPDATE SET beat_at_ms = EXCLUDED.beat_at_ms), \
    old AS (DELETE FROM replica USING clock WHERE beat_at_ms < ms - 3600000 AND instance <> $1) \
    SELECT instance, ms - beat_at_ms, ms FROM clock LEFT JOIN replica ON true";

/// `$1` the instance.
pub(super) const BEATS_END: &str = "DELETE FROM replica WHERE instance = $1";

/// How a session is set up on PostgreSQL. What is committed is on disk, whatever the server's default is. A replica that is
/// cut off in the middle of something lets go of it within ten seconds, by the server's own clock. The statement that is
/// prepared is never run: where a pooler gives one session to several connections, the second one finds it there and fails.
pub(super) const SESSION_POSTGRES: &str = "SET synchronous_commit = on; SET statement_timeout = '60s'; \
    SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'; SET tcp_keepalives_idle = 3; \
    SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 2; SET tcp_user_timeout = '8s'; \
    PREPARE watermaster_session AS SELECT 1";

/// The server's process behind this connection, and when it began.
pub(super) const BACKEND_POSTGRES: &str =
    "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// Ends the process `$1` that began at `$2` and waits until it is gone, at most a second; nothing if there is none.
pub(super) const BACKEND_END_POSTGRES: &str =
    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2";

/// Whether event `$1` came with batch `$2`.
pub(super) const HAS_BATCH: &str = "SELECT COUNT(*) FROM journal WHERE sequence = $1 AND batch = $2";

/// How a writing transaction begins on SQLite: with the lock, so that it cannot fail half-way for want of it.
pub(super) const BEGIN_WRITE_SQLITE: &str = "BEGIN IMMEDIATE";
/// How a writing transaction begins on PostgreSQL.
pub(super) const BEGIN_WRITE_POSTGRES: &str = "BEGIN";
/// How a transaction begins on PostgreSQL that keeps other writers waiting, but no reader, and does not wait for ever.
pub(super) const BEGIN_EXCLUSIVE_POSTGRES: &str = "BEGIN; LOCK TABLE journal IN SHARE ROW EXCLUSIVE MODE";
/// How such a transaction ends.
pub(super) const COMMIT: &str = "COMMIT";
/// How a transaction ends that lost a conflict: at once, so that it holds no lock until the connection's next use.
pub(super) const ROLLBACK: &str = "ROLLBACK";
/// How a transaction begins on SQLite that sees one state of things throughout.
pub(super) const BEGIN_READ_SQLITE: &str = "BEGIN";
/// How a transaction begins on PostgreSQL that sees one state of things throughout.
pub(super) const BEGIN_READ_POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The event of the newest complete snapshot, or nothing.
pub(super) const SNAPSHOT_NEWEST: &str = "SELECT MAX(sequence) FROM snapshot_head";

/// The event of the oldest snapshot, or nothing.
pub(super) const SNAPSHOT_OLDEST: &str = "SELECT MIN(sequence) FROM snapshot_head";

/// The head of the snapshot at `$1`.
pub(super) const SNAPSHOT_HEAD_FORGET: &str = "DELETE FROM snapshot_head WHERE sequence = $1";

/// When the last event happened.
pub(super) const LAST_AT: &str = "SELECT at_ms FROM journal ORDER BY sequence DESC LIMIT 1";

/// When the event of the newest complete snapshot happened.
pub(super) const SNAPSHOT_AT: &str =
    "SELECT at_ms FROM journal WHERE sequence = (SELECT MAX(sequence) FROM snapshot_head)";
