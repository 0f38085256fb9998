//! The names by which the users of this server are found.

use unicode_normalization::UnicodeNormalization as _;

use super::{Columns, Model, number, rows, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{codec::Record as _, user::UserRecord},
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS user_names_1 (
        user_id {{text}} PRIMARY KEY,
        localpart {{text}} NOT NULL,
        folded {{text}},
        displayname {{text}},
        avatar_url {{text}}
    )"];

pub(super) const REGISTER: &str = "INSERT INTO user_names_1 (user_id, localpart) VALUES ($1, $2) \
     ON CONFLICT (user_id) DO NOTHING";

pub(super) const NAME: &str =
    "UPDATE user_names_1 SET displayname = $1, folded = $2 WHERE user_id = $3";

pub(super) const PICTURE: &str = "UPDATE user_names_1 SET avatar_url = $1 WHERE user_id = $2";

pub(super) const DELETE: &str = "DELETE FROM user_names_1 WHERE user_id = $1";

/// Somebody finds those with whom they share a room, and those who are in a room that everybody may join or read.
pub(super) const FIND: &str = "SELECT n.user_id, n.localpart, n.folded, n.displayname, n.avatar_url FROM user_names_1 n \
     WHERE (n.localpart LIKE $1 ESCAPE '!' OR n.folded LIKE $1 ESCAPE '!') AND n.user_id <> $2 AND (EXISTS ( \
     SELECT 1 FROM memberships_1 theirs JOIN memberships_1 own ON own.room_id = theirs.room_id \
     AND own.user_id = $2 AND own.membership = 'join' WHERE theirs.user_id = n.user_id AND theirs.membership = 'join' \
     ) OR EXISTS (SELECT 1 FROM memberships_1 m JOIN room_facts_1 f ON f.room_id = m.room_id AND ( \
     (f.fact = 'join_rule' AND f.value = 'public') OR (f.fact = 'visibility' AND f.value = 'world_readable')) \
     WHERE m.user_id = n.user_id AND m.membership = 'join')) ORDER BY n.user_id LIMIT $3";

/// The model.
pub struct UserNames;

/// A user who was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundUser {
    /// The full user ID.
    pub user_id: String,
    /// The local part, folded.
    pub localpart: String,
    /// The display name, folded.
    pub folded: Option<String>,
    /// The display name.
    pub displayname: Option<String>,
    /// The avatar.
    pub avatar_url: Option<String>,
}

impl Model for UserNames {
    const NAME: &'static str = "user_names";
    const TABLE: &'static str = "user_names_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.entity.prefix() != "user" {
            return Ok(Vec::new());
        }
        let name = record.entity.name();
        let user_id = text(name);
        let (sql, values) = match UserRecord::decode(record)? {
            // Guests come and go under numbers: nobody looks for them.
            Some(UserRecord::Registered(account)) if !account.guest => {
                (REGISTER, vec![user_id, text(fold(localpart(name)))])
            }
            Some(UserRecord::Deactivated(_)) => (DELETE, vec![user_id]),
            Some(UserRecord::Reopened(account)) if !account.guest => {
                (REGISTER, vec![user_id, text(fold(localpart(name)))])
            }
            Some(UserRecord::ProfileFieldSet(field)) => {
                let json = field.json.as_deref();
                let told = json.and_then(|json| serde_json::from_slice::<String>(json).ok());
                let told = told.map(|told| told.replace('\0', ""));
                match field.name.as_str() {
                    "displayname" => {
                        let folded = told.as_deref().map(fold);
                        (NAME, vec![or_null(told), or_null(folded), user_id])
                    }
                    "avatar_url" => (PICTURE, vec![or_null(told), user_id]),
                    _ => return Ok(Vec::new()),
                }
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

fn or_null(value: Option<String>) -> Value {
    value.map_or(Value::Null, text)
}

fn localpart(user_id: &str) -> &str {
    let name = user_id.strip_prefix('@').unwrap_or(user_id);
    name.split_once(':')
        .map_or(name, |(localpart, _)| localpart)
}

/// A text without case, accents and forms of width, so that what looks alike is alike. Scripts that write syllables with marks of their own keep those.
pub fn fold(text: &str) -> String {
    let plain = text.nfkd().filter(|c| !('\u{300}'..='\u{36f}').contains(c));
    plain.flat_map(char::to_lowercase).collect()
}

/// Users whose name holds a folded text and whom somebody may find: at most `limit`, by user ID. Asks this model, `memberships` and `room_facts`.
pub async fn find(
    store: &dyn ModelStore,
    folded: &str,
    finder: &str,
    limit: usize,
) -> Result<Vec<FoundUser>, StoreError> {
    let pattern = format!("%{}%", escaped(folded));
    let values = vec![text(pattern), text(finder), number(limit as u64)];
    rows(store, (FIND, values), read).await
}

/// A text as part of a pattern in which `!` takes the meaning from what follows it.
pub(super) fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars().filter(|character| *character != '\0') {
        if matches!(character, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern
}

fn read(columns: &mut Columns) -> Result<FoundUser, StoreError> {
    Ok(FoundUser {
        user_id: columns.text()?,
        localpart: columns.text()?,
        folded: columns.optional_text()?,
        displayname: columns.optional_text()?,
        avatar_url: columns.optional_text()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_alike() {
        for (one, other) in [
            ("Éva ÅNGSTRÖM", "eva angstrom"),
            ("Ｆｕｌｌ", "full"),
            ("ﬁn", "fin"),
            ("山田", "山田"),
        ] {
            assert_eq!(fold(one), fold(other));
        }
        assert_ne!(fold("が"), fold("か"));
    }

    #[test]
    fn local_parts() {
        assert_eq!(localpart("@anna:example.org"), "anna");
        assert_eq!(localpart("anna"), "anna");
    }
}
