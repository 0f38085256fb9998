//! What other servers send.

mod send_transaction_message;

use ruma::api::federation::transactions::send_transaction_message::v1::Request;

use crate::edge::{Routes, TRANSACTION_BYTES_MAX};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_peer_fast::<Request, _, _, _>(send_transaction_message::handle)
        .body_bytes_max(TRANSACTION_BYTES_MAX);
}
