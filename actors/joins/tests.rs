//! Which joins are under way.

use serde_bytes::ByteBuf;

use super::*;

/// Joins, and how many records there are.
#[derive(Default)]
struct Book {
    joins: Joins,
    written: Sequence,
    emptied: Vec<Sequence>,
}

impl Book {
    fn done(&mut self, command: JoinCommand) -> Result<(), JoinError> {
        for record in self.joins.judge(command)? {
            let emptied = self.joins.emptied_with(&record).into_iter();
            self.emptied.extend(emptied.map(|(sequence, _)| sequence));
            self.written += 1;
            self.joins.apply(self.written, 0, &record);
        }
        Ok(())
    }

    fn all(&self) -> Vec<Join> {
        self.joins.tell(JoinQuery::All).0
    }
}

fn begin(room_id: &str) -> JoinCommand {
    begin_as("@a:b", room_id)
}

fn begin_as(user_id: &str, room_id: &str) -> JoinCommand {
    begin_at(1, user_id, room_id)
}

fn begin_at(at_ms: u64, user_id: &str, room_id: &str) -> JoinCommand {
    JoinCommand::Begin(JoinBegun {
        room_id: room_id.to_owned(),
        user_id: user_id.to_owned(),
        guest: false,
        at_ms,
    })
}

fn send(room_id: &str, server: &str) -> JoinCommand {
    JoinCommand::Send(Box::new(JoinSent {
        room_id: room_id.to_owned(),
        user_id: "@a:b".to_owned(),
        server: server.to_owned(),
        room_version: "11".to_owned(),
        event_id: "$e".to_owned(),
        pdu: ByteBuf::from(b"{}".to_vec()),
        needs_voucher: false,
        omit_members: true,
        at_ms: 2,
    }))
}

fn abandon(room_id: &str, by: Option<&str>) -> JoinCommand {
    JoinCommand::Abandon(JoinAbandoned {
        room_id: room_id.to_owned(),
        user_id: "@a:b".to_owned(),
        by: by.map(ToOwned::to_owned),
        at_ms: 3,
        unwanted: false,
    })
}

/// The user wants it so.
fn leave(room_id: &str) -> JoinCommand {
    JoinCommand::Abandon(JoinAbandoned {
        room_id: room_id.to_owned(),
        user_id: "@a:b".to_owned(),
        by: None,
        at_ms: 3,
        unwanted: true,
    })
}

fn ended(room_id: &str, joined: bool) -> JoinEnded {
    JoinEnded {
        room_id: room_id.to_owned(),
        user_id: "@a:b".to_owned(),
        joined,
        at_ms: 4,
    }
}

#[test]
fn what_was_sent_is_known_until_the_end() {
    let mut book = Book::default();
    book.done(begin("!r")).unwrap();
    book.done(send("!r", "one")).unwrap();
    book.done(send("!r", "two")).unwrap();
    // A further attempt does not make it unsaid.
    book.done(begin("!r")).unwrap();
    let one = JoinQuery::One("!r".to_owned(), "@a:b".to_owned());
    let JoinsTold(found) = book.joins.tell(one);
    let servers: Vec<_> = found[0].sent.iter().map(|sent| &*sent.server).collect();
    assert_eq!(servers, ["one", "two"]);
    assert_eq!(found[0].sent[0].pdu.as_slice(), b"{}");
    let read = Joins::decode(&book.joins.encode());
    assert_eq!(read.as_ref(), Some(&book.joins));
    let outlined = book.all();
    assert!(outlined[0].sent.iter().all(|sent| sent.pdu.is_empty()));
    book.done(JoinCommand::End(ended("!r", true))).unwrap();
    assert!(book.all().is_empty());
    assert_eq!(book.emptied, [2, 3], "their records say nothing any more");
    // A second end is none.
    book.done(JoinCommand::End(ended("!r", true))).unwrap();
    assert_eq!(book.written, 5);
}

#[test]
fn nothing_is_sent_for_what_is_abandoned() {
    let mut book = Book::default();
    assert_eq!(book.done(abandon("!r", None)), Err(JoinError::Unknown));
    assert_eq!(book.done(send("!r", "one")), Err(JoinError::Unknown));
    book.done(begin("!r")).unwrap();
    book.done(send("!r", "one")).unwrap();
    book.done(abandon("!r", None)).unwrap();
    assert_eq!(book.done(send("!r", "two")), Err(JoinError::Abandoned));
    assert!(!book.all()[0].is_cancelled());
    // Who came in all the same is in, unless somebody does not want it.
    let mut other = Book {
        joins: book.joins.clone(),
        ..Book::default()
    };
    assert_eq!(other.done(JoinCommand::End(ended("!r", true))), Ok(()));
    book.done(abandon("!r", Some("@boss:b"))).unwrap();
    assert!(book.all()[0].is_cancelled());
    let end = JoinCommand::End(ended("!r", true));
    assert_eq!(book.done(end), Err(JoinError::Abandoned));
    book.done(JoinCommand::EndAnyway(ended("!r", false)))
        .unwrap();
    assert!(book.all().is_empty());
}

