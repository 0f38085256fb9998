//! `GET /_playhouse/admin/v1/rooms/{room_id}/storage`

use std::sync::Arc;

use playhouse_schema::{
    port::KindSize,
    record::{ERASURE, Kind, room::kind},
};
use ruma::{
    OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use crate::edge::{Admin, App, Failure};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/rooms/{room_id}/storage",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// Its ID.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// What it takes.
#[response]
pub(crate) struct Response {
    /// Records in all.
    pub(crate) records: u64,
    /// Their bytes, as they are encoded.
    pub(crate) bytes: u64,
    /// The bytes of the snapshot from which it wakes.
    pub(crate) snapshot_bytes: u64,
    /// There are so many records that the oldest were not measured.
    pub(crate) partial: bool,
    /// By kind.
    pub(crate) kinds: Vec<Shown>,
}

/// What records of a kind take.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    kind: String,
    records: u64,
    bytes: u64,
}

fn name(of: Kind) -> String {
    let known = match of {
        kind::EVENT => "event",
        kind::STATE_SET => "state_set",
        kind::RECEIPT_MOVED => "receipt",
        kind::DIRECTORY_VISIBILITY_SET => "directory_visibility",
        kind::MEMBERSHIP_TOLD => "membership_told",
        kind::ENDS_FORGOTTEN => "ends_forgotten",
        kind::PAST_TAKEN => "past_taken",
        kind::EMPTIED => "emptied",
        kind::GONE => "gone",
        kind::STATE_PARTIAL => "state_partial",
        kind::STATE_COMPLETED => "state_completed",
        kind::KEYS_RESET => "keys_reset",
        kind::PDU_PARKED => "pdu_parked",
        kind::PDUS_RELEASED => "pdus_released",
        ERASURE => "erasure_note",
        other => return other.to_string(),
    };
    known.to_owned()
}

/// Tells what a room takes in the log, by kind of record. What was told of before and has been deleted is not counted.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let storage = app.house.room_storage(&request.room_id).await?;
    let sum = |part: fn(&KindSize) -> u64| -> u64 { storage.kinds.iter().map(part).sum() };
    let kinds = storage.kinds.iter().map(|size| Shown {
        kind: name(size.kind),
        records: size.records,
        bytes: size.bytes,
    });
    Ok(Response {
        records: sum(|size| size.records),
        bytes: sum(|size| size.bytes),
        snapshot_bytes: storage.snapshot_bytes,
        partial: storage.is_partial,
        kinds: kinds.collect(),
    })
}
