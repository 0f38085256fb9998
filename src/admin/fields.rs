//! Fields of requests of which it matters whether they are missing or null.

use serde::{Deserialize, Deserializer};

/// Reads a field that is there, be it null: with `#[serde(default)]`, one that is missing is `None`.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "given")]
        uses: Option<Option<u64>>,
    }

    #[test]
    fn null_is_not_missing() {
        let read = |text| serde_json::from_str::<Body>(text).map(|body| body.uses);
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"uses": null}"#).unwrap(), Some(None));
        assert_eq!(read(r#"{"uses": 3}"#).unwrap(), Some(Some(3)));
        assert!(read(r#"{"uses": -3}"#).is_err());
    }
}
