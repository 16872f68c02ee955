-- What happened, in order. The primary key is the arbiter between writers.
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- Allocations that are over. `links` holds the names of the path's links, each framed by U+001F.
CREATE TABLE past_allocation (
    id INTEGER PRIMARY KEY,
    topology TEXT NOT NULL,
    ingress TEXT NOT NULL,
    egress TEXT NOT NULL,
    class_type INTEGER NOT NULL,
    setup_priority INTEGER NOT NULL,
    hold_priority INTEGER NOT NULL,
    bandwidth_bps INTEGER NOT NULL,
    aggregator TEXT,
    state TEXT NOT NULL,
    links TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER NOT NULL,
    ended_by INTEGER NOT NULL
) STRICT;

CREATE INDEX past_allocation_by_topology ON past_allocation (topology, state, id);
CREATE INDEX past_allocation_by_state ON past_allocation (state, id);
CREATE INDEX past_allocation_by_ingress ON past_allocation (ingress, id);
CREATE INDEX past_allocation_by_egress ON past_allocation (egress, id);
CREATE INDEX past_allocation_by_aggregator ON past_allocation (aggregator, id) WHERE aggregator IS NOT NULL;

-- What was answered to whom, for requests that carry an idempotency key.
CREATE TABLE receipt (
    key TEXT PRIMARY KEY NOT NULL,
    fingerprint TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    count INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX receipt_by_age ON receipt (at_ms);

-- States laid out flat, in parts. A snapshot without a head is not complete and does not count.
CREATE TABLE snapshot (
    sequence INTEGER NOT NULL,
    part INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (sequence, part)
) STRICT;

CREATE TABLE snapshot_head (
    sequence INTEGER PRIMARY KEY,
    parts INTEGER NOT NULL,
    allocations INTEGER NOT NULL
) STRICT;
