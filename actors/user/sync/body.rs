//! The JSON text of an answer, written once into one buffer. Events are copied as they are; nothing is parsed.

use bytes::Bytes;

/// A JSON text in the making.
#[derive(Debug)]
pub(crate) struct Body {
    out: Vec<u8>,
    /// The innermost open object or array has no member yet.
    is_fresh: bool,
}

impl Body {
    /// Begins with an object.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(b'{');
        Self {
            out,
            is_fresh: true,
        }
    }

    /// Ends the outermost object.
    pub(crate) fn finish(mut self) -> Bytes {
        self.out.push(b'}');
        Bytes::from(self.out)
    }

    fn separate(&mut self) {
        if !self.is_fresh {
            self.out.push(b',');
        }
        self.is_fresh = false;
    }

    /// A member's name.
    pub(crate) fn key(&mut self, name: &str) -> &mut Self {
        self.separate();
        self.text(name);
        self.out.push(b':');
        self.is_fresh = true;
        self
    }

    fn text(&mut self, text: &str) {
        serde_json::to_writer(&mut self.out, text).expect("writing to memory cannot fail");
    }

    /// A string.
    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.separate();
        self.text(text);
        self
    }

    /// A number.
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.separate();
        serde_json::to_writer(&mut self.out, &number).expect("writing to memory cannot fail");
        self
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.raw(if flag { b"true" } else { b"false" })
    }

    /// JSON text as it is.
    pub(crate) fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.separate();
        self.out.extend_from_slice(json);
        self
    }

    /// An object, whose members the closure writes.
    pub(crate) fn object(&mut self, members: impl FnOnce(&mut Self)) -> &mut Self {
        self.nested((b'{', b'}'), members)
    }

    /// An array, whose items the closure writes.
    pub(crate) fn array(&mut self, items: impl FnOnce(&mut Self)) -> &mut Self {
        self.nested((b'[', b']'), items)
    }

    fn nested(&mut self, (open, close): (u8, u8), inner: impl FnOnce(&mut Self)) -> &mut Self {
        self.separate();
        self.out.push(open);
        self.is_fresh = true;
        inner(self);
        self.out.push(close);
        self.is_fresh = false;
        self
    }

    /// `name: {"events": […]}`, left out when there is none and it need not be there.
    pub(crate) fn events<T: AsRef<[u8]>>(&mut self, name: &str, events: &[T], always: bool) {
        if events.is_empty() && !always {
            return;
        }
        self.key(name).object(|body| {
            body.key("events").array(|body| {
                for event in events {
                    body.raw(event.as_ref());
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let mut body = Body::new(64);
        body.key("a").string("x\"y");
        body.key("b").object(|body| {
            body.key("c").array(|body| {
                body.number(1).number(2);
                body.object(|_| {});
                body.raw(b"[]");
            });
            body.key("d").flag(true);
        });
        body.events::<&[u8]>("none", &[], false);
        body.events("some", &[b"{}"], false);
        let text = body.finish();
        assert_eq!(
            text,
            r#"{"a":"x\"y","b":{"c":[1,2,{},[]],"d":true},"some":{"events":[{}]}}"#
        );
    }
}
