-- How far each read model has read the log.
CREATE TABLE IF NOT EXISTS cursor (
    name {{text}} NOT NULL,
    family {{text}} NOT NULL,
    shard BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (name, family, shard)
);
