//! Writing answers out of pieces that are JSON already.

use bytes::Bytes;

use crate::edge::RawJson;

/// A JSON object being written.
pub(crate) struct Object(Vec<u8>);

impl Object {
    /// `{`.
    pub(crate) fn new() -> Self {
        Self(vec![b'{'])
    }

    /// A value that is JSON already.
    pub(crate) fn raw(mut self, name: &str, json: &[u8]) -> Self {
        self.name(name);
        self.0.extend_from_slice(json);
        self
    }

    /// A text.
    pub(crate) fn text(self, name: &str, text: &str) -> Self {
        let json = serde_json::Value::from(text).to_string();
        self.raw(name, json.as_bytes())
    }

    /// A text, if there is one.
    pub(crate) fn maybe_text(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// A list of values that are JSON already.
    pub(crate) fn array(mut self, name: &str, values: &[Bytes]) -> Self {
        self.name(name);
        self.0
            .reserve(values.iter().map(|value| value.len() + 1).sum::<usize>() + 2);
        self.0.push(b'[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.0.extend_from_slice(value);
        }
        self.0.push(b']');
        self
    }

    /// `}`.
    pub(crate) fn finish(mut self) -> RawJson {
        self.0.push(b'}');
        RawJson(Bytes::from(self.0))
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0
            .extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
        self.0.push(b':');
    }
}

/// A JSON list of values that are JSON already.
pub(crate) fn list(values: &[Bytes]) -> RawJson {
    let mut json =
        Vec::with_capacity(values.iter().map(|value| value.len() + 1).sum::<usize>() + 2);
    json.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(value);
    }
    json.push(b']');
    RawJson(Bytes::from(json))
}
