-- The batch that an event was appended with: after a lost connection it tells a writer's own events from another's.
ALTER TABLE journal ADD COLUMN batch BIGINT NOT NULL DEFAULT 0;

-- What was answered to the commands of a request that were refused, so that a repetition is answered alike.
ALTER TABLE receipt ADD COLUMN refusals TEXT;
