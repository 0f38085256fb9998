//! What makes sense of a cluster.

use std::net::{IpAddr, ToSocketAddrs as _};

use playhouse_actors::cluster::roles::{EDGE, ROLES};
use playhouse_schema::register::NodeName;

use super::{Config, ConfigError, check::require};
use crate::cluster::secret::{ClusterSecret, SECRET_BYTES_MIN};

impl Config {
    pub(super) fn check_cluster(&self) -> Result<(), ConfigError> {
        let cluster = &self.cluster;
        if let Some(name) = &cluster.name {
            require(NodeName::parse(name).is_some(), || {
                format!("[cluster] name: `{name}` is not 1 to 64 letters, digits, `.`, `_` and `-`")
            })?;
        }
        if let Some(secret) = &cluster.secret {
            require(ClusterSecret::new(secret).is_some(), || {
                format!("[cluster] secret has less than {SECRET_BYTES_MIN} bytes")
            })?;
        }
        require(!cluster.roles.is_empty(), || {
            format!("[cluster] roles is empty: a node that only answers has the role `{EDGE}`")
        })?;
        for role in &cluster.roles {
            require(ROLES.contains(&role.as_str()), || {
                let known = ROLES.join(", ");
                format!("[cluster] roles: `{role}` is none of {known}")
            })?;
        }
        require((1_000..=60_000).contains(&cluster.lease_ms), || {
            let lease_ms = cluster.lease_ms;
            format!("[cluster] lease_ms: {lease_ms} is not from 1000 to 60000")
        })?;
        require(
            (50..=cluster.lease_ms / 4).contains(&cluster.beat_ms),
            || {
                let beat_ms = cluster.beat_ms;
                format!("[cluster] beat_ms: {beat_ms} is not from 50 to a quarter of lease_ms")
            },
        )?;
        self.check_cluster_places()
    }

    fn check_cluster_places(&self) -> Result<(), ConfigError> {
        let cluster = &self.cluster;
        let Some(listen) = &cluster.listen else {
            let is_meant = cluster.advertise.is_some()
                || cluster.secret.is_some()
                || cluster.secret_file.is_some();
            return require(!is_meant, || {
                "[cluster] listen is missing: without it this node belongs to no cluster".to_owned()
            });
        };
        require(self.database.is_postgres(), || {
            "[cluster] listen: a cluster needs PostgreSQL ([database] url), and this server keeps its data in SQLite: run `playhouse migrate` first"
                .to_owned()
        })?;
        let found = listen.to_socket_addrs();
        let found: Vec<_> = found.map(Iterator::collect).unwrap_or_default();
        require(!found.is_empty(), || {
            format!("[cluster] listen: `{listen}` is no address to listen on (host:port)")
        })?;
        let is_everywhere = found
            .iter()
            .any(|address| IpAddr::is_unspecified(&address.ip()));
        require(!is_everywhere || cluster.advertise.is_some(), || {
            format!("[cluster] advertise is missing: nobody can be told to come to `{listen}`")
        })?;
        if let Some(place) = &cluster.advertise {
            // It need not resolve here, nor now.
            let port = place.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            require(matches!(port, Some(Ok(1..))), || {
                format!("[cluster] advertise: `{place}` is not host:port")
            })?;
        }
        require(
            cluster.secret.is_some() || cluster.secret_file.is_some(),
            || "[cluster] secret is missing: other nodes are known by it".to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::parse, ROLES};

    const POSTGRES: &str = "[database]\nurl = 'postgres://localhost/p'\n[cluster]\n";
    const FIT: &str = "listen = '127.0.0.1:0'\nsecret = 'sixteen bytes or more'\n";

    #[test]
    fn three_lines_make_a_cluster() {
        let config = parse(&format!("{POSTGRES}{FIT}"), &[]).unwrap();
        assert_eq!(config.cluster.roles, ROLES);
        assert_eq!(config.cluster.lease_ms, 3_000);
        let variables = [
            ("PLAYHOUSE_DATABASE", "postgres://localhost/p"),
            ("PLAYHOUSE_CLUSTER_LISTEN", "127.0.0.1:8449"),
            ("PLAYHOUSE_CLUSTER_SECRET_FILE", "/secret"),
            ("PLAYHOUSE_CLUSTER_NAME", "n1"),
            ("PLAYHOUSE_CLUSTER_ROLES", "users, rooms"),
            ("PLAYHOUSE_CLUSTER_ADVERTISE", "n1.example:8449"),
        ];
        let config = parse("", &variables).unwrap();
        assert_eq!(config.cluster.roles, ["users", "rooms"]);
    }

    #[test]
    fn on_sqlite_the_way_out_is_named() {
        let error = parse(&format!("[cluster]\n{FIT}"), &[]).unwrap_err();
        assert!(error.contains("run `playhouse migrate`"), "{error}");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (more, word) in [
            ("listen = '127.0.0.1:0'", "secret is missing"),
            ("secret = 'sixteen bytes or more'", "listen is missing"),
            ("listen = '127.0.0.1:0'\nsecret = 'short'", "less than 16"),
            (
                "listen = '0.0.0.0:1'\nsecret = 'sixteen bytes or more'",
                "advertise is missing",
            ),
            (
                "listen = 'here'\nsecret = 'sixteen bytes or more'",
                "listen",
            ),
            ("name = 'a b'", "[cluster] name"),
            ("roles = ['cook']", "`cook`"),
            ("roles = []", "`edge`"),
            ("lease_ms = 5", "lease_ms"),
            ("beat_ms = 2000", "beat_ms"),
        ] {
            let error = parse(&format!("{POSTGRES}{more}"), &[]).unwrap_err();
            assert!(error.contains(word), "{more}: {error}");
        }
        let place = format!("{POSTGRES}{FIT}advertise = 'nowhere'");
        let error = parse(&place, &[]).unwrap_err();
        assert!(error.contains("not host:port"), "{error}");
    }
}
