-- States of actors, never authoritative.
CREATE TABLE IF NOT EXISTS snapshot_{{family}} (
    entity {{text}} PRIMARY KEY,
    sequence BIGINT NOT NULL,
    version BIGINT NOT NULL,
    payload {{bytes}} NOT NULL
);
