//! `POST /_matrix/client/*/rooms/{roomId}/receipt/{receiptType}/{eventId}`

use std::sync::Arc;

use playhouse_actors::{house::ReadMarkers, room::message::MoveReceipt};
use ruma::{
    api::client::receipt::create_receipt::v3::{ReceiptType, Request, Response},
    events::receipt::{ReceiptThread, ReceiptType as Kind},
};

use crate::{
    client::read_marker::allows_backward,
    edge::{App, Arguments, Failure, Session},
};

/// Moves a receipt, or the marker up to which everything is read.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
    arguments: Arguments,
) -> Result<Response, Failure> {
    let backward = allows_backward(&arguments)?;
    if backward && request.receipt_type != ReceiptType::FullyRead {
        return Err(Failure::invalid_param("only m.fully_read may go back"));
    }
    let thread_id = match request.thread {
        ReceiptThread::Unthreaded => None,
        ReceiptThread::Main => Some("main".to_owned()),
        ReceiptThread::Thread(root) => Some(root.to_string()),
        _ => return Err(Failure::invalid_param("thread_id is main or an event ID")),
    };
    let receipt_type = match request.receipt_type {
        ReceiptType::Read => Kind::Read,
        ReceiptType::ReadPrivate => Kind::ReadPrivate,
        ReceiptType::FullyRead => {
            if thread_id.is_some() {
                return Err(Failure::invalid_param("m.fully_read has no thread_id"));
            }
            let markers = ReadMarkers {
                user_id: caller.known.user_id,
                room_id: request.room_id,
                fully_read: Some(request.event_id),
                backward,
                read: None,
                read_private: None,
            };
            app.house.set_read_markers(markers).await?;
            return Ok(Response::new());
        }
        _ => return Err(Failure::invalid_param("unknown type of receipt")),
    };
    let receipt = MoveReceipt {
        user_id: caller.known.user_id,
        receipt_type,
        thread_id,
        event_id: request.event_id,
        ts_ms: None,
        found: false,
    };
    app.house.move_receipt(&request.room_id, receipt).await?;
    Ok(Response::new())
}
