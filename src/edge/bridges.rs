//! Application services: bridges and bots that act for users of their own (application service API, "Registration"). Here stands who they are, for whom they
//! may act, and which names nobody else may take.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
    sync::Arc,
};

use playhouse_schema::record::user::RateOverride;
use regex::{Regex, RegexBuilder};
use ruma::{OwnedUserId, RoomAliasId, ServerName, UserId, api::error::ErrorCode};
use serde::Deserialize;

use super::Failure;
use crate::config::Config;

/// A registration file has at most so many bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A compiled pattern takes at most so much memory.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// No bound at all.
const UNBOUNDED: RateOverride = RateOverride {
    per_second: 0,
    burst: 0,
};

/// An application service.
pub(crate) struct Bridge {
    /// Its ID.
    pub(crate) id: String,
    /// Its own user.
    pub(crate) sender: OwnedUserId,
    /// Where it listens, without a slash at the end; `None`: nothing is sent to it.
    pub(crate) url: Option<String>,
    /// By what this server proves to it that it is this server.
    pub(crate) hs_token: String,
    /// The networks behind it.
    pub(crate) protocols: Vec<String>,
    /// How fast it may come, where that is not as for everybody.
    pub(crate) rate: Option<RateOverride>,
    users: Vec<Namespace>,
    aliases: Vec<Namespace>,
}

/// Its tokens are nobody's to read.
impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("id", &self.id).finish()
    }
}

struct Namespace {
    pattern: Regex,
    exclusive: bool,
}

impl Namespace {
    fn holds(&self, name: &str) -> bool {
        // Patterns are meant to fit from the beginning on; bridges end theirs where they mean it.
        self.pattern
            .find(name)
            .is_some_and(|found| found.start() == 0)
    }
}

impl Bridge {
    /// Whether it may act for this user.
    pub(crate) fn acts_for(&self, user_id: &UserId) -> bool {
        let holds = |space: &Namespace| space.holds(user_id.as_str());
        user_id.server_name() == self.sender.server_name()
            && (self.sender == *user_id || self.users.iter().any(holds))
    }

    fn keeps_user(&self, user_id: &UserId) -> bool {
        let keeps = |space: &Namespace| space.exclusive && space.holds(user_id.as_str());
        self.sender == *user_id || self.users.iter().any(keeps)
    }

