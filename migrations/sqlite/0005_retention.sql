-- Ended allocations by age, so that the old ones can be deleted.
CREATE INDEX past_allocation_by_end ON past_allocation (ended_at_ms);
