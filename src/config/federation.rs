//! `[federation]`: other servers.

use super::section::section;

section! {
    /// Other servers.
    "federation" Federation {
        /// Talk to other servers.
        enabled: bool = true;
        /// Tell clients with which servers this one talks (`/_synapse/client/v1/config/federation_whitelist`).
        tell_clients: bool = false;
        /// Servers with which this one talks, by their names, in which `*` stands for anything: all when there are none. The list is told as it stands when `tell_clients` is on.
        allow_servers: Vec<String> = Vec::new();
        /// Servers with which this one does not talk, in the same form: what they ask is refused, and they are asked for nothing.
        deny_servers: Vec<String> = Vec::new();
        /// Other servers are told the names of devices.
        tell_device_names: bool = false;
        /// Other servers are told profiles when they ask for them. In rooms names and pictures are told in any case.
        tell_profiles: bool = true;
        /// A PEM file with certificate authorities that are believed beside the system's, by what this server asks of others over HTTPS.
        extra_ca: Option<String> = None, sample "/etc/playhouse/ca.pem", variable "PLAYHOUSE_EXTRA_CA";
        /// Networks in which other servers are asked although they are private or special. Further ones that are not asked: `deny_networks` of `[outbound]`.
        allow_networks: Vec<String> = Vec::new();
        /// Servers that are asked at another place than their names say, each `name=host:port`; wherever that is, the certificate must be for the name.
        overrides: Vec<String> = Vec::new();
        /// Servers that are asked for the keys of servers that do not answer.
        notaries: Vec<String> = vec!["matrix.org".to_owned()];
        /// A server that cannot be reached is tried again after so many milliseconds, and then after a quarter of the time since it first could not be …
        retry_wait_ms: u64 = 500;
        /// … up to so many. A request of it ends the waiting.
        retry_wait_max_ms: u64 = 3_600_000;
        /// A transaction that a server has refused as bad (400 or 422 with an error code) for so many milliseconds is sent to it in parts, and what it refuses
        /// alone is given up, so that the rest arrives.
        refused_for_ms: u64 = 3_600_000;
        /// `host` or `host:port` where other servers reach this one, when that is not where its name leads; told at `/.well-known/matrix/server`.
        well_known: Option<String> = None, sample "matrix.example.org:443", variable "PLAYHOUSE_WELL_KNOWN_SERVER";
    }
}
