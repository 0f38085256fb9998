//! What an event tells of those that relate to it (client-server API, "Aggregations of child events"): the newest edit, the thread, the references.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use playhouse_schema::{
    address::Sequence,
    models::relations::{Child, Group, Wanted, relation_of},
};
use ruma::{EventId, events::room::member::MembershipState};
use serde::Deserialize;

use super::{
    super::{
        error::RoomError,
        event::{RoomEvent, push_json_string},
        message::{EventFormat, Reader},
    },
    client_form::Form,
    history::History,
    kin::{Groups, Kin},
    timeline::Shown,
    visibility::Sight,
};

/// Edits of one event that are looked at for the newest.
const EDITS_MAX: usize = 50;

/// Events of one thread that are looked at when the reader may not see all of them.
const THREAD_MAX: usize = 1_000;

/// References that one event tells of.
const REFERENCES_MAX: usize = 100;

const EDIT: &str = "m.replace";
const REFERENCE: &str = "m.reference";
pub(super) const THREAD: &str = "m.thread";

/// What is told with one event.
pub(super) struct Bundle {
    /// `m.relations`.
    pub(super) json: String,
    /// For a thread's root: the newest event that the reader may see, and whether the reader has written there.
    pub(super) thread: Option<bool>,
}

/// What is told with events, by their sequence.
pub(super) type Bundles = BTreeMap<Sequence, Bundle>;

/// A thread as the reader sees it.
struct Thread {
    count: u64,
    participated: bool,
    latest: Shown,
}

impl History {
    /// What is told with some events.
    pub(super) async fn bundles(
        &mut self,
        form: &Form<'_>,
        sight: &mut Sight,
        shown: &[Shown],
    ) -> Result<Bundles, RoomError> {
        let mut bundles = Bundles::new();
        let Some(reader) = form.reader.filter(|_| form.format == EventFormat::Client) else {
            return Ok(bundles);
        };
        let events = || shown.iter().map(|shown| &shown.event);
        let parents: Vec<_> = events().filter(|event| !event.pdu.is_state()).collect();
        let kin = self.kin(parents.iter().copied()).await?;
        let ids: Vec<&EventId> = parents.iter().map(|event| &*event.pdu.event_id).collect();
        let groups = self.groups(&kin, &ids).await?;
        let mut bundler = Bundler {
            kin,
            form,
            reader,
            sight,
        };
        for parent in parents {
            let Some(found) = groups.get(parent.pdu.event_id.as_str()) else {
                continue;
            };
            if let Some(bundle) = bundler.bundle(self, parent, found).await? {
                bundles.insert(parent.sequence, bundle);
            }
        }
        Ok(bundles)
    }
}

struct Bundler<'a> {
    kin: Kin,
    form: &'a Form<'a>,
    reader: &'a Reader,
    sight: &'a mut Sight,
}

