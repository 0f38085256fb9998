//! The two steps of all handshakes: a template that a server in the room makes, and the event made of it that the server takes.

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomId, OwnedServerName, OwnedUserId,
    RoomVersionId, ServerName, events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;

use crate::{
    house::{
        House, HouseError,
        peers::{Patience, segment},
    },
    network::{PeerError, PeerMethod},
    room::{
        RoomError, VERSIONS,
        message::MemberProfile,
        receive::sign::{SignedPdu, finish_template},
    },
};

/// Who goes where, and how.
#[derive(Clone, Debug)]
pub(super) struct Journey {
    pub(super) room_id: OwnedRoomId,
    pub(super) user_id: OwnedUserId,
    /// `join`, `knock` or `leave`.
    pub(super) membership: MembershipState,
    /// The content of the member event, but for who vouches for it.
    pub(super) content: CanonicalJsonObject,
    /// For a join: the members of the room need not be told at once.
    pub(super) omit_members: bool,
}

/// An event that was made from a server's template.
pub(super) struct Finished {
    pub(super) version: RoomVersionId,
    pub(super) rules: RoomVersionRules,
    pub(super) event: SignedPdu,
    /// Another server must sign it, too.
    pub(super) needs_voucher: bool,
}

/// Why a server was no help.
pub(super) enum Setback {
    /// Another one may be.
    Peer(PeerError),
    /// It tells of a version of the room that is not known here. Another one may tell the truth.
    Version(RoomVersionId),
    /// No other one can be.
    House(HouseError),
}

impl From<PeerError> for Setback {
    fn from(error: PeerError) -> Self {
        Setback::Peer(error)
    }
}

impl From<HouseError> for Setback {
    fn from(error: HouseError) -> Self {
        Setback::House(error)
    }
}

impl Setback {
    pub(super) fn nonsense(what: impl ToString) -> Self {
        Setback::Peer(PeerError::Nonsense(what.to_string()))
    }
}

/// What is said when nobody helps.
#[derive(Default)]
pub(super) struct Setbacks {
    worst: Option<(OwnedServerName, PeerError)>,
    /// A version of the room that is not known here.
    version: Option<RoomVersionId>,
}

impl Setbacks {
    /// Notes one. A server that refuses says more than one that cannot be reached.
    pub(super) fn note(&mut self, server: &ServerName, error: PeerError) {
        tracing::info!(%server, %error, "a server does not help with a room");
        let refuses = matches!(error, PeerError::Refused { .. });
        if refuses || !self.has_refusal() {
            self.worst = Some((server.to_owned(), error));
        }
    }

    /// Notes one that tells of a version of the room that is not known here.
    pub(super) fn note_version(&mut self, server: &ServerName, version: RoomVersionId) {
        tracing::info!(%server, %version, "a server tells of an unknown version of a room");
        self.version = Some(version);
    }

    fn has_refusal(&self) -> bool {
        matches!(self.worst, Some((_, PeerError::Refused { .. })))
    }

    /// The error that tells.
    pub(super) fn into_error(self) -> HouseError {
        let has_refusal = self.has_refusal();
        match (self.worst, self.version) {
            (_, Some(version)) if !has_refusal => RoomError::UnsupportedVersion(version).into(),
            (Some((server, error)), _) => refusal(&server, error),
            (None, _) => RoomError::UnknownRoom.into(),
        }
    }
}

/// A server's refusal as what the client hears.
pub(super) fn refusal(server: &ServerName, error: PeerError) -> HouseError {
    match error {
        // What this server has sent makes no sense to the other: the client could not have asked for anything better.
        PeerError::Refused { errcode, error, .. }
            if matches!(&*errcode, "M_MISSING_PARAM" | "M_INVALID_PARAM") =>
        {
            HouseError::RefusedElsewhere {
                errcode: "M_UNKNOWN".to_owned(),
                error: format!("{errcode}: {error}"),
            }
        }
        PeerError::Refused { errcode, error, .. } if !errcode.is_empty() => {
            HouseError::RefusedElsewhere { errcode, error }
        }
        PeerError::Barred => {
            HouseError::Forbidden(format!("this server does not talk with {server}"))
        }
        PeerError::Off | PeerError::Denied => HouseError::Unreachable(server.to_owned()),
        error => HouseError::RefusedElsewhere {
            errcode: "M_UNKNOWN".to_owned(),
            error: format!("no server that is in the room helps: {error}"),
        },
    }
}

