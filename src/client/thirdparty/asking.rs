//! Which application services are asked about a network, and what they say put together.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use ruma::thirdparty::Protocol;
use serde::de::DeserializeOwned;

use crate::{
    edge::{App, Bridge, Failure},
    third_party::{encoded, form},
};

/// A question has at most so many fields.
const FIELDS_MAX: usize = 20;

/// Their names and values have together at most so many bytes.
const FIELDS_BYTES_MAX: usize = 4 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Portal rooms.
    Location,
    /// Users behind a bridge.
    User,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Location => "location",
            Self::User => "user",
        }
    }
}

/// The protocols that application services describe, or only one of them.
pub(super) async fn protocols(app: &App, only: Option<&str>) -> BTreeMap<String, Protocol> {
    let networks = &app.third_party.bridges;
    let bridges = app.bridges.all().cloned().collect();
    let now_ms = app.env().now_ms();
    merged(networks.descriptions(bridges, only, now_ms).await)
}

/// What the application services of a protocol find by these fields.
pub(super) async fn by_fields<T: DeserializeOwned + 'static>(
    app: &App,
    kind: Kind,
    protocol: &str,
    fields: &BTreeMap<String, String>,
) -> Result<Vec<T>, Failure> {
    let bridges: Vec<Arc<Bridge>> = app
        .bridges
        .all()
        .filter(|bridge| bridge.protocols.iter().any(|known| known == protocol))
        .cloned()
        .collect();
    if bridges.is_empty() {
        return Err(Failure::not_found("unknown protocol"));
    }
    let query = query(fields)?;
    let path = format!("{}/{}{query}", kind.name(), encoded(protocol));
    Ok(app.third_party.bridges.look_up(bridges, &path).await)
}

/// What the application services of any protocol find by an identifier of Matrix.
pub(super) async fn by_identifier<T: DeserializeOwned + 'static>(
    app: &App,
    kind: Kind,
    (name, value): (&str, &str),
) -> Vec<T> {
    let bridges: Vec<Arc<Bridge>> = app
        .bridges
        .all()
        .filter(|bridge| !bridge.protocols.is_empty())
        .cloned()
        .collect();
    let path = format!("{}?{}", kind.name(), form(&[(name, value)]));
    app.third_party.bridges.look_up(bridges, &path).await
}

/// One description for each protocol: the first, with the instances of all.
fn merged(descriptions: Vec<(String, Protocol)>) -> BTreeMap<String, Protocol> {
    let mut merged: BTreeMap<String, Protocol> = BTreeMap::new();
    for (name, described) in descriptions {
        match merged.entry(name) {
            Entry::Vacant(place) => {
                place.insert(described);
            }
            Entry::Occupied(mut first) => {
                first.get_mut().instances.extend(described.instances);
            }
        }
    }
    merged
}

/// The fields as a query, with its question mark.
fn query(fields: &BTreeMap<String, String>) -> Result<String, Failure> {
    // Old clients give their token here, which is none of an application service's business.
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| *name != "access_token")
        .collect();
    let bytes: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if fields.len() > FIELDS_MAX || bytes > FIELDS_BYTES_MAX {
        return Err(Failure::invalid_param("too many fields, or too long ones"));
    }
    if fields.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("?{}", form(&fields)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn described(icon: &str, networks: &[&str]) -> Protocol {
        let instance =
            |network: &&str| json!({"desc": network, "network_id": network, "fields": {}});
        let instances: Vec<Value> = networks.iter().map(instance).collect();
        let told = json!({
            "user_fields": [], "location_fields": [], "icon": icon, "field_types": {}, "instances": instances
        });
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn instances_of_one_protocol_are_put_together() {
        let merged = merged(vec![
            ("irc".to_owned(), described("mxc://a/a", &["one", "two"])),
            ("xmpp".to_owned(), described("mxc://b/b", &["three"])),
            ("irc".to_owned(), described("mxc://c/c", &["four"])),
        ]);
        let told: Vec<(&str, &str, Vec<&str>)> = merged
            .iter()
            .map(|(name, described)| {
                let instances = described.instances.iter();
                let networks = instances.map(|instance| instance.network_id.as_str());
                (name.as_str(), described.icon.as_str(), networks.collect())
            })
            .collect();
        let wanted = [
            ("irc", "mxc://a/a", vec!["one", "two", "four"]),
            ("xmpp", "mxc://b/b", vec!["three"]),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn fields_are_encoded_and_bounded() {
        let asked = |fields: &[(&str, &str)]| {
            let owned = fields.iter();
            let owned = owned.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            query(&owned.collect()).map_err(|failure| failure.status())
        };
        assert_eq!(asked(&[]), Ok(String::new()));
        assert_eq!(asked(&[("access_token", "secret")]), Ok(String::new()));
        assert_eq!(
            asked(&[("channel", "#a & b"), ("access_token", "secret"), ("é", "")]),
            Ok("?channel=%23a%20%26%20b&%C3%A9=".to_owned())
        );
        let names: Vec<String> = (0..=FIELDS_MAX).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert!(asked(&many[1..]).is_ok());
        assert_eq!(asked(&many), Err(400));
        let long = "x".repeat(FIELDS_BYTES_MAX);
        assert!(asked(&[("", long.as_str())]).is_ok());
        assert_eq!(asked(&[("x", long.as_str())]), Err(400));
    }
}