impl Bundler<'_> {
    async fn bundle(
        &mut self,
        history: &mut History,
        parent: &Arc<RoomEvent>,
        groups: &[Group],
    ) -> Result<Option<Bundle>, RoomError> {
        let mut fields = Vec::new();
        if let Some(edit) = self.edit(history, parent, groups).await? {
            fields.push(format!("\"{EDIT}\":{edit}"));
        }
        if let Some(references) = self.references(history, parent, groups).await? {
            fields.push(format!("\"{REFERENCE}\":{references}"));
        }
        let thread = self.thread(history, parent, groups).await?;
        let participated = thread.as_ref().map(|thread| thread.participated);
        if let Some(thread) = thread {
            fields.push(self.write_thread(history, &thread).await?);
        }
        Ok((!fields.is_empty()).then(|| Bundle {
            json: format!("{{{}}}", fields.join(",")),
            thread: participated,
        }))
    }

    fn wants(&self, group: &Group, rel_type: &str) -> bool {
        let is_ignored = || {
            let ignored = self.reader.ignored.iter();
            ignored.into_iter().any(|user| *user == *group.sender)
        };
        group.rel_type == rel_type && !is_ignored()
    }

    /// The newest valid edit, as JSON.
    async fn edit(
        &mut self,
        history: &mut History,
        parent: &Arc<RoomEvent>,
        groups: &[Group],
    ) -> Result<Option<String>, RoomError> {
        let event_type = parent.pdu.event_type.to_string();
        let sender = parent.pdu.sender.as_str();
        let is_edited = groups.iter().any(|group| {
            self.wants(group, EDIT) && group.event_type == event_type && group.sender == sender
        });
        let relation = relation_of(parent.pdu.content_json());
        let is_edit = relation.is_some_and(|(rel_type, _)| rel_type == EDIT);
        if !is_edited || is_edit || parent.redacted_because().is_some() {
            return Ok(None);
        }
        let found = self.children(history, parent, (EDIT, &event_type)).await?;
        let mut newest: Option<Shown> = None;
        for child in found.iter().filter(|child| child.sender == sender) {
            let Some(edit) = self.visible_child(history, child).await? else {
                continue;
            };
            let age = |event: &RoomEvent| {
                let pdu = &event.pdu;
                (pdu.origin_server_ts, pdu.event_id.clone())
            };
            let is_newer = newest
                .as_ref()
                .is_none_or(|known| age(&known.event) < age(&edit.event));
            if is_newer && has_new_content(&edit.event) {
                newest = Some(edit);
            }
        }
        Ok(newest.map(|edit| self.text(&edit.event, &edit.membership, None)))
    }

    async fn references(
        &mut self,
        history: &mut History,
        parent: &Arc<RoomEvent>,
        groups: &[Group],
    ) -> Result<Option<String>, RoomError> {
        if !groups.iter().any(|group| self.wants(group, REFERENCE)) {
            return Ok(None);
        }
        let mut found = self.children(history, parent, (REFERENCE, "")).await?;
        found.reverse();
        let mut out = String::from("{\"chunk\":[");
        let mut count = 0;
        for child in &found {
            if let Some(shown) = self.visible_child(history, child).await? {
                out.push_str(if count > 0 { "," } else { "" });
                out.push_str("{\"event_id\":");
                push_json_string(&mut out, shown.event.pdu.event_id.as_str());
                out.push('}');
                count += 1;
            }
        }
        out.push_str("]}");
        Ok((count > 0).then_some(out))
    }

    /// The thread of which an event is the root.
    async fn thread(
        &mut self,
        history: &mut History,
        root: &Arc<RoomEvent>,
        groups: &[Group],
    ) -> Result<Option<Thread>, RoomError> {
        let own = self.reader.user_id.as_str();
        let wanted = groups.iter().filter(|group| self.wants(group, THREAD));
        let mut latest = 0;
        let (mut count, mut participated) = (0, root.pdu.sender == own);
        for group in wanted {
            latest = latest.max(group.last);
            count += group.count;
            participated |= group.sender == own;
        }
        // An event that relates to another one is no root.
        if count == 0 || relation_of(root.pdu.content_json()).is_some() {
            return Ok(None);
        }
        if !self.sight.sees_all_after(history, root) {
            return self.seen_thread(history, root).await;
        }
        let Some(event) = history.event(latest).await? else {
            return Ok(None);
        };
        let judgement = self.sight.judge(history, &event).await?;
        Ok(judgement.visible.then_some(Thread {
            count,
            participated,
            latest: Shown {
                event,
                membership: judgement.membership,
            },
        }))
    }

    /// A thread of which the reader may see a part: that part, counted event by event.
    async fn seen_thread(
        &mut self,
        history: &mut History,
        root: &Arc<RoomEvent>,
    ) -> Result<Option<Thread>, RoomError> {
        let own = self.reader.user_id.as_str();
        let (mut count, mut newest) = (0, None);
        let mut participated = root.pdu.sender == own;
        for child in self.children(history, root, (THREAD, "")).await? {
            if let Some(shown) = self.visible_child(history, &child).await? {
                count += 1;
                participated |= child.sender == own;
                newest.get_or_insert(shown);
            }
        }
        Ok(newest.map(|latest| Thread {
            count,
            participated,
            latest,
        }))
    }

    async fn write_thread(
        &mut self,
        history: &mut History,
        thread: &Thread,
    ) -> Result<String, RoomError> {
        let latest = &thread.latest.event;
        let groups: Groups = history.groups(&self.kin, &[&latest.pdu.event_id]).await?;
        let edit = match groups.get(latest.pdu.event_id.as_str()) {
            Some(groups) => self.edit(history, latest, groups).await?,
            None => None,
        };
        let relations = edit.map(|edit| format!("{{\"{EDIT}\":{edit}}}"));
        let text = self.text(latest, &thread.latest.membership, relations.as_deref());
        let mut out = format!("\"{THREAD}\":{{\"latest_event\":{text}");
        let _ = write!(
            out,
            ",\"count\":{},\"current_user_participated\":{}}}",
            thread.count, thread.participated
        );
        Ok(out)
    }

    /// Children of one kind, newest first.
    async fn children(
        &mut self,
        history: &mut History,
        parent: &Arc<RoomEvent>,
        (rel_type, event_type): (&str, &str),
    ) -> Result<Vec<Child>, RoomError> {
        let limit = match rel_type {
            EDIT => EDITS_MAX,
            THREAD => THREAD_MAX,
            _ => REFERENCES_MAX,
        };
        let parent = parent.pdu.event_id.as_str();
        let fits = |child: &&Child| {
            child.parent == parent
                && child.rel_type == rel_type
                && (event_type.is_empty() || child.event_type == event_type)
        };
        let fresh = self.kin.fresh.iter().rev().filter(fits);
        let mut found: Vec<_> = fresh.take(limit).cloned().collect();
        let wanted = Wanted {
            rel_type,
            event_type,
            between: (1, Sequence::MAX),
            backwards: true,
            limit: limit - found.len(),
        };
        found.extend(
            history
                .folded_children(&self.kin, &[parent], wanted)
                .await?,
        );
        let numbers: Vec<_> = found.iter().map(|child| child.sequence).collect();
        history.load(&numbers).await?;
        Ok(found)
    }

    /// A child that the reader may see and that is one still.
    async fn visible_child(
        &mut self,
        history: &mut History,
        child: &Child,
    ) -> Result<Option<Shown>, RoomError> {
        visible_child(history, self.sight, self.reader, child).await
    }

    fn text(
        &self,
        event: &RoomEvent,
        membership: &MembershipState,
        relations: Option<&str>,
    ) -> String {
        let bytes = self.form.bundled(event, membership, None, relations);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A child as an event, if the reader may see it, ignores nobody for it, and it was not redacted.
pub(super) async fn visible_child(
    history: &mut History,
    sight: &mut Sight,
    reader: &Reader,
    child: &Child,
) -> Result<Option<Shown>, RoomError> {
    let Some(event) = history.event(child.sequence).await? else {
        return Ok(None);
    };
    let is_child = relation_of(event.pdu.content_json())
        .is_some_and(|(rel_type, parent)| rel_type == child.rel_type && parent == child.parent);
    if !is_child || reader.ignored.contains(&event.pdu.sender) {
        return Ok(None);
    }
    let judgement = sight.judge(history, &event).await?;
    Ok(judgement.visible.then_some(Shown {
        event,
        membership: judgement.membership,
    }))
}

/// Whether an edit says what the new content is; an encrypted one says it inside.
fn has_new_content(event: &RoomEvent) -> bool {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.new_content")]
        new_content: Option<serde::de::IgnoredAny>,
    }
    let is_encrypted = event.pdu.event_type.to_string() == "m.room.encrypted";
    let content = event.pdu.content_as::<Content>();
    !event.pdu.is_state()
        && (is_encrypted || content.is_some_and(|content| content.new_content.is_some()))
}
