//! Finding users by name, and the rooms that two users share.

use std::collections::BTreeSet;

use playhouse_schema::models::{
    Model as _,
    memberships::{self, Memberships},
    room_facts::RoomFacts,
    user_names::{self, FoundUser, UserNames, fold},
};
use ruma::{OwnedRoomId, UserId};

use super::{House, HouseError};

/// So many users that hold the longest word are ranked.
const RANKED_MAX: usize = 2_000;

impl House {
    /// Users of this server whose name or local part holds all words of a term, the nearest first, and whether there are more than `limit`. Found are those
    /// with whom the finder shares a room, and those in public rooms.
    pub async fn find_users(
        &self,
        finder: &UserId,
        term: &str,
        limit: usize,
    ) -> Result<(Vec<FoundUser>, bool), HouseError> {
        for model in [UserNames::NAME, Memberships::NAME, RoomFacts::NAME] {
            self.models.caught_up(model).await?;
        }
        let term = fold(term_of(term.trim(), self.env.server_name().as_str()));
        let words: Vec<&str> = term.split_whitespace().collect();
        let Some(longest) = words.iter().max_by_key(|word| word.len()) else {
            return Ok((Vec::new(), false));
        };
        let store = &**self.models.store();
        let found = user_names::find(store, longest, finder.as_str(), RANKED_MAX).await?;
        let more = found.len() == RANKED_MAX;
        let mut ranked: Vec<_> = found
            .into_iter()
            .filter(|user| words.iter().all(|word| holds(user, word)))
            .map(|user| (rank(&user, &term), user))
            .collect();
        // Equal ranks stay in the order of user IDs.
        ranked.sort_by_key(|(rank, _)| *rank);
        let limited = more || ranked.len() > limit;
        ranked.truncate(limit);
        Ok((ranked.into_iter().map(|(_, user)| user).collect(), limited))
    }

    /// The rooms to which both users are joined, by room ID.
    pub async fn mutual_rooms(
        &self,
        one: &UserId,
        other: &UserId,
    ) -> Result<Vec<OwnedRoomId>, HouseError> {
        self.models.caught_up(Memberships::NAME).await?;
        let mine = self.joined_by_model(one).await?;
        let theirs = self.joined_by_model(other).await?;
        let shared = mine.intersection(&theirs).cloned();
        Ok(shared
            .filter_map(|room_id| room_id.try_into().ok())
            .collect())
    }

    /// The rooms to which a user is joined, as far as the model has come.
    pub(super) async fn joined_by_model(
        &self,
        user_id: &UserId,
    ) -> Result<BTreeSet<String>, HouseError> {
        let rooms = memberships::of_user(&**self.models.store(), user_id.as_str()).await?;
        let joined = rooms.into_iter().filter(|room| room.membership == "join");
        Ok(joined.map(|room| room.room_id).collect())
    }
}

/// What is looked for when somebody types a user ID or the beginning of one: its local part.
fn term_of<'a>(term: &'a str, server_name: &str) -> &'a str {
    let Some(name) = term.strip_prefix('@') else {
        return term;
    };
    match name.split_once(':') {
        Some((localpart, server)) if server_name.starts_with(server) => localpart,
        // A user of another server: not known here.
        Some(_) => "",
        None => name,
    }
}

fn holds(user: &FoundUser, word: &str) -> bool {
    names(user).any(|name| name.contains(word))
}

/// Smaller is nearer: the whole name, its beginning, the beginning of a word, anywhere.
fn rank(user: &FoundUser, term: &str) -> u8 {
    let ranks = names(user).map(|name| {
        if name == term {
            0
        } else if name.starts_with(term) {
            1
        } else if name.split_whitespace().any(|word| word.starts_with(term)) {
            2
        } else {
            3
        }
    });
    ranks.min().unwrap_or(3)
}

fn names(user: &FoundUser) -> impl Iterator<Item = &str> {
    [Some(user.localpart.as_str()), user.folded.as_deref()]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_looked_for_by_its_local_part() {
        for (term, wanted) in [
            ("anna", "anna"),
            ("@anna", "anna"),
            ("@anna:exa", "anna"),
            ("@anna:example.org", "anna"),
            ("@anna:elsewhere.org", ""),
            ("a:b", "a:b"),
        ] {
            assert_eq!(term_of(term, "example.org"), wanted, "{term}");
        }
    }

    #[test]
    fn the_nearest_come_first() {
        let user = |localpart: &str, folded: Option<&str>| FoundUser {
            user_id: String::new(),
            localpart: localpart.to_owned(),
            folded: folded.map(ToOwned::to_owned),
            displayname: None,
            avatar_url: None,
        };
        assert_eq!(rank(&user("anna", None), "anna"), 0);
        assert_eq!(rank(&user("annabel", Some("bel")), "anna"), 1);
        assert_eq!(rank(&user("x", Some("miss anna")), "anna"), 2);
        assert_eq!(rank(&user("joanna", None), "anna"), 3);
    }
}
