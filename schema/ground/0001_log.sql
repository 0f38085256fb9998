-- The log of one family, the names of those who write it, and the heads of its shards.
-- On SQLite `place` is deliberately not the rowid (that would be INTEGER): rows must be stored in the order of their arrival. Where they are put in between, pages
-- are split, and the remains of moved cells, which secure_delete does not clear, would outlive an erasure.
-- An entity's name is stored once, with its first record: the log has a number for it, in row and index. The index of keys holds no more of a key than
-- tells it from almost all others.
CREATE TABLE IF NOT EXISTS entity_{{family}} (
    id {{serial}} PRIMARY KEY,
    name {{text}} NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS log_{{family}} (
    place BIGINT PRIMARY KEY,
    entity BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    chain {{bytes}} NOT NULL,
    erased {{bytes}},
    key {{text}},
    payload {{bytes}} NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS log_{{family}}_entity ON log_{{family}} (entity, sequence);
CREATE INDEX IF NOT EXISTS log_{{family}}_key ON log_{{family}} (substr(key, 1, 12)) WHERE key IS NOT NULL;
CREATE TABLE IF NOT EXISTS shard_{{family}} (
    shard BIGINT PRIMARY KEY,
    owner {{text}} NOT NULL,
    epoch BIGINT NOT NULL,
    head BIGINT NOT NULL,
    chain {{bytes}} NOT NULL,
    batch {{bytes}} NOT NULL
) {{updated_in_place}};
