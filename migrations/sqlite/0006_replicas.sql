-- The instances of the service on this database, and when each last said that it lives, in milliseconds of the database's clock.
CREATE TABLE replica (
    instance TEXT PRIMARY KEY,
    beat_at_ms BIGINT NOT NULL
);
