//! The texts of pages and mails, in each language we have.

use std::{collections::BTreeMap, sync::OnceLock};

/// The languages, the first of which stands in for all others.
const CODES: [&str; 2] = ["en", "de"];

/// The text files of an area, in the order of [`CODES`].
macro_rules! area {
    ($area:literal) => {
        (
            $area,
            [
                include_str!(concat!("../../ops/pages/en/", $area, ".toml")),
                include_str!(concat!("../../ops/pages/de/", $area, ".toml")),
            ],
        )
    };
}

/// All texts: one line for each area.
const AREAS: &[(&str, [&str; CODES.len()])] = &[
    area!("mail"),
    area!("oauth"),
    area!("shell"),
    area!("sso"),
    area!("web"),
];

/// A language that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Language(usize);

impl Language {
    /// The language for everybody else.
    pub(crate) const ENGLISH: Self = Self(0);

    /// The first of ours in an `Accept-Language` header (RFC 9110, section 12.5.4), the one with the highest weight first.
    pub(crate) fn of(accepted: Option<&str>) -> Self {
        let mut wishes: Vec<(u32, Self)> = accepted
            .unwrap_or_default()
            .split(',')
            .take(32)
            .filter_map(|wish| {
                let (tag, weight) = wish.split_once(';').unwrap_or((wish, "q=1"));
                let weight: f32 = weight.trim().strip_prefix("q=")?.trim().parse().ok()?;
                (weight > 0.0).then_some(())?;
                Some(((weight.min(1.0) * 1000.0) as u32, Self::named(tag)?))
            })
            .collect();
        // Stable: of two that are equally welcome the first one wins.
        wishes.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        wishes.first().map_or(Self::ENGLISH, |(_, wish)| *wish)
    }

    /// The language of a tag: `de`, `de-AT`.
    pub(crate) fn named(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next()?.to_ascii_lowercase();
        CODES.iter().position(|code| *code == primary).map(Self)
    }

    /// Its code, for the `lang` attribute.
    pub(crate) fn code(self) -> &'static str {
        CODES[self.0]
    }

    /// The text of a key; the key itself when there is none, which a test of the texts prevents.
    pub(crate) fn say(self, key: &'static str) -> &'static str {
        let texts = texts();
        let text = texts[self.0].get(key).or_else(|| texts[0].get(key));
        text.map_or(key, String::as_str)
    }

    /// The text of a key in which `{name}` stands for a value.
    pub(crate) fn tell(self, key: &'static str, values: &[(&str, &str)]) -> String {
        let mut told = String::new();
        let mut rest = self.say(key);
        while let Some((before, after)) = rest.split_once('{') {
            told.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            let value = values.iter().find(|(known, _)| *known == name);
            told.push_str(value.map_or("", |(_, value)| value));
            rest = after;
        }
        told + rest
    }
}

type Texts = [BTreeMap<String, String>; CODES.len()];

fn texts() -> &'static Texts {
    static TEXTS: OnceLock<Texts> = OnceLock::new();
    TEXTS.get_or_init(|| std::array::from_fn(read))
}

fn read(language: usize) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (area, files) in AREAS {
        let table: toml::Table = files[language]
            .parse()
            .expect("a test reads all files of texts");
        for (key, value) in table {
            let text = value.as_str().unwrap_or_default().to_owned();
            texts.insert(format!("{area}.{key}"), text);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders(text: &str) -> Vec<&str> {
        let mut names: Vec<_> = text
            .split('{')
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('}')?.0))
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn all_languages_say_the_same() {
        let texts = texts();
        for (code, other) in CODES.iter().zip(texts) {
            let keys: Vec<_> = other.keys().collect();
            assert_eq!(keys, texts[0].keys().collect::<Vec<_>>(), "{code}");
            for (key, text) in other {
                assert!(!text.is_empty(), "{code} {key}");
                assert_eq!(
                    placeholders(text),
                    placeholders(&texts[0][key]),
                    "{code} {key}"
                );
            }
        }
    }

    #[test]
    fn keys_that_are_asked_for_exist() {
        let known = &texts()[0];
        let mut folders = vec![std::path::PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src"
        ))];
        let mut asked = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let code = std::fs::read_to_string(&path).unwrap();
                for area in AREAS.iter().map(|(area, _)| area) {
                    for rest in code.split(&format!("\"{area}.")).skip(1) {
                        let name = rest.split('"').next().unwrap();
                        let key = format!("{area}.{name}");
                        asked += 1;
                        assert!(
                            ["toml", "txt", "html"].contains(&name)
                                || name.contains('.')
                                || known.contains_key(&key),
                            "{key} in {}",
                            path.display()
                        );
                    }
                }
            }
        }
        assert!(asked > 3);
    }

    #[test]
    fn the_best_language_is_taken() {
        let code = |accepted| Language::of(accepted).code();
        assert_eq!(code(None), "en");
        assert_eq!(code(Some("fr, xx;q=0.9")), "en");
        assert_eq!(code(Some("de-AT,de;q=0.9,en;q=0.8")), "de");
        assert_eq!(code(Some("en;q=0.3, de;q=0.7")), "de");
        assert_eq!(code(Some("de;q=0, en")), "en");
        assert_eq!(code(Some("fr,de;q=0.5")), "de");
    }

    #[test]
    fn values_are_put_in_once() {
        let told = Language::ENGLISH.tell("shell.footer", &[("server", "{server}")]);
        assert!(told.contains("{server}"), "{told}");
    }
}
