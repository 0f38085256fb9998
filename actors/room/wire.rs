//! Events as they go out to other servers.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use ruma::{ServerName, UserId};
use serde::{Deserialize, de::IgnoredAny};

use super::{canonical::Canonical, pdu::Pdu};

/// The bytes of an event for other servers: as stored, but without `unsigned`, which is this server's own (what redacted it, what has expired) or was that
/// of the server it came from. Neither hashes nor signatures cover it.
pub fn wire_form(pdu: &Pdu) -> Bytes {
    let json = pdu.json();
    let text = std::str::from_utf8(json).ok();
    let Some(text) = text.filter(|text| text.contains("\"unsigned\"")) else {
        return json.clone();
    };
    let Ok(mut canonical) = Canonical::received(text) else {
        return json.clone();
    };
    match canonical.object.remove("unsigned") {
        Some(_) => Bytes::from(canonical.to_text()),
        None => json.clone(),
    }
}

/// Whether another server handed this event to this one, which is to send it to the other servers of the room (server-server API, "Joining Rooms",
/// "Leaving Rooms"): a change of a user's own membership, or an invite that an identity server vouches for, with this server's signature beside that of
/// its sender's.
pub fn is_handed_in(own: &ServerName, pdu: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Marks<'a> {
        #[serde(rename = "type", borrow)]
        event_type: Cow<'a, str>,
        #[serde(borrow)]
        sender: Cow<'a, str>,
        #[serde(borrow)]
        state_key: Option<Cow<'a, str>>,
        content: Content,
        signatures: BTreeMap<String, IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Content {
        third_party_invite: Option<IgnoredAny>,
    }
    let Ok(marks) = serde_json::from_slice::<Marks<'_>>(pdu) else {
        return false;
    };
    let is_own = UserId::parse(&*marks.sender).is_ok_and(|sender| sender.server_name() == own);
    marks.event_type == "m.room.member"
        && !is_own
        && marks.signatures.contains_key(own.as_str())
        && (marks.state_key.as_deref() == Some(&*marks.sender)
            || marks.content.third_party_invite.is_some())
}
