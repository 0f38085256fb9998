//! Which events relate to which, exactly as of the view: from the read model as far as it has come, from the timeline after that.

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::{
    address::Sequence,
    models::{
        Model as _,
        relations::{
            self, Child, Group, PARENTS_MAX, REDACTED_MAX, Relations, Wanted, relation_of,
        },
    },
};
use ruma::EventId;

use super::{
    super::{error::RoomError, event::RoomEvent},
    history::History,
    scroll::Scroll,
};

/// So many events are looked at that the model does not have yet. There are more only while it is rebuilt.
const FRESH_MAX: u64 = 2_000;

/// The children of events.
pub(super) struct Kin {
    /// The model is asked for children up to this record; 0: it need not be asked.
    pub(super) until: Sequence,
    /// Children after it, oldest first.
    pub(super) fresh: Vec<Child>,
    /// Children in the model that were redacted after it.
    redacted: Vec<Sequence>,
}

/// Groups of children by their parent.
pub(super) type Groups = BTreeMap<String, Vec<Group>>;

/// An event as somebody's child, if it is one.
pub(super) fn as_child(event: &RoomEvent) -> Option<Child> {
    let (rel_type, parent) = relation_of(event.pdu.content_json())?;
    Some(Child {
        sequence: event.sequence,
        event_id: event.pdu.event_id.to_string(),
        parent,
        rel_type,
        event_type: event.pdu.event_type.to_string(),
        sender: event.pdu.sender.to_string(),
    })
}

impl History {
    /// The children of some events.
    pub(super) async fn kin(
        &mut self,
        parents: impl Iterator<Item = &Arc<RoomEvent>>,
    ) -> Result<Kin, RoomError> {
        let window = self.window_start();
        // Children come after their parents.
        let in_window = parents.min_by_key(|parent| parent.sequence);
        if in_window.is_none_or(|oldest| oldest.sequence >= window) {
            let recent = self.room.recent.iter();
            let recent = recent.filter(|event| event.is_visible());
            return Ok(Kin {
                until: 0,
                fresh: recent.filter_map(|event| as_child(event)).collect(),
                redacted: Vec::new(),
            });
        }
        self.all_kin().await
    }

    /// The children of whichever events.
    pub(super) async fn all_kin(&mut self) -> Result<Kin, RoomError> {
        let folded = self.folded(Relations::NAME).await?;
        let until = folded.max(self.last.saturating_sub(FRESH_MAX));
        let mut kin = Kin {
            until,
            fresh: Vec::new(),
            redacted: Vec::new(),
        };
        // What a redaction takes away is recorded after it: the model may have stopped between the two.
        let mut scroll = Scroll::forwards(until, self.last);
        while !scroll.is_done() {
            for event in scroll.next(self).await? {
                if let Some(target) = &event.pdu.redacts
                    && kin.redacted.len() < REDACTED_MAX
                    && let Some(target) = self.find(target).await?
                {
                    kin.redacted.push(target.sequence);
                }
                if event.sequence > until {
                    kin.fresh.extend(as_child(&event));
                }
            }
        }
        Ok(kin)
    }

    /// The children of some events, in groups.
    pub(super) async fn groups(
        &mut self,
        kin: &Kin,
        parents: &[&EventId],
    ) -> Result<Groups, RoomError> {
        let mut groups = Groups::new();
        let models = self.models();
        let room = self.room.clone();
        let names: Vec<&str> = parents.iter().map(|parent| parent.as_str()).collect();
        let mut asked: Vec<&str> = if kin.until > 0 {
            names.clone()
        } else {
            Vec::new()
        };
        // Most events have no children: one question for a whole page instead of one for each handful.
        if asked.len() > PARENTS_MAX
            && let Some(all) =
                relations::all_parents(&*models, room.room_id.as_str(), kin.until).await?
        {
            asked.retain(|name| all.contains(*name));
        }
        for some in asked.chunks(PARENTS_MAX) {
            let bounds = (kin.until, &kin.redacted[..]);
            let found = relations::groups(&*models, room.room_id.as_str(), some, bounds).await?;
            for group in found {
                groups.entry(group.parent.clone()).or_default().push(group);
            }
        }
        for child in &kin.fresh {
            if names.contains(&child.parent.as_str()) {
                add(groups.entry(child.parent.clone()).or_default(), child);
            }
        }
        Ok(groups)
    }

    /// Children of some events from the model, in the order wanted.
    pub(super) async fn folded_children(
        &mut self,
        kin: &Kin,
        parents: &[&str],
        mut wanted: Wanted<'_>,
    ) -> Result<Vec<Child>, RoomError> {
        wanted.between.1 = wanted.between.1.min(kin.until);
        if wanted.between.0 > wanted.between.1 || wanted.limit == 0 {
            return Ok(Vec::new());
        }
        let models = self.models();
        let room_id = self.room.room_id.as_str();
        Ok(relations::children(&*models, room_id, parents, wanted).await?)
    }
}

fn add(groups: &mut Vec<Group>, child: &Child) {
    let alike = |group: &&mut Group| {
        group.rel_type == child.rel_type
            && group.event_type == child.event_type
            && group.sender == child.sender
    };
    if let Some(group) = groups.iter_mut().find(alike) {
        group.count += 1;
        group.last = group.last.max(child.sequence);
        return;
    }
    groups.push(Group {
        parent: child.parent.clone(),
        rel_type: child.rel_type.clone(),
        event_type: child.event_type.clone(),
        sender: child.sender.clone(),
        count: 1,
        last: child.sequence,
    });
}
