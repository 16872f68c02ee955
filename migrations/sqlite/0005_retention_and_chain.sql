-- Ended allocations by age, so that the old ones can be deleted.
CREATE INDEX past_allocation_by_end ON past_allocation (ended_at_ms);

-- SHA-256 over the digest of the row before and this row's bytes, in hexadecimal. NULL in rows from before there was one.
ALTER TABLE journal ADD COLUMN digest TEXT;

-- That of the event that a snapshot stands on.
ALTER TABLE snapshot_head ADD COLUMN digest TEXT;
