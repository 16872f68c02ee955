-- What a gateway keeps of messages, subscriptions and last values. Ids and times are whole numbers; times are milliseconds
-- since 1970.

-- `name` is `instance`, `next_id`, or `policies` if they were set over REST (as JSON).
CREATE TABLE gateway (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `terms` is what the consumer asked for, as JSON.
CREATE TABLE subscription (
    id INTEGER PRIMARY KEY,
    terms TEXT NOT NULL
) STRICT;

-- Numbers and counts of a subscription, as JSON. It changes with every message, and so is apart.
CREATE TABLE lane (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;

CREATE TABLE topic (
    name TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- Messages, many in a row; which of them still wait is in the states of lanes.
CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    messages BLOB NOT NULL
) STRICT;
