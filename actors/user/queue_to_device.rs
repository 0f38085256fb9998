//! Take in to-device messages.

use playhouse_schema::{
    chain::digest,
    record::user::{ToDevice, ToDeviceReceived, UserRecord},
};
use ruma::UserId;
use serde_bytes::ByteBuf;
use serde_json::{json, value::RawValue};

use super::{
    context::UserLimits, device::DeviceState, error::UserError, json, message::UserReply,
    state::User,
};
use crate::{kernel::Decision, room::message::JsonText};

/// One command brings at most so many messages, `*` counted once.
const MESSAGES_MAX: usize = 10_000;

/// What tells a sending from all others.
pub(super) type Origin = [u8; 16];

/// What tells a sending from all others.
pub(super) fn origin(sender: &UserId, message_id: &str) -> Origin {
    // Neither a user ID nor a message ID has the zero.
    let digest = digest(format!("{sender}\0{message_id}").as_bytes());
    let mut origin = Origin::default();
    origin.copy_from_slice(&digest[..size_of::<Origin>()]);
    origin
}

/// A device that is full takes no more, and its messages are counted as refused; the others get theirs. When all are full the sender is told.
///
/// What is no message, or too large for one, is refused as a whole to a user of this server, and left out of what another server brings: that one is told
/// nothing of single messages, and does not bring the others again.
pub(super) fn decide(
    user: &User,
    (sender, event_type, origin): (&UserId, &str, Option<Origin>),
    messages: Vec<(String, JsonText)>,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if messages.len() > MESSAGES_MAX {
        return Err(UserError::TooLarge("too many messages".to_owned()));
    }
    let mut inflow = Inflow::default();
    let is_from_afar = sender.server_name() != user.user_id.server_name();
    for (device_id, content) in messages {
        let event = match event((sender, event_type), content, limits.to_device_bytes_max) {
            Ok(event) => event,
            Err(error) if is_from_afar => {
                tracing::debug!(%sender, user_id = %user.user_id, %device_id, %error, "a message to a device is left out");
                inflow.unfit += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        if device_id == "*" {
            for device in user.devices.values() {
                inflow.take(device, &event, limits);
            }
        } else if let Some(device) = user.device(device_id.as_str().into()) {
            inflow.take(device, &event, limits);
        }
    }
    let refused = inflow.refused + inflow.unfit;
    if refused > 0 {
        metrics::counter!("playhouse_to_device_refused_total").increment(refused);
    }
    if inflow.refused > 0 && inflow.taken.is_empty() {
        return Err(UserError::TooLarge(
            "too many messages wait for the device".to_owned(),
        ));
    }
    if inflow.taken.is_empty() {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let record = match origin {
        Some(origin) => UserRecord::ToDeviceReceived(ToDeviceReceived {
            origin: ByteBuf::from(origin),
            messages: inflow.taken,
        }),
        None => UserRecord::ToDeviceQueued(inflow.taken),
    };
    let records = vec![record];
    Ok(Decision::new(records, UserReply::Done))
}

/// What this command brings.
#[derive(Default)]
struct Inflow {
    taken: Vec<ToDevice>,
    /// For devices that are full.
    refused: u64,
    /// No messages, or too large.
    unfit: u64,
}

impl Inflow {
    fn take(&mut self, device: &DeviceState, event: &str, limits: &UserLimits) {
        let (mut count, mut bytes) = (device.inbox.len() + 1, device.inbox.bytes() + event.len());
        for taken in &self.taken {
            if taken.device_id == device.device_id.as_str() {
                count += 1;
                bytes += taken.json.len();
            }
        }
        if count > limits.inbox_messages_max || bytes > limits.inbox_bytes_max {
            self.refused += 1;
            return;
        }
        self.taken.push(ToDevice {
            device_id: device.device_id.to_string(),
            json: json::bytes(event),
        });
    }
}

fn event(
    (sender, event_type): (&UserId, &str),
    content: JsonText,
    bytes_max: usize,
) -> Result<String, UserError> {
    json::object(&content)?;
    let content =
        RawValue::from_string(content).map_err(|error| UserError::BadJson(error.to_string()))?;
    let head = json!({ "sender": sender, "type": event_type }).to_string();
    // The content goes through as it came: it is the last member.
    let head = head.trim_end_matches('}');
    let event = format!("{head},\"content\":{}}}", content.get());
    if event.len() > bytes_max {
        return Err(UserError::TooLarge("message is too large".to_owned()));
    }
    Ok(event)
}
