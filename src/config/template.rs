//! Texts with gaps that are filled by what another system says of a person: `{given_name}.{family_name}`.

use serde::{Deserialize, Serialize};

/// A template has at most so many bytes.
const BYTES_MAX: usize = 512;

/// Of what stands in a gap at most so many characters are taken.
const VALUE_CHARACTERS_MAX: usize = 256;

/// A text with gaps, each with the name of a claim in braces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Claim(String),
}

impl Template {
    /// The claims that are needed for it.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &String> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Claim(name) => Some(name),
            Piece::Text(_) => None,
        })
    }

    /// The text; nothing when a claim is missing or empty, since half a name is nobody's.
    pub(crate) fn fill(&self, value_of: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Claim(name) => {
                    let value = value_of(name)?;
                    let value = value.trim();
                    if value.is_empty() {
                        return None;
                    }
                    filled.extend(value.chars().take(VALUE_CHARACTERS_MAX));
                }
            }
        }
        Some(filled)
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("a template has at most {BYTES_MAX} bytes"));
        }
        let wrong = || format!("`{text}`: braces must hold the name of a claim");
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or_else(wrong)?;
            if name.trim().is_empty() || name.contains('{') || before.contains('}') {
                return Err(wrong());
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Claim(name.trim().to_owned()));
            rest = behind;
        }
        if rest.contains('}') {
            return Err(wrong());
        }
        // Without a gap everybody would have the same name.
        if pieces.is_empty() {
            return Err(format!("`{text}` names no claim"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        let written = template.pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Claim(name) => format!("{{{name}}}"),
        });
        written.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    fn template(text: &str) -> Result<Template, String> {
        Template::try_from(text.to_owned())
    }

    #[test]
    fn gaps_are_filled() {
        let full = template("x-{given}.{ family }!").unwrap();
        let value_of = |name: &str| match name {
            "given" => Some(" Anna".to_owned()),
            "family" => Some("B".repeat(1_000)),
            "empty" => Some(" ".to_owned()),
            _ => None,
        };
        let filled = full.fill(value_of).unwrap();
        assert_eq!(filled, format!("x-Anna.{}!", "B".repeat(256)));
        assert_eq!(full.claims().collect::<Vec<_>>(), ["given", "family"]);
        assert_eq!(String::from(full), "x-{given}.{family}!");
        for missing in ["{given}{other}", "{given}{empty}"] {
            assert_eq!(template(missing).unwrap().fill(value_of), None, "{missing}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for wrong in [
            "", "name", "{", "{a", "a}", "{}", "{ }", "{a}}", "{{a}}", "}{a}",
        ] {
            assert!(template(wrong).is_err(), "{wrong}");
        }
        assert!(template(&format!("{{a}}{}", "b".repeat(600))).is_err());
    }
}
