//! Creating a room (client-server API, `POST /createRoom`).

mod defaults;

use bytes::Bytes;
use playhouse_schema::record::room::{
    DirectoryVisibilitySet, EventRecord, Placement, RoomRecord, Verdict,
};
use ruma::{
    CanonicalJsonValue, EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
    state_res::check_state_independent_auth_rules,
};

use super::{
    Room, RoomError, RoomReply,
    build::{NewEvent, build_create, hashed_event_id, reference_hash},
    canonical::Canonical,
    membership,
    message::{CreateRoom, MemberProfile, NewRoom, Preset, StateContent},
    pdu::Pdu,
    send_event::make,
};
use crate::{env::Env, kernel::Decision};

/// Where the room ID is the hash of the create event, this key of its content makes sure that two rooms which the same user makes alike in the same
/// millisecond, perhaps on two nodes, are two.
const SALT: &str = "playhouse.salt";

/// Random characters of a salt: 130 bits.
const SALT_CHARACTERS: usize = 22;

/// Makes the create event, from which the room ID follows, and the command to be sent to that room.
pub fn prepare(env: &Env, request: NewRoom) -> Result<(OwnedRoomId, CreateRoom), RoomError> {
    let rules = request
        .version
        .rules()
        .ok_or_else(|| RoomError::UnsupportedVersion(request.version.clone()))?;
    let (content, additional_creators) = create_content(env, &rules, &request)?;
    let is_hashed = rules.authorization.room_create_event_id_as_room_id;
    let given = if is_hashed {
        None
    } else {
        Some(random_room_id(env))
    };
    let event = NewEvent::state(
        request.creator.clone(),
        TimelineEventType::RoomCreate,
        "",
        content,
    );
    let create = build_create(env, &rules, given.clone(), event)?.pdu;
    let room_id = given.unwrap_or_else(|| room_id_of(&create.event_id));
    let command = CreateRoom {
        create_pdu: String::from_utf8_lossy(create.json()).into_owned(),
        create_event_id: create.event_id,
        additional_creators,
        // It is in the create event.
        wish: NewRoom {
            creation_content: None,
            ..request
        },
    };
    Ok((room_id, command))
}

/// The create event's content, and the creators besides the sender.
fn create_content(
    env: &Env,
    rules: &RoomVersionRules,
    request: &NewRoom,
) -> Result<(Canonical, Vec<OwnedUserId>), RoomError> {
    let auth = &rules.authorization;
    let mut content = match &request.creation_content {
        Some(text) => Canonical::parse(text, auth.strict_canonical_json, env)?,
        None => Canonical::default(),
    };
    content.object.remove("creator");
    content.object.remove(SALT);
    if auth.room_create_event_id_as_room_id {
        content.set_string(SALT, env.random_string(SALT_CHARACTERS));
    }
    content.set_string("room_version", request.version.as_str());
    if !auth.use_room_create_sender {
        content.set_string("creator", request.creator.as_str());
    }
    if let Some(federate) = content.object.get("m.federate")
        && !matches!(federate, CanonicalJsonValue::Bool(_))
    {
        return Err(bad("`m.federate` must be true or false"));
    }
    let mut creators = Vec::new();
    if auth.additional_room_creators {
        creators = additional_creators(&content, request)?;
        content.object.remove("additional_creators");
        if !creators.is_empty() {
            let list = creators
                .iter()
                .map(|user_id| CanonicalJsonValue::String(user_id.to_string()))
                .collect();
            content.object.insert(
                "additional_creators".to_owned(),
                CanonicalJsonValue::Array(list),
            );
        }
    }
    Ok((content, creators))
}

fn additional_creators(
    content: &Canonical,
    request: &NewRoom,
) -> Result<Vec<OwnedUserId>, RoomError> {
    let mut creators = Vec::new();
    if let Some(listed) = content.object.get("additional_creators") {
        let listed = listed
            .as_array()
            .ok_or_else(|| bad("`additional_creators` must be a list"))?;
        for user_id in listed {
            let user_id = user_id
                .as_str()
                .and_then(|user_id| UserId::parse(user_id).ok())
                .ok_or_else(|| bad("`additional_creators` must be user IDs"))?;
            creators.push(user_id);
        }
    }
    if request.preset == Preset::TrustedPrivateChat {
        creators.extend(request.invites.iter().map(|(user_id, _)| user_id.clone()));
    }
    let mut unique: Vec<OwnedUserId> = Vec::new();
    for user_id in creators {
        if user_id != request.creator && !unique.contains(&user_id) {
            unique.push(user_id);
        }
    }
    Ok(unique)
}