/// Whether a server does not know an endpoint.
fn is_unrecognized(error: &PeerError) -> bool {
    matches!(error, PeerError::Refused { status, errcode, .. }
        if errcode == "M_UNRECOGNIZED" || (*status == 404 && errcode.is_empty()))
}

#[derive(Deserialize)]
struct Made {
    room_version: Option<RoomVersionId>,
    event: Box<RawValue>,
}

#[derive(Deserialize)]
struct Template {
    room_id: OwnedRoomId,
    content: BTreeMap<String, IgnoredAny>,
}

impl House {
    /// The content of a member event of a user of this server. Strict canonical JSON: whether the room's version tolerates more is not known yet.
    pub(super) fn member_content(
        membership: &MembershipState,
        profile: MemberProfile,
        (reason, extra): (Option<String>, Option<&str>),
    ) -> Result<CanonicalJsonObject, HouseError> {
        let mut content: CanonicalJsonObject = match extra {
            Some(extra) => serde_json::from_str(extra)
                .map_err(|error| RoomError::BadJson(error.to_string()))?,
            None => CanonicalJsonObject::new(),
        };
        content.remove("join_authorised_via_users_server");
        let texts = [
            ("membership", Some(membership.to_string())),
            ("displayname", profile.displayname),
            ("avatar_url", profile.avatar_url.map(|url| url.to_string())),
            ("reason", reason),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                content.insert(key.to_owned(), CanonicalJsonValue::String(text));
            }
        }
        Ok(content)
    }

    /// Asks a server for a template, and makes the event.
    pub(super) async fn make_there(
        &self,
        server: &ServerName,
        journey: &Journey,
    ) -> Result<Finished, Setback> {
        let (room, user) = (
            segment(journey.room_id.as_str()),
            segment(journey.user_id.as_str()),
        );
        let word = journey.membership.as_str();
        let mut path = format!("/_matrix/federation/v1/make_{word}/{room}/{user}");
        if journey.membership != MembershipState::Leave {
            let versions = VERSIONS.iter().map(|version| format!("ver={version}"));
            path.push('?');
            path.push_str(&versions.collect::<Vec<_>>().join("&"));
        }
        let made: Made = self.ask_peer(server, path, Patience::SHORT).await?;
        let version = made.room_version.unwrap_or(RoomVersionId::V1);
        let Some(rules) = version.rules() else {
            return Err(Setback::Version(version));
        };
        let template: Template =
            serde_json::from_str(made.event.get()).map_err(Setback::nonsense)?;
        if template.room_id != journey.room_id {
            return Err(Setback::nonsense("the template is of another room"));
        }
        let needs_voucher = journey.membership == MembershipState::Join
            && template
                .content
                .contains_key("join_authorised_via_users_server");
        let event = finish_template(
            made.event.get(),
            journey.user_id.as_str(),
            journey.content.clone(),
            (&rules, &self.env),
        )
        .map_err(Setback::nonsense)?;
        Ok(Finished {
            version,
            rules,
            event,
            needs_voucher,
        })
    }

    /// Hands a finished event to the server that made its template. Version 1 of the endpoints answers with a pair of a status and the answer.
    pub(super) async fn send_there<T: DeserializeOwned + Send + 'static>(
        &self,
        server: &ServerName,
        journey: &Journey,
        (finished, patience): (&Finished, Patience),
    ) -> Result<T, PeerError> {
        let room = segment(journey.room_id.as_str());
        let event = segment(finished.event.event_id.as_str());
        let word = journey.membership.as_str();
        let is_knock = journey.membership == MembershipState::Knock;
        let version = if is_knock { "v1" } else { "v2" };
        let mut path = format!("/_matrix/federation/{version}/send_{word}/{room}/{event}");
        if journey.membership == MembershipState::Join {
            let omit_members = journey.omit_members;
            path.push_str(&format!("?omit_members={omit_members}"));
        }
        let body = &finished.event.json;
        let told = self
            .tell_peer(server, (PeerMethod::Put, path), body, patience)
            .await;
        match told {
            Err(error) if !is_knock && is_unrecognized(&error) => {}
            told => return told,
        }
        let path = format!("/_matrix/federation/v1/send_{word}/{room}/{event}");
        let (_, told): (u16, T) = self
            .tell_peer(server, (PeerMethod::Put, path), body, patience)
            .await?;
        Ok(told)
    }
}
