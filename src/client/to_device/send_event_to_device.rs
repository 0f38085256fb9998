//! `PUT /_matrix/client/*/sendToDevice/{eventType}/{txnId}`

use std::{collections::BTreeMap, sync::Arc};

use playhouse_actors::house::ToDeviceWish;
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::empty,
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// The body. Read here and not by ruma so that contents stay as they were sent.
#[derive(Deserialize)]
struct Body {
    messages: BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
}

/// Queues messages for devices; a repeat with the same transaction ID queues nothing.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [event_type, transaction_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let body: Body = serde_json::from_slice(&arguments.body)?;
    let messages = body.messages.into_iter().map(|(user_id, devices)| {
        let contents = devices
            .into_iter()
            .map(|(device, content)| (device, content.get().to_owned()));
        (user_id, contents.collect())
    });
    let wish = ToDeviceWish {
        event_type: event_type.clone(),
        transaction_id: transaction_id.clone(),
        messages: messages.collect(),
    };
    app.house.send_to_device(&caller.known, wish).await?;
    Ok(empty())
}