fn random_room_id(env: &Env) -> OwnedRoomId {
    let text = format!("!{}:{}", env.random_string(18), env.server_name());
    RoomId::parse(text).expect("letters and a server name are a valid room ID")
}

/// The room ID of room version 12: the create event's ID with another sigil.
fn room_id_of(create_event_id: &EventId) -> OwnedRoomId {
    let text = create_event_id.as_str().replacen('$', "!", 1);
    RoomId::parse(text).expect("a hash in base64 is a valid room ID")
}

/// Judges [`CreateRoom`]. All of the room's first events come out together, or none does.
pub(super) fn decide(
    room: &Room,
    env: &Env,
    create: CreateRoom,
) -> Result<Decision<Room>, RoomError> {
    if room.exists() {
        return Err(RoomError::InvalidRoomState("the room exists".to_owned()));
    }
    let rules = create
        .wish
        .version
        .rules()
        .ok_or_else(|| RoomError::UnsupportedVersion(create.wish.version.clone()))?;
    let mut draft = Draft {
        room: room.clone(),
        env,
        creator: create.wish.creator.clone(),
        records: Vec::new(),
    };
    let first = first_record(room, &rules, &create)?;
    draft.take(RoomRecord::Event(first));
    if !draft.room.exists() || draft.room.rules.is_none() {
        return Err(bad("the create event is of no known room version"));
    }
    draft.join(&create)?;
    let power_levels = defaults::power_levels(&rules, &create.wish)?;
    draft
        .state(StateEventType::RoomPowerLevels, power_levels)
        .map_err(|error| match error {
            RoomError::Forbidden(reason) => RoomError::BadJson(reason),
            other => other,
        })?;
    draft.rest(&create).map_err(|error| match error {
        RoomError::Forbidden(reason) => RoomError::InvalidRoomState(reason),
        other => other,
    })?;
    Ok(Decision::new(draft.records, RoomReply::Done))
}

/// The create event's record, checked against the room it is sent to.
fn first_record(
    room: &Room,
    rules: &RoomVersionRules,
    create: &CreateRoom,
) -> Result<EventRecord, RoomError> {
    let json = Bytes::from(create.create_pdu.clone());
    let pdu = Pdu::parse(create.create_event_id.clone(), json)
        .map_err(|error| RoomError::BadJson(error.to_string()))?;
    let is_hashed = rules.authorization.room_create_event_id_as_room_id;
    let room_id = if is_hashed {
        Some(room_id_of(&create.create_event_id))
    } else {
        pdu.room_id.clone()
    };
    let hash = reference_hash(&create.create_pdu, rules)?;
    let is_given_id = rules.event_format.require_event_id;
    let fits = pdu.event_type == TimelineEventType::RoomCreate
        && pdu.state_key.as_deref() == Some("")
        && pdu.sender == create.wish.creator
        && room_id.as_ref() == Some(&room.room_id)
        && (is_given_id || hashed_event_id(&hash, rules) == create.create_event_id);
    if !fits {
        return Err(bad("the create event is not one of this room"));
    }
    check_state_independent_auth_rules(&rules.authorization, &pdu, |_: &EventId| None::<&Pdu>)
        .map_err(RoomError::Forbidden)?;
    Ok(EventRecord {
        event_id: create.create_event_id.to_string(),
        pdu: create.create_pdu.clone().into_bytes().into(),
        before: 0,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Live,
        transaction: None,
        from: None,
    })
}

/// A room in the making: each event is judged on the state that those before it left.
struct Draft<'a> {
    room: Room,
    env: &'a Env,
    creator: OwnedUserId,
    records: Vec<RoomRecord>,
}

