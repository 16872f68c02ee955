-- What the broker keeps for clients. Ids and times are whole numbers; times are milliseconds since 1970.

-- Lasting sessions. `birth` is the epoch that the session began with; `state` holds what session_form.rs says.
CREATE TABLE session (
    birth INTEGER PRIMARY KEY,
    client TEXT NOT NULL,
    state BLOB NOT NULL
) STRICT;

CREATE TABLE subscription (
    birth INTEGER NOT NULL,
    filter TEXT NOT NULL,
    granted BLOB NOT NULL,
    PRIMARY KEY (birth, filter)
) STRICT, WITHOUT ROWID;

CREATE TABLE retained (
    topic TEXT PRIMARY KEY,
    expires_at_ms INTEGER,
    message BLOB NOT NULL
) STRICT;
CREATE INDEX retained_expiry ON retained (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

-- Wills of connections, and those whose delay runs.
CREATE TABLE will (
    client TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    delay_s INTEGER NOT NULL,
    due_at_ms INTEGER,
    message BLOB NOT NULL
) STRICT;

-- Messages of shared subscriptions whose member has gone.
CREATE TABLE orphaned (
    number INTEGER PRIMARY KEY,
    share TEXT NOT NULL,
    message BLOB NOT NULL
) STRICT;

-- Messages of queues, many in a row; which of them still wait is in the state of their sessions.
CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    weight_bytes INTEGER NOT NULL,
    messages BLOB NOT NULL
) STRICT;
