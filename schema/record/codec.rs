//! Records to bytes and back: MessagePack, structs as arrays.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Kind;
use crate::{
    address::Sequence,
    chain::Digest,
    port::{StoreError, StoredRecord},
};

/// An owner's record type.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The kind stored beside the payload.
    fn kind(&self) -> Kind;

    /// The name by which the record can be found again, when it has one.
    fn key(&self) -> Option<&str> {
        None
    }

    /// Takes back the key: it is stored beside the payload and need not stand in it too.
    fn restore_key(&mut self, _key: &str) {}

    /// The stored bytes.
    fn encode(&self) -> Bytes {
        Bytes::from(
            rmp_serde::to_vec(self).expect("records hold nothing that MessagePack cannot say"),
        )
    }

    /// Reads stored bytes. A record that the store wrote itself (an erasure) is `None`.
    fn decode(stored: &StoredRecord) -> Result<Option<Self>, StoreError> {
        if stored.kind == super::ERASURE {
            return Ok(None);
        }
        let mut record: Self = rmp_serde::from_slice(&stored.payload).map_err(|error| {
            StoreError::Damaged(format!(
                "{} position {} ({}): {error}",
                stored.shard, stored.position, stored.entity
            ))
        })?;
        if let Some(key) = &stored.key {
            record.restore_key(key);
        }
        Ok(Some(record))
    }
}

/// The payload of an [`super::ERASURE`] record: which record was replaced, and by what. `log verify` compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureNote {
    /// The number of the replaced record within the same entity.
    pub sequence: Sequence,
    /// The digest of the new payload.
    pub digest: Digest,
    /// Further records of the entity that were replaced by the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Sequence>,
}

impl ErasureNote {
    /// The numbers of all records that were replaced.
    pub fn sequences(&self) -> impl Iterator<Item = Sequence> {
        std::iter::once(self.sequence).chain(self.others.iter().copied())
    }
}
