//! From a server's name to where it is asked, in the order of the specification (server-server API, "Resolving server names").

use futures_util::future::BoxFuture;
use ruma::{OwnedServerName, ServerName};

/// The port when nothing else is said.
const PORT: u16 = 8448;

/// The services that are looked for, the deprecated one last.
const SERVICES: [&str; 2] = ["_matrix-fed._tcp", "_matrix._tcp"];

/// Where a server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The `Host` header.
    pub(crate) host: String,
    /// For whom the certificate must be: a name or an address.
    pub(crate) certificate: String,
    /// Names or addresses with their ports, in the order in which they are tried.
    pub(crate) targets: Vec<(String, u16)>,
    /// The operator chose the place: it may stand anywhere.
    pub(crate) is_trusted: bool,
}

impl Route {
    /// What tells this route from others, as the name of a host.
    pub(super) fn key(&self) -> String {
        let text = format!("{self:?}");
        blake3::hash(text.as_bytes()).to_hex()[..40].to_owned()
    }
}

/// What is asked on the way.
pub(crate) trait Guide: Send + Sync {
    /// Where the operator says that a server stands.
    fn overridden(&self, name: &ServerName) -> Option<(String, u16)>;

    /// What `/.well-known/matrix/server` of a host says.
    fn delegated<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<OwnedServerName>>;

    /// The hosts and ports of a service, best first.
    fn services(&self, name: String) -> BoxFuture<'_, Vec<(String, u16)>>;
}

/// Finds where a server is asked. Addresses are looked up when a connection is made.
pub(crate) async fn resolve(name: &ServerName, guide: &dyn Guide) -> Route {
    if let Some(target) = guide.overridden(name) {
        return Route {
            host: name.as_str().to_owned(),
            certificate: bare(name),
            targets: vec![target],
            is_trusted: true,
        };
    }
    if let Some(route) = said_outright(name) {
        return route;
    }
    let delegated = guide.delegated(name.host()).await;
    let meant = delegated.as_deref().unwrap_or(name);
    if let Some(route) = said_outright(meant) {
        return route;
    }
    let host = meant.host();
    let mut targets = Vec::new();
    for service in SERVICES {
        targets = guide.services(format!("{service}.{host}.")).await;
        if !targets.is_empty() {
            break;
        }
    }
    if targets.is_empty() {
        targets.push((host.to_owned(), PORT));
    }
    Route {
        host: host.to_owned(),
        certificate: host.to_owned(),
        targets,
        is_trusted: false,
    }
}

/// The route of a name that is an address or has a port.
fn said_outright(name: &ServerName) -> Option<Route> {
    (name.is_ip_literal() || name.port().is_some()).then(|| Route {
        host: name.as_str().to_owned(),
        certificate: bare(name),
        targets: vec![(bare(name), name.port().unwrap_or(PORT))],
        is_trusted: false,
    })
}

/// The host without the brackets of IPv6.
fn bare(name: &ServerName) -> String {
    let host = name.host();
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
}

