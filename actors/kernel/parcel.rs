//! How a message goes from node to node: MessagePack with named fields, after one byte that tells the format.
//!
//! Fields go by name, so that a node of the next version may know one more. Byte strings are stored as such and not as lists of numbers: `Bytes`, `ByteBuf` and
//! whatever holds them do so by themselves, a `Vec<u8>` only with `serde(with = "serde_bytes")`.
//!
//! What comes in is bounded by what it is: whoever receives a parcel bounds its bytes. No string or byte string is longer than what is there, of a list no
//! more than a megabyte is reserved before its items are seen (serde's own caution), and lists and maps lie in each other at most [`DEPTH_MAX`] deep. What
//! rmp-serde does not bound by itself must not be in a message: the lists of `imbl` reserve what they are told.

use bytes::Bytes;
use rmp_serde::{Deserializer, decode, encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The format: MessagePack, structs as maps, variants by their names.
const FORMAT: u8 = 1;

/// Lists and maps lie in each other at most so deep.
pub const DEPTH_MAX: usize = 64;

/// Why a parcel cannot be packed or unpacked. Tells nothing of what is in it, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    /// The message stays on its node.
    #[error("not to be sent: {0}")]
    Unsendable(String),
    /// It is of a format that is not known here.
    #[error("unknown format {0}")]
    UnknownFormat(u8),
    /// It ends too early.
    #[error("cut off")]
    CutOff,
    /// Lists and maps lie in each other too deep.
    #[error("too deep")]
    TooDeep,
    /// It is not what it must be.
    #[error("this is no {0}")]
    Malformed(&'static str),
}

/// Packs a message.
pub fn pack<T: Serialize>(message: &T) -> Result<Bytes, ParcelError> {
    let mut parcel = vec![FORMAT];
    encode::write_named(&mut parcel, message)
        .map_err(|error| ParcelError::Unsendable(error.to_string()))?;
    Ok(parcel.into())
}

/// Unpacks a message.
pub fn unpack<T: DeserializeOwned>(parcel: &[u8]) -> Result<T, ParcelError> {
    let Some((format, body)) = parcel.split_first() else {
        return Err(ParcelError::CutOff);
    };
    if *format != FORMAT {
        return Err(ParcelError::UnknownFormat(*format));
    }
    let mut reader = Deserializer::from_read_ref(body);
    reader.set_max_depth(DEPTH_MAX);
    let message = T::deserialize(&mut reader).map_err(refusal::<T>)?;
    // Nothing may follow.
    match u8::deserialize(&mut reader) {
        Err(decode::Error::InvalidMarkerRead(_)) => Ok(message),
        _ => Err(ParcelError::Malformed(std::any::type_name::<T>())),
    }
}

fn refusal<T>(error: decode::Error) -> ParcelError {
    match error {
        decode::Error::InvalidMarkerRead(_) | decode::Error::InvalidDataRead(_) => {
            ParcelError::CutOff
        }
        decode::Error::DepthLimitExceeded => ParcelError::TooDeep,
        // Its text may quote what is in the parcel.
        _ => ParcelError::Malformed(std::any::type_name::<T>()),
    }
}

/// For `serde(with = …)`: a value that has no other form than JSON, as JSON text.
pub mod json_text {
    use serde::{
        Deserialize, Deserializer, Serialize, Serializer,
        de::{DeserializeOwned, Error as _},
        ser::Error as _,
    };

    /// As text.
    pub fn serialize<T: Serialize, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(value).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }

    /// From text.
    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map_err(D::Error::custom)
    }
}

/// For `serde(with = …)`: an option within an option. By itself MessagePack has only one `nil` for what is not wanted and for what is wanted gone.
pub mod nested_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// What is wanted as a list of one.
    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let wanted = value.as_ref().map(|inner| (inner.as_ref(),));
        wanted.serialize(serializer)
    }

    /// From a list of one.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        let wanted = Option::<(Option<T>,)>::deserialize(deserializer)?;
        Ok(wanted.map(|(inner,)| inner))
    }
}

/// What arrives of a message where it is sent to on the same node: itself.
#[cfg(not(test))]
pub(crate) fn across<T>(message: T) -> T {
    message
}