    fn has_alias(&self, alias: &RoomAliasId, only_exclusive: bool) -> bool {
        let mut spaces = self.aliases.iter();
        spaces.any(|space| (space.exclusive || !only_exclusive) && space.holds(alias.as_str()))
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Bridges {
    /// By the hash of the token, so that nothing is learnt from how long a comparison takes.
    by_token: BTreeMap<[u8; 32], Arc<Bridge>>,
    /// In the order of the configuration.
    list: Vec<Arc<Bridge>>,
}

#[derive(Deserialize)]
struct Registration {
    id: String,
    url: Option<String>,
    as_token: String,
    hs_token: String,
    sender_localpart: String,
    #[serde(default)]
    namespaces: Namespaces,
    #[serde(default)]
    rate_limited: Option<bool>,
    #[serde(default)]
    protocols: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
struct Namespaces {
    #[serde(default)]
    users: Vec<Space>,
    #[serde(default)]
    aliases: Vec<Space>,
    /// Of rooms nothing is kept from anybody: only that it can be read matters.
    #[serde(default)]
    rooms: Vec<Space>,
}

#[derive(Deserialize)]
struct Space {
    regex: String,
    exclusive: bool,
}

impl Bridges {
    /// Reads the registration files that the configuration names.
    ///
    /// # Errors
    ///
    /// Which file cannot be used, and why.
    pub(crate) fn open(config: &Config) -> Result<Self, String> {
        let server_name = ServerName::parse(&config.server.name)
            .map_err(|error| format!("[server] name: {error}"))?;
        let (mut bridges, mut ids) = (Self::default(), BTreeSet::new());
        for file in &config.application_services.registrations {
            let named = |problem: String| format!("application service {file}: {problem}");
            let text = read(&config.in_data_dir(file)).map_err(named)?;
            let (bridge, token) = parse(&text, &server_name).map_err(named)?;
            if !ids.insert(bridge.id.clone()) {
                return Err(named(format!("the id `{}` is taken", bridge.id)));
            }
            if !bridges.add(bridge, token) {
                return Err(named("another one has the same as_token".to_owned()));
            }
        }
        Ok(bridges)
    }

    fn add(&mut self, bridge: Bridge, token: [u8; 32]) -> bool {
        let bridge = Arc::new(bridge);
        self.list.push(bridge.clone());
        self.by_token.insert(token, bridge).is_none()
    }

    /// The one with this token.
    pub(crate) fn of_token(&self, token: &str) -> Option<&Arc<Bridge>> {
        self.by_token.get(blake3::hash(token.as_bytes()).as_bytes())
    }

    /// All of them, in the order of the configuration.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Bridge>> {
        self.list.iter()
    }

    /// Whether a user ID is one of those that are kept for another application service.
    pub(crate) fn keep_user(&self, user_id: &UserId, asker: Option<&Bridge>) -> bool {
        self.others(asker).any(|bridge| bridge.keeps_user(user_id))
    }

    /// Refuses a new account whose user ID is kept for an application service.
    pub(crate) fn check_user(&self, user_id: &UserId) -> Result<(), Failure> {
        match self.keep_user(user_id, None) {
            true => Err(exclusive(
                "this user name is kept for an application service",
            )),
            false => Ok(()),
        }
    }

    /// Refuses an alias that is kept for another application service, or that the one which asks has not reserved.
    pub(crate) fn check_alias(
        &self,
        alias: &RoomAliasId,
        asker: Option<&Bridge>,
    ) -> Result<(), Failure> {
        if asker.is_some_and(|bridge| !bridge.has_alias(alias, false)) {
            return Err(exclusive(
                "this application service has not reserved such aliases",
            ));
        }
        match self
            .others(asker)
            .any(|bridge| bridge.has_alias(alias, true))
        {
            true => Err(exclusive("this alias is kept for an application service")),
            false => Ok(()),
        }
    }

    fn others(&self, asker: Option<&Bridge>) -> impl Iterator<Item = &Arc<Bridge>> {
        let asker = asker.map(|bridge| bridge.id.as_str());
        self.all().filter(move |bridge| asker != Some(&bridge.id))
    }
}

/// `M_EXCLUSIVE`.
pub(crate) fn exclusive(message: &'static str) -> Failure {
    Failure::new(ErrorCode::Exclusive, message)
}

fn read(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err("it is too large".to_owned());
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

fn parse(text: &str, server_name: &ServerName) -> Result<(Bridge, [u8; 32]), String> {
    let file: Registration = serde_norway::from_str(text).map_err(|error| {
        // Where it is wrong, and not what stands there, which may be a token.
        let place = error.location().map_or(0, |place| place.line());
        format!("it is no registration (line {place})")
    })?;
    if file.id.is_empty() || file.as_token.is_empty() || file.hs_token.is_empty() {
        return Err("id, as_token and hs_token must not be empty".to_owned());
    }
    let sender = UserId::parse(format!("@{}:{server_name}", file.sender_localpart))
        .map_err(|error| format!("sender_localpart: {error}"))?;
    let url = file.url.filter(|url| !url.is_empty() && url != "null");
    if let Some(url) = &url {
        let parsed = url::Url::parse(url).map_err(|error| format!("url: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err("url must begin with http:// or https://".to_owned());
        }
    }
    compiled(file.namespaces.rooms)?;
    let bridge = Bridge {
        id: file.id,
        sender,
        url: url.map(|url| url.trim_end_matches('/').to_owned()),
        hs_token: file.hs_token,
        protocols: file.protocols.unwrap_or_default(),
        rate: (file.rate_limited == Some(false)).then_some(UNBOUNDED),
        users: compiled(file.namespaces.users)?,
        aliases: compiled(file.namespaces.aliases)?,
    };
    Ok((bridge, *blake3::hash(file.as_token.as_bytes()).as_bytes()))
}

fn compiled(spaces: Vec<Space>) -> Result<Vec<Namespace>, String> {
    let compile = |space: Space| {
        let pattern = RegexBuilder::new(&space.regex)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| format!("regex `{}`: {error}", space.regex))?;
        Ok(Namespace {
            pattern,
            exclusive: space.exclusive,
        })
    };
    spaces.into_iter().map(compile).collect()
}

#[cfg(test)]
mod tests {
    use ruma::{room_alias_id, server_name, user_id};

    use super::*;

    const FILE: &str = r##"
id: irc
url: http://127.0.0.1:9000/
as_token: secret-as
hs_token: secret-hs
sender_localpart: ircbot
namespaces:
  users: [{regex: "@irc_.*:here\\.test", exclusive: true}]
  aliases: [{regex: "#irc_.*", exclusive: true}, {regex: "#open_.*", exclusive: false}]
  rooms: []
rate_limited: false
protocols: [irc]
"##;

    fn bridges() -> Bridges {
        let (bridge, token) = parse(FILE, server_name!("here.test")).unwrap();
        let mut bridges = Bridges::default();
        assert!(bridges.add(bridge, token));
        bridges
    }

    #[test]
    fn a_registration_is_read() {
        let bridges = bridges();
        assert!(bridges.of_token("secret-hs").is_none());
        let bridge = bridges.of_token("secret-as").unwrap();
        assert_eq!(bridge.url.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(bridge.rate, Some(UNBOUNDED));
        assert!(!format!("{bridge:?}").contains("secret"));
        for (user, acts) in [
            (user_id!("@irc_anna:here.test"), true),
            (user_id!("@ircbot:here.test"), true),
            (user_id!("@anna:here.test"), false),
            (user_id!("@irc_anna:else.test"), false),
        ] {
            assert_eq!(bridge.acts_for(user), acts, "{user}");
        }
    }

    #[test]
    fn names_are_kept_for_their_owner() {
        let bridges = bridges();
        let bridge = bridges.of_token("secret-as").map(|bridge| &**bridge);
        let user = user_id!("@irc_anna:here.test");
        assert!(bridges.check_user(user).is_err());
        assert!(bridges.check_user(user_id!("@ircbot:here.test")).is_err());
        assert!(bridges.check_user(user_id!("@anna_irc_:here.test")).is_ok());
        assert!(!bridges.keep_user(user, bridge));
        let (kept, open) = (
            room_alias_id!("#irc_a:here.test"),
            room_alias_id!("#open_a:here.test"),
        );
        assert!(bridges.check_alias(kept, None).is_err());
        assert!(bridges.check_alias(kept, bridge).is_ok());
        assert!(bridges.check_alias(open, None).is_ok());
        assert!(bridges.check_alias(open, bridge).is_ok());
        assert!(
            bridges
                .check_alias(room_alias_id!("#other:here.test"), bridge)
                .is_err()
        );
    }

    #[test]
    fn what_is_no_registration_is_refused_without_its_secrets() {
        for (from, to) in [
            ("regex: \"@irc_", "regex: \"(@irc_"),
            ("as_token: secret-as", "as_token: \"\""),
            ("as_token: secret-as", "as_token: [secret-as]"),
            ("url: http", "url: gopher"),
            ("sender_localpart: ircbot", "sender_localpart: \"a:b:c d\""),
            ("id: irc", "name: irc"),
        ] {
            let text = FILE.replace(from, to);
            let problem = parse(&text, server_name!("here.test"))
                .err()
                .unwrap_or_default();
            assert!(
                !problem.is_empty() && !problem.contains("secret"),
                "{to}: {problem}"
            );
        }
    }
}
