//! Events as they go out to other servers.

use bytes::Bytes;

use super::{canonical::Canonical, pdu::Pdu};

/// The bytes of an event for other servers: as stored, but without `unsigned`, which is this server's own (what redacted it, what has expired) or was that
/// of the server it came from. Neither hashes nor signatures cover it.
pub fn wire_form(pdu: &Pdu) -> Bytes {
    let json = pdu.json();
    let text = std::str::from_utf8(json).ok();
    let Some(text) = text.filter(|text| text.contains("\"unsigned\"")) else {
        return json.clone();
    };
    let Ok(mut canonical) = Canonical::received(text) else {
        return json.clone();
    };
    match canonical.object.remove("unsigned") {
        Some(_) => Bytes::from(canonical.to_text()),
        None => json.clone(),
    }
}
