//! `PUT /_matrix/federation/v1/send/{txnId}`

use std::sync::Arc;

use playhouse_actors::house::ReceivedEdu;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::edge::{App, Arguments, Failure, Peer, RawJson};

/// So many events a transaction may bring (server-server API, "Transactions").
const PDUS_MAX: usize = 50;

/// So many ephemeral events.
const EDUS_MAX: usize = 100;

#[derive(Deserialize)]
struct Transaction {
    #[serde(default)]
    pdus: Vec<Box<RawValue>>,
    #[serde(default)]
    edus: Vec<Box<RawValue>>,
}

/// Takes in a transaction: answered when all of it is durable. A repeated one finds its events known and its messages delivered.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    // The parser would take a list for the fields in their order.
    if !arguments.body.trim_ascii_start().starts_with(b"{") {
        return Err(Failure::bad_json("a transaction is an object"));
    }
    let transaction: Transaction = serde_json::from_slice(&arguments.body)
        .map_err(|error| Failure::bad_json(error.to_string()))?;
    if transaction.pdus.len() > PDUS_MAX || transaction.edus.len() > EDUS_MAX {
        return Err(Failure::invalid_param(
            "a transaction has at most 50 PDUs and 100 EDUs",
        ));
    }
    let _turn = app.origins.enter(&peer.origin).await?;
    let edus = transaction.edus.iter();
    let edus = edus.filter_map(|edu| serde_json::from_str::<ReceivedEdu>(edu.get()).ok());
    // Messages to devices bring the keys of what comes after them; what was read may be among the events.
    let (after, before): (Vec<_>, Vec<_>) = edus.partition(ReceivedEdu::follows_events);
    for edu in before {
        app.house.receive_edu(&peer.origin, edu).await?;
    }
    let outcomes = app
        .house
        .receive_pdus(&peer.origin, transaction.pdus)
        .await?;
    for edu in after {
        app.house.receive_edu(&peer.origin, edu).await?;
    }
    let mut pdus = Map::new();
    for (event_id, outcome) in outcomes {
        let told = match outcome {
            Ok(()) => json!({}),
            Err(error) => json!({ "error": error }),
        };
        pdus.insert(event_id.to_string(), told);
    }
    let answer = Value::from(Map::from_iter([("pdus".to_owned(), pdus.into())]));
    Ok(RawJson(answer.to_string().into()))
}
