-- When links were sampled, at each resolution, and the last event then. The key lets one of several replicas write an instant.
CREATE TABLE link_sampling (
    step_ms BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (step_ms, at_ms)
);

-- What a link had, for a block of instants: the first sample of the block, and those that differ from the one before, as members
-- of a JSON list without its brackets.
CREATE TABLE link_history (
    topology TEXT NOT NULL,
    link TEXT NOT NULL,
    step_ms BIGINT NOT NULL,
    block_ms BIGINT NOT NULL,
    samples TEXT NOT NULL,
    PRIMARY KEY (topology, link, step_ms, block_ms)
);
CREATE INDEX link_history_by_block ON link_history (step_ms, block_ms, topology);
