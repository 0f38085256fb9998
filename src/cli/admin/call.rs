//! A request to the admin API, and what is to be done with the answer.

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{table::Table, work::Work};
use crate::cli::output::Problem;

/// A request.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    /// The path, with `{}` for each part.
    template: &'static str,
    parts: Vec<String>,
    query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

/// What a command does.
pub(super) enum Doing {
    /// Shows a list, page by page: at most so many entries, or all of them for 0.
    List(Call, &'static Table, u64),
    /// Shows an answer, field by field.
    Show(Call),
    /// Changes something, and says this.
    Do(Call, String),
    /// Changes something, says this, and tells the password if it was made up.
    SetPassword(Call, String, Option<String>),
    /// The same, where nothing is yet.
    Make(Call, String, Option<String>),
    /// Opens a closed account again, says this, and tells the password if it was made up.
    Reopen(Call, String, Option<String>),
    /// Begins something that takes long, and waits for its end.
    Await(Call, &'static Work),
    /// Lets a node give its shards away, and waits for that.
    Drain(String),
    /// Deletes the media of a room, one after the other.
    DeleteMediaOfRoom(String),
}

impl Call {
    fn new(method: Method, template: &'static str) -> Self {
        Self {
            method,
            template,
            parts: Vec::new(),
            query: Vec::new(),
            body: None,
        }
    }

    /// GET.
    pub(super) fn get(template: &'static str) -> Self {
        Self::new(Method::GET, template)
    }

    /// POST.
    pub(super) fn post(template: &'static str) -> Self {
        Self::new(Method::POST, template)
    }

    /// PUT.
    pub(super) fn put(template: &'static str) -> Self {
        Self::new(Method::PUT, template)
    }

    /// DELETE.
    pub(super) fn delete(template: &'static str) -> Self {
        Self::new(Method::DELETE, template)
    }

    /// With the next part of the path.
    pub(super) fn of(mut self, part: impl Into<String>) -> Self {
        self.parts.push(part.into());
        self
    }

    /// With a parameter.
    pub(super) fn ask(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// With a parameter, if it has a value.
    pub(super) fn ask_if(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.ask(name, value),
            None => self,
        }
    }

    /// With a body.
    pub(super) fn with(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The question what is there now, where this goes.
    pub(super) fn looking(&self) -> Self {
        Self {
            method: Method::GET,
            body: None,
            ..self.clone()
        }
    }

    /// Where it goes, at a server.
    pub(super) fn url(&self, base: &Url) -> Result<Url, Problem> {
        let mut url = base.clone();
        let mut parts = self.parts.iter();
        {
            let segments = url.path_segments_mut();
            let mut segments =
                segments.map_err(|()| Problem::new("the server's URL can have no path"))?;
            segments.pop_if_empty();
            for piece in self.template.split('/').skip(1) {
                let piece = match piece {
                    "{}" => parts.next().map_or("", String::as_str),
                    piece => piece,
                };
                // They would lead to another endpoint.
                if ["", ".", ".."].contains(&piece) {
                    return Err(Problem::new(format!("`{piece}` names nothing")));
                }
                segments.push(piece);
            }
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(call: &Call, base: &str) -> Option<String> {
        let base = Url::parse(base).unwrap();
        call.url(&base).ok().map(String::from)
    }

    #[test]
    fn what_stands_in_paths_cannot_leave_its_place() {
        let call = Call::get("/_synapse/admin/v1/rooms/{}/members");
        assert_eq!(
            url(&call.clone().of("!a/b?c:d"), "http://127.0.0.1:8008").unwrap(),
            "http://127.0.0.1:8008/_synapse/admin/v1/rooms/!a%2Fb%3Fc:d/members"
        );
        for nothing in ["", ".", ".."] {
            assert!(url(&call.clone().of(nothing), "http://a").is_none());
        }
        assert!(url(&call, "http://a").is_none());
        let asked = Call::get("/x")
            .ask("a", 1)
            .ask_if("b", None::<u64>)
            .ask("c", "d&e");
        assert_eq!(
            url(&asked, "https://a/b/").unwrap(),
            "https://a/b/x?a=1&c=d%26e"
        );
    }
}