/// In tests everything goes through a parcel, as if each actor lived on a node of its own.
#[cfg(test)]
pub(crate) fn across<T: Serialize + DeserializeOwned>(message: T) -> T {
    let parcel = pack(&message).unwrap();
    unpack(&parcel).unwrap()
}

/// What arrives of a message on another node; it must look the same there.
#[cfg(test)]
pub(crate) fn crossed<T>(message: &T) -> T
where
    T: Serialize + DeserializeOwned + std::fmt::Debug,
{
    let parcel = pack(message).unwrap();
    let arrived = unpack(&parcel).unwrap();
    assert_eq!(format!("{arrived:?}"), format!("{message:?}"));
    arrived
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wish {
        name: String,
        #[serde(with = "nested_option")]
        until_ms: Option<Option<u64>>,
        #[serde(with = "serde_bytes")]
        hash: Vec<u8>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct WiderWish {
        name: String,
        #[serde(with = "nested_option")]
        until_ms: Option<Option<u64>>,
        #[serde(with = "serde_bytes")]
        hash: Vec<u8>,
        #[serde(default)]
        later: u64,
    }

    fn wish(until_ms: Option<Option<u64>>) -> Wish {
        Wish {
            name: "n".to_owned(),
            until_ms,
            hash: vec![200; 32],
        }
    }

    #[test]
    fn what_is_packed_arrives() {
        for until_ms in [None, Some(None), Some(Some(7))] {
            let wish = wish(until_ms);
            assert_eq!(crossed(&wish), wish);
        }
        crossed(&());
    }

    #[test]
    fn a_field_more_or_less_is_no_matter() {
        let parcel = pack(&wish(Some(None))).unwrap();
        let wider: WiderWish = unpack(&parcel).unwrap();
        assert_eq!((wider.until_ms, wider.later), (Some(None), 0));
        let narrower: Wish = unpack(&pack(&wider).unwrap()).unwrap();
        assert_eq!(narrower, wish(Some(None)));
    }

    #[test]
    fn byte_strings_take_their_own_size() {
        let events = vec![Bytes::from(vec![250; 1_000]); 50];
        let parcel = pack(&events).unwrap();
        assert!(parcel.len() < 50 * 1_010, "{}", parcel.len());
        assert_eq!(unpack::<Vec<Bytes>>(&parcel), Ok(events));
        let parcel = pack(&wish(None)).unwrap();
        assert!(parcel.len() < 70, "{}", parcel.len());
    }

    #[test]
    fn what_is_no_parcel_is_refused() {
        let whole = pack(&wish(Some(Some(7)))).unwrap();
        assert_eq!(unpack::<Wish>(&[]), Err(ParcelError::CutOff));
        for end in 1..whole.len() {
            assert_eq!(unpack::<Wish>(&whole[..end]), Err(ParcelError::CutOff));
        }
        let mut strange = whole.to_vec();
        strange[0] = 9;
        let refused = unpack::<Wish>(&strange);
        assert_eq!(refused, Err(ParcelError::UnknownFormat(9)));
        for more in [0x00, 0xc0, 0xc1, 0xcf, 0xdd] {
            let mut longer = whole.to_vec();
            longer.push(more);
            let refused = unpack::<Wish>(&longer);
            assert!(matches!(refused, Err(ParcelError::Malformed(_))), "{more}");
        }
        let other = pack(&"secret").unwrap();
        let refused = unpack::<Wish>(&other).unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn lengths_that_are_a_lie_reserve_nothing() {
        // A list, a map, a byte string and a text of four thousand million items.
        for kind in [0xdd, 0xdf, 0xc6, 0xdb] {
            let parcel = [FORMAT, kind, 0xff, 0xff, 0xff, 0xff];
            assert!(unpack::<Vec<Bytes>>(&parcel).is_err());
            assert!(unpack::<Vec<Wish>>(&parcel).is_err());
            assert!(unpack::<BTreeMap<String, Wish>>(&parcel).is_err());
            assert!(unpack::<Bytes>(&parcel).is_err());
            assert!(unpack::<String>(&parcel).is_err());
        }
    }

    #[test]
    fn what_lies_too_deep_is_refused() {
        let mut parcel = vec![FORMAT];
        parcel.extend([0x91; 10_000]);
        parcel.push(0xc0);
        let refused = unpack::<serde::de::IgnoredAny>(&parcel);
        assert_eq!(refused.unwrap_err(), ParcelError::TooDeep);
    }
}
