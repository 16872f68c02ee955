-- Who had an event decided: the name, framed by U+001F, and the address. NULL for what happened by itself.
ALTER TABLE journal ADD COLUMN actor TEXT;

CREATE INDEX journal_by_actor ON journal (sequence) WHERE actor IS NOT NULL;

-- Access tokens. The token itself is not here: `digest` is its SHA-256, in hexadecimal.
CREATE TABLE access_token (
    id TEXT PRIMARY KEY NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    tenant TEXT,
    aggregator TEXT,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    last_used_at_ms INTEGER
) STRICT;

-- For whom an ended allocation was.
ALTER TABLE past_allocation ADD COLUMN tenant TEXT;

CREATE INDEX past_allocation_by_tenant ON past_allocation (tenant, id) WHERE tenant IS NOT NULL;
