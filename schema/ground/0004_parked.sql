-- Records that a reader of the log could not take in: which reader, which record, why, and which program tried.
CREATE TABLE IF NOT EXISTS parked (
    name {{text}} NOT NULL,
    family {{text}} NOT NULL,
    shard BIGINT NOT NULL,
    position BIGINT NOT NULL,
    entity {{text}} NOT NULL,
    reason {{text}} NOT NULL,
    program {{text}} NOT NULL,
    PRIMARY KEY (name, family, shard, position)
);