impl Draft<'_> {
    fn take(&mut self, record: RoomRecord) {
        self.room.take_in(self.room.sequence + 1, 0, &record);
        self.records.push(record);
    }

    fn add(&mut self, event: NewEvent) -> Result<OwnedEventId, RoomError> {
        let built = make(&self.room, self.env, event)?;
        let record = built.record(&self.room, None);
        self.take(RoomRecord::Event(record));
        Ok(built.pdu.event_id)
    }

    fn state(&mut self, event_type: StateEventType, content: Canonical) -> Result<(), RoomError> {
        let event_type = TimelineEventType::from(event_type.to_string());
        let event = NewEvent::state(self.creator.clone(), event_type, "", content);
        self.add(event).map(drop)
    }

    fn join(&mut self, create: &CreateRoom) -> Result<(), RoomError> {
        let creator = create.wish.creator.clone();
        let mut content = Canonical::default();
        content.set_string("membership", MembershipState::Join.as_str());
        membership::put_profile(&mut content, &create.wish.creator_profile);
        let event = NewEvent::state(
            creator.clone(),
            TimelineEventType::RoomMember,
            creator.as_str(),
            content,
        );
        self.add(event).map(drop)
    }

    /// Everything after the power levels, in the order of the specification.
    fn rest(&mut self, create: &CreateRoom) -> Result<(), RoomError> {
        if let Some(alias) = &create.wish.alias {
            let mut content = Canonical::default();
            content.set_string("alias", alias.as_str());
            self.state(StateEventType::RoomCanonicalAlias, content)?;
        }
        for (event_type, content) in defaults::preset_state(create.wish.preset) {
            if !sets(&create.wish.initial_state, &event_type) {
                self.state(event_type, content)?;
            }
        }
        for state in &create.wish.initial_state {
            self.initial_state(create, state)?;
        }
        if let Some(name) = &create.wish.name {
            let mut content = Canonical::default();
            content.set_string("name", name);
            self.state(StateEventType::RoomName, content)?;
        }
        if let Some(topic) = &create.wish.topic {
            self.state(StateEventType::RoomTopic, defaults::topic(topic))?;
        }
        for (user_id, profile) in &create.wish.invites {
            self.invite(user_id, profile, create.wish.is_direct)?;
        }
        if create.wish.public {
            let listed = DirectoryVisibilitySet { public: true };
            self.take(RoomRecord::DirectoryVisibilitySet(listed));
        }
        Ok(())
    }

    fn initial_state(
        &mut self,
        create: &CreateRoom,
        state: &StateContent,
    ) -> Result<(), RoomError> {
        // Name and topic of the request take the place of those in the initial state.
        let is_overridden = state.state_key.is_empty()
            && (state.event_type == StateEventType::RoomName && create.wish.name.is_some()
                || state.event_type == StateEventType::RoomTopic && create.wish.topic.is_some());
        if is_overridden {
            return Ok(());
        }
        if state.event_type == StateEventType::RoomCreate {
            return Err(bad("the create event is no part of the initial state"));
        }
        let is_strict = self.room.rules()?.authorization.strict_canonical_json;
        let mut event = NewEvent::state(
            self.creator.clone(),
            TimelineEventType::from(state.event_type.to_string()),
            state.state_key.as_str(),
            Canonical::parse(&state.content, is_strict, self.env)?,
        );
        if event.event_type == TimelineEventType::RoomMember {
            membership::check_custom(&self.room, &mut event, false)?;
        }
        self.add(event).map(drop)
    }

    fn invite(
        &mut self,
        user_id: &UserId,
        profile: &MemberProfile,
        is_direct: bool,
    ) -> Result<(), RoomError> {
        let mut content = Canonical::default();
        content.set_string("membership", MembershipState::Invite.as_str());
        membership::put_profile(&mut content, profile);
        if is_direct {
            content
                .object
                .insert("is_direct".to_owned(), CanonicalJsonValue::Bool(true));
        }
        let event = NewEvent::state(
            self.creator.clone(),
            TimelineEventType::RoomMember,
            user_id.as_str(),
            content,
        );
        self.add(event).map(drop)
    }
}

fn sets(initial_state: &[StateContent], event_type: &StateEventType) -> bool {
    initial_state
        .iter()
        .any(|state| state.event_type == *event_type && state.state_key.is_empty())
}

fn bad(text: &str) -> RoomError {
    RoomError::BadJson(text.to_owned())
}
