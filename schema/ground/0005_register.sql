-- The register of a cluster: which nodes live, and which of them holds which shard. It is no fold of the log: it says who may write it.
-- A node lives as long as its lease, by the database's clock.
CREATE TABLE IF NOT EXISTS node (
    name {{text}} PRIMARY KEY,
    incarnation {{text}} NOT NULL,
    address {{text}} NOT NULL,
    roles {{text}} NOT NULL,
    standing {{text}} NOT NULL,
    facts {{text}} NOT NULL,
    joined_ms BIGINT NOT NULL,
    lease_ms BIGINT NOT NULL
) {{updated_in_place}};
CREATE TABLE IF NOT EXISTS placement (
    family {{text}} NOT NULL,
    shard BIGINT NOT NULL,
    holder {{text}},
    term BIGINT NOT NULL,
    wanted {{text}},
    pinned {{text}},
    PRIMARY KEY (family, shard)
) {{updated_in_place}};
