//! Events of other servers: parsed once, and put in order.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use bytes::Bytes;
use ruma::{OwnedEventId, OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use crate::room::pdu::{MalformedPdu, Pdu};

/// An event whose format, signatures and hashes were checked: canonical JSON, without `unsigned`; redacted when its content hash does not fit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct CheckedPdu {
    pdu: Arc<Pdu>,
    /// The server that brought it, where that is not the sender's.
    from: Option<OwnedServerName>,
}

/// How it goes from node to node.
#[derive(Serialize, Deserialize)]
struct Written {
    event_id: OwnedEventId,
    json: Bytes,
    #[serde(default)]
    from: Option<OwnedServerName>,
}

impl CheckedPdu {
    /// The event, to be kept.
    pub fn into_pdu(self) -> Pdu {
        Arc::unwrap_or_clone(self.pdu)
    }

    /// The same, brought by a server.
    pub fn brought_by(mut self, server: &ServerName) -> Self {
        let is_other = self.pdu.sender.server_name() != server;
        self.from = is_other.then(|| server.to_owned());
        self
    }

    /// The server that brought it, where that is not the sender's.
    pub fn carrier(&self) -> Option<&ServerName> {
        self.from.as_deref()
    }
}

impl From<Pdu> for CheckedPdu {
    fn from(pdu: Pdu) -> Self {
        Self {
            pdu: Arc::new(pdu),
            from: None,
        }
    }
}

impl TryFrom<Written> for CheckedPdu {
    type Error = MalformedPdu;

    fn try_from(written: Written) -> Result<Self, MalformedPdu> {
        let pdu = Pdu::parse(written.event_id, written.json)?;
        Ok(Self {
            pdu: Arc::new(pdu),
            from: written.from,
        })
    }
}

impl From<CheckedPdu> for Written {
    fn from(checked: CheckedPdu) -> Self {
        Self {
            event_id: checked.event_id.clone(),
            json: checked.json().clone(),
            from: checked.from,
        }
    }
}

impl Deref for CheckedPdu {
    type Target = Pdu;

    fn deref(&self) -> &Pdu {
        &self.pdu
    }
}

impl PartialEq for CheckedPdu {
    fn eq(&self, other: &Self) -> bool {
        self.event_id == other.event_id && self.json() == other.json()
    }
}

impl Eq for CheckedPdu {}

/// Events such that each stands behind those that authorise it, as far as their servers tell the truth about their depth.
pub fn in_auth_order(mut pdus: Vec<CheckedPdu>) -> Vec<CheckedPdu> {
    pdus.sort_by(|one, other| (one.depth, &one.event_id).cmp(&(other.depth, &other.event_id)));
    pdus.dedup_by(|one, other| one.event_id == other.event_id);
    pdus
}

/// Events such that each stands behind those of the list that it follows or that authorise it; otherwise in their order.
pub fn in_graph_order<T>(events: Vec<T>, pdu_of: impl Fn(&T) -> &CheckedPdu) -> Vec<T> {
    if events.len() < 2 {
        return events;
    }
    let pdus: Vec<_> = events.iter().map(&pdu_of).collect();
    let places = pdus.iter().enumerate();
    let places: BTreeMap<_, _> = places.map(|(place, pdu)| (&pdu.event_id, place)).collect();
    let needs = |place: usize| -> Vec<usize> {
        let pdu = pdus[place];
        let named = pdu.auth_events.iter().chain(&pdu.prev_events);
        named.filter_map(|id| places.get(id).copied()).collect()
    };
    let mut is_seen = vec![false; pdus.len()];
    let mut order = Vec::with_capacity(pdus.len());
    for first in 0..pdus.len() {
        // Each with those that must stand before it and were not looked at yet.
        let mut path = vec![(first, None)];
        while let Some((place, open)) = path.last_mut() {
            let place = *place;
            if open.is_none() && is_seen[place] {
                path.pop();
                continue;
            }
            is_seen[place] = true;
            match open.get_or_insert_with(|| needs(place)).pop() {
                Some(next) => path.push((next, None)),
                None => {
                    order.push(place);
                    path.pop();
                }
            }
        }
    }
    let mut events: Vec<_> = events.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(|place| events[place].take())
        .collect()
}