#[test]
fn a_user_who_does_not_want_in_any_more_is_not_in() {
    let mut book = Book::default();
    book.done(begin("!r")).unwrap();
    book.done(abandon("!r", None)).unwrap();
    assert!(!book.all()[0].is_unwanted());
    book.done(leave("!r")).unwrap();
    let all = book.all();
    assert!(all[0].is_unwanted() && !all[0].is_cancelled());
    let end = || JoinCommand::End(ended("!r", true));
    assert_eq!(book.done(end()), Err(JoinError::Abandoned));
    // That it fails, or is left again, says nothing new; an administrator's word does, and stands.
    let before = book.written;
    book.done(abandon("!r", None)).unwrap();
    book.done(leave("!r")).unwrap();
    assert_eq!(book.written, before);
    book.done(abandon("!r", Some("@boss:b"))).unwrap();
    book.done(leave("!r")).unwrap();
    assert_eq!(book.written, before + 1);
    assert!(book.all()[0].is_cancelled());
    // Who tries again wants in.
    book.done(begin("!r")).unwrap();
    assert!(!book.all()[0].is_unwanted());
    assert_eq!(book.done(end()), Ok(()));
}

#[test]
fn of_what_was_sent_earlier_it_is_known_where() {
    let mut book = Book::default();
    book.done(begin("!r")).unwrap();
    for number in 0..=SENT_MAX {
        book.done(send("!r", &number.to_string())).unwrap();
    }
    let one = JoinQuery::One("!r".to_owned(), "@a:b".to_owned());
    let JoinsTold(found) = book.joins.tell(one);
    let sent = &found[0].sent;
    let servers: Vec<_> = sent.iter().map(|sent| sent.server.clone()).collect();
    let newest: Vec<_> = (1..=SENT_MAX).map(|number| number.to_string()).collect();
    assert_eq!(servers, newest);
    assert!(sent.iter().all(|sent| sent.event_id == "$e"));
    let whole = sent.iter().rev().take_while(|sent| !sent.pdu.is_empty());
    assert_eq!(whole.count(), WHOLE_MAX);
    let rest = sent.iter().rev().skip(WHOLE_MAX);
    assert!(rest.map(|sent| sent.pdu.len()).all(|bytes| bytes == 0));
    // The log says as much as memory: the first record of all stands for nothing, the others that are not whole were cut once.
    let first = book.emptied.iter().filter(|sequence| **sequence == 2);
    assert_eq!(first.count(), 2);
    let cut: std::collections::BTreeSet<_> = book.emptied.iter().copied().collect();
    assert_eq!(cut.len(), SENT_MAX + 1 - WHOLE_MAX);
    assert_eq!(book.emptied.len(), cut.len() + 1);
}

#[test]
fn so_many_are_under_way_and_no_more() {
    let mut book = Book::default();
    for number in 0..JOINS_MAX {
        let user_id = format!("@{}:b", number / OF_A_USER_MAX);
        book.done(begin_as(&user_id, &format!("!{number}")))
            .unwrap();
    }
    let more = || begin_as("@more:b", "!more");
    assert_eq!(book.done(more()), Err(JoinError::TooMany));
    assert_eq!(book.done(begin_as("@0:b", "!0")), Ok(()));
    let abandon = |number: usize, by: Option<&str>, at_ms: u64| {
        JoinCommand::Abandon(JoinAbandoned {
            room_id: format!("!{number}"),
            user_id: format!("@{}:b", number / OF_A_USER_MAX),
            by: by.map(ToOwned::to_owned),
            at_ms,
            unwanted: false,
        })
    };
    // What somebody wants taken back makes place when nothing else does, the oldest first.
    let boss = Some("@boss:b");
    book.done(abandon(1, boss, 4)).unwrap();
    book.done(abandon(2, boss, 3)).unwrap();
    let mut other = Book {
        joins: book.joins.clone(),
        ..Book::default()
    };
    assert_eq!(other.done(more()), Ok(()));
    assert!(other.joins.get("!2", "@0:b").is_none());
    assert!(other.joins.get("!1", "@0:b").is_some());
    // One that was begun long ago goes before these.
    let mut later = Book {
        joins: book.joins.clone(),
        ..Book::default()
    };
    let long_ago = begin_at(FIRST_ATTEMPT_MS_MAX + 2, "@more:b", "!more");
    assert_eq!(later.done(long_ago), Ok(()));
    assert!(later.joins.get("!1", "@0:b").is_some());
    assert!(later.joins.get("!2", "@0:b").is_some());
    // And one that has failed before all others.
    book.done(abandon(0, None, 5)).unwrap();
    assert_eq!(book.done(more()), Ok(()));
    assert_eq!(book.all().len(), JOINS_MAX);
    assert!(book.joins.get("!0", "@0:b").is_none());
}

#[test]
fn nobody_takes_the_places_of_all_others() {
    let mut book = Book::default();
    for number in 0..OF_A_USER_MAX {
        book.done(begin(&format!("!{number}"))).unwrap();
    }
    assert_eq!(book.done(begin("!more")), Err(JoinError::TooMany));
    assert_eq!(book.done(begin_as("@other:b", "!more")), Ok(()));
    book.done(abandon("!3", None)).unwrap();
    assert_eq!(book.done(begin("!more")), Ok(()));
    assert!(book.joins.get("!3", "@a:b").is_none());
}