/// Reads `name=host:port`.
pub(crate) fn read_override(text: &str) -> Option<(OwnedServerName, (String, u16))> {
    let (name, target) = text.split_once('=')?;
    let (host, port) = target.trim().rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let target = (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))?;
    Some((ServerName::parse(name.trim()).ok()?, target))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use parking_lot::Mutex;

    use super::*;

    /// A world of names, and what was asked of it.
    #[derive(Default)]
    struct World {
        well_known: BTreeMap<&'static str, &'static str>,
        services: BTreeMap<&'static str, Vec<(&'static str, u16)>>,
        overrides: BTreeMap<&'static str, (&'static str, u16)>,
        asked: Mutex<Vec<String>>,
    }

    impl Guide for World {
        fn overridden(&self, name: &ServerName) -> Option<(String, u16)> {
            let (host, port) = self.overrides.get(name.as_str())?;
            Some(((*host).to_owned(), *port))
        }

        fn delegated<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<OwnedServerName>> {
            self.asked.lock().push(host.to_owned());
            let found = self.well_known.get(host);
            let found = found.map(|name| ServerName::parse(*name).unwrap());
            Box::pin(async move { found })
        }

        fn services(&self, name: String) -> BoxFuture<'_, Vec<(String, u16)>> {
            let found = self.services.get(name.as_str()).cloned();
            self.asked.lock().push(name);
            let found = found.unwrap_or_default().into_iter();
            let found = found.map(|(host, port)| (host.to_owned(), port)).collect();
            Box::pin(async move { found })
        }
    }

    /// Host header, name of the certificate, targets.
    async fn find(world: &World, name: &str) -> (String, String, String) {
        world.asked.lock().clear();
        let route = resolve(&ServerName::parse(name).unwrap(), world).await;
        let targets = route.targets.iter();
        let targets: Vec<_> = targets
            .map(|(host, port)| format!("{host} {port}"))
            .collect();
        (route.host, route.certificate, targets.join(", "))
    }

    fn expected(host: &str, certificate: &str, targets: &str) -> (String, String, String) {
        (host.to_owned(), certificate.to_owned(), targets.to_owned())
    }

    #[tokio::test]
    async fn addresses_and_ports_are_taken_as_they_are() {
        let world = World::default();
        for (name, certificate, target) in [
            ("1.2.3.4", "1.2.3.4", "1.2.3.4 8448"),
            ("1.2.3.4:80", "1.2.3.4", "1.2.3.4 80"),
            ("[2001:db8::1]", "2001:db8::1", "2001:db8::1 8448"),
            ("[2001:db8::1]:1", "2001:db8::1", "2001:db8::1 1"),
            ("a.example:443", "a.example", "a.example 443"),
        ] {
            let route = find(&world, name).await;
            assert_eq!(route, expected(name, certificate, target));
            assert!(world.asked.lock().is_empty(), "nothing is asked for {name}");
        }
    }

    #[tokio::test]
    async fn delegated_names() {
        let world = World {
            well_known: BTreeMap::from([
                ("ip.example", "1.2.3.4"),
                ("ipport.example", "[2001:db8::1]:99"),
                ("port.example", "m.example:99"),
                ("srv.example", "s.example"),
                ("old.example", "o.example"),
                ("plain.example", "p.example"),
                ("twice.example", "port.example"),
            ]),
            services: BTreeMap::from([
                ("_matrix-fed._tcp.s.example.", vec![("t.example", 7)]),
                ("_matrix._tcp.s.example.", vec![("wrong.example", 7)]),
                ("_matrix-fed._tcp.srv.example.", vec![("wrong.example", 7)]),
                ("_matrix._tcp.o.example.", vec![("u.example", 8)]),
            ]),
            ..World::default()
        };
        for (name, host, certificate, targets) in [
            ("ip.example", "1.2.3.4", "1.2.3.4", "1.2.3.4 8448"),
            (
                "ipport.example",
                "[2001:db8::1]:99",
                "2001:db8::1",
                "2001:db8::1 99",
            ),
            ("port.example", "m.example:99", "m.example", "m.example 99"),
            ("srv.example", "s.example", "s.example", "t.example 7"),
            ("old.example", "o.example", "o.example", "u.example 8"),
            ("plain.example", "p.example", "p.example", "p.example 8448"),
            // Delegation is followed once.
            (
                "twice.example",
                "port.example",
                "port.example",
                "port.example 8448",
            ),
        ] {
            let route = find(&world, name).await;
            assert_eq!(route, expected(host, certificate, targets), "{name}");
        }
    }

    #[tokio::test]
    async fn names_without_delegation() {
        let world = World {
            services: BTreeMap::from([
                (
                    "_matrix-fed._tcp.new.example.",
                    vec![("t.example", 7), ("u.example", 9)],
                ),
                ("_matrix._tcp.new.example.", vec![("wrong.example", 7)]),
                ("_matrix._tcp.old.example.", vec![("v.example", 8)]),
            ]),
            ..World::default()
        };
        for (name, targets) in [
            ("new.example", "t.example 7, u.example 9"),
            ("old.example", "v.example 8"),
            ("none.example", "none.example 8448"),
        ] {
            assert_eq!(find(&world, name).await, expected(name, name, targets));
        }
        let asked = [
            "none.example",
            "_matrix-fed._tcp.none.example.",
            "_matrix._tcp.none.example.",
        ];
        assert_eq!(*world.asked.lock(), asked, "in this order");
    }

    #[tokio::test]
    async fn the_operator_knows_better() {
        let world = World {
            overrides: BTreeMap::from([("a.example", ("127.0.0.1", 1))]),
            ..World::default()
        };
        let route = find(&world, "a.example").await;
        assert_eq!(route, expected("a.example", "a.example", "127.0.0.1 1"));
        assert!(world.asked.lock().is_empty());
    }

    #[test]
    fn overrides_as_they_are_written() {
        let read = |text| read_override(text).map(|(name, target)| (name.to_string(), target));
        let (name, target) = ("a.example".to_owned(), ("::1".to_owned(), 7));
        assert_eq!(read("a.example=[::1]:7"), Some((name.clone(), target)));
        let target = ("b.example".to_owned(), 8448);
        assert_eq!(read("a.example = b.example:8448"), Some((name, target)));
        for text in ["a.example", "a.example=b", "a.example=:1", "=b:1", "a=b:x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
