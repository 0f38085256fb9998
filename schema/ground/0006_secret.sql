-- What the nodes of a cluster share beside the log: its content is locked with the cluster's secret, which is not here. And the nodes that operators let rest.
CREATE TABLE IF NOT EXISTS secret (
    name {{text}} PRIMARY KEY,
    payload {{bytes}} NOT NULL
);
CREATE TABLE IF NOT EXISTS resting (
    name {{text}} PRIMARY KEY
);
