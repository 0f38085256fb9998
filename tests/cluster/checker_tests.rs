//! The checker: for every rule a history in which nothing is wrong, and one in which something is.

use std::time::Duration;

use super::{
    checker::{History, Line, Loaded, Op, Rooms, Seen, check, report::Rule, write_rooms},
    figures::{Figures, Stalls},
};

const ROOM: &str = "!room";

/// A history that a test makes up. Each request takes ten nanoseconds, one after the other.
#[derive(Default)]
struct Story {
    lines: Vec<Line>,
    rooms: Rooms,
    now_ns: u64,
}

/// An event `eN` of the transaction `tN`; `e0` is nobody's.
fn seen(event: &str) -> Seen {
    let number = &event[1..];
    let number = number.split('-').next().unwrap();
    Seen {
        room: ROOM.to_owned(),
        id: event.to_owned(),
        sender: "@writer:test".to_owned(),
        txn: (number != "0").then(|| format!("t{number}")),
    }
}

impl Story {
    /// Three acknowledged messages, of which one reader is told.
    fn good() -> Self {
        let mut story = Self::default();
        story.reads("reader", None, "s0", &["e0"]);
        for number in 1..=3 {
            let (txn, event) = (format!("t{number}"), format!("e{number}"));
            story.sends(&txn, Some(200), Some(&event));
        }
        story.reads("reader", Some("s0"), "s1", &["e1", "e2"]);
        story.reads("reader", Some("s1"), "s2", &["e3"]);
        story.holds(&["e0", "e1", "e2", "e3"]);
        story
    }

    fn line(&mut self, client: &str, op: Op) -> &mut Line {
        let mut line = Line::new(client, op, self.now_ns);
        line.end_ns += 10;
        line.status = Some(200);
        self.now_ns += 20;
        self.lines.push(line);
        self.lines.last_mut().unwrap()
    }

    fn sends(&mut self, txn: &str, status: Option<u16>, event: Option<&str>) -> &mut Line {
        let line = self.line("writer", Op::Send);
        line.room = Some(ROOM.to_owned());
        line.txn = Some(txn.to_owned());
        line.status = status;
        line.event_id = event.map(ToOwned::to_owned);
        line
    }

    fn reads(&mut self, client: &str, since: Option<&str>, next: &str, told: &[&str]) -> &mut Line {
        let line = self.line(client, Op::Sync);
        line.since = since.map(ToOwned::to_owned);
        line.next = Some(next.to_owned());
        line.events = told.iter().map(|event| seen(event)).collect();
        line
    }

    /// A message to devices before the event of the transaction `t4`, which is sent then.
    fn leads(&mut self) {
        let line = self.line("writer", Op::ToDevice);
        line.txn = Some("d1".to_owned());
        line.to = vec!["reader".to_owned()];
        self.sends("t4", Some(200), Some("e4")).follows = Some("d1".to_owned());
        self.holds(&["e0", "e1", "e2", "e3", "e4"]);
    }

    fn holds(&mut self, events: &[&str]) {
        let events = events.iter().map(|event| seen(event)).collect();
        self.rooms.insert(ROOM.to_owned(), events);
    }

    /// Writes it to files and reads those.
    fn load(&self) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let (history, rooms) = (folder.path().join("history"), folder.path().join("rooms"));
        let written = History::create(&history).unwrap();
        for line in &self.lines {
            written.record(line);
        }
        written.flush();
        write_rooms(&rooms, &self.rooms).unwrap();
        let mut loaded = Loaded::default();
        loaded.read(&history).unwrap();
        loaded.read_rooms(&rooms).unwrap();
        loaded
    }

    #[track_caller]
    fn is_good(&self) {
        let report = check(&self.load());
        assert!(report.is_clean(), "{report}");
    }

    /// Exactly these rules are broken; gives what is said of the first of them.
    #[track_caller]
    fn breaks(&self, rules: &[Rule]) -> String {
        let report = check(&self.load());
        let broken: Vec<_> = report.counts.keys().copied().collect();
        assert_eq!(broken, rules, "{report}");
        let mut violations = report.violations.iter();
        let first = violations.find(|violation| violation.rule == rules[0]);
        first.unwrap().to_string()
    }
}

#[test]
fn lines_are_read_as_they_were_written() {
    let mut line = Line::new("reader", Op::ToDevice, 7);
    line.follows = Some("t".to_owned());
    line.events.push(seen("e1"));
    let text = serde_json::to_string(&line).unwrap();
    assert!(
        text.contains(r#""op":"to_device""#) && !text.contains("since"),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
}

#[test]
fn nothing_is_wrong() {
    Story::good().is_good();
}

#[test]
fn a_lost_acknowledgement() {
    let mut story = Story::good();
    story.holds(&["e0", "e1", "e2"]);
    story.lines.pop();
    let said = story.breaks(&[Rule::Acknowledged]);
    assert_eq!(
        said,
        "Acknowledged: acknowledged and not there at the end, client writer, room !room: e3"
    );
}

#[test]
fn an_acknowledgement_without_an_event() {
    let mut story = Story::good();
    story.sends("t9", Some(200), None);
    story.breaks(&[Rule::Acknowledged]);
}

#[test]
fn an_event_in_another_room() {
    let mut story = Story::good();
    story.sends("t4", Some(200), Some("e4"));
    story.rooms.insert("!other".to_owned(), vec![seen("e4")]);
    story.breaks(&[Rule::Acknowledged]);
}

#[test]
fn a_doubled_event() {
    let mut story = Story::good();
    story.holds(&["e0", "e1", "e2", "e3", "e2"]);
    let said = story.breaks(&[Rule::Acknowledged]);
    assert!(said.contains("told twice by /messages"), "{said}");
}

#[test]
fn a_repeat_is_answered_with_the_same_event() {
    let mut story = Story::good();
    story.sends("t3", Some(200), Some("e3"));
    story.is_good();
    story.sends("t3", Some(200), Some("e2"));
    story.breaks(&[Rule::OneEvent]);
}

#[test]
fn a_transaction_with_two_events() {
    let mut story = Story::good();
    story.holds(&["e0", "e1", "e2", "e3", "e3-again"]);
    story.breaks(&[Rule::OneEvent]);
}

#[test]
fn trouble_may_have_landed_once() {
    let mut story = Story::good();
    story.sends("t4", Some(503), None);
    story.sends("t4", None, None);
    story.is_good();
    story.holds(&["e0", "e1", "e2", "e3", "e4"]);
    story.is_good();
    story.holds(&["e0", "e1", "e2", "e3", "e4", "e4-again"]);
    let said = story.breaks(&[Rule::AtMostOnce]);
    assert!(said.ends_with("e4 e4-again"), "{said}");
}

#[test]
fn trouble_and_then_an_acknowledgement() {
    let mut story = Story::good();
    story.sends("t4", Some(503), None);
    story.sends("t4", Some(200), Some("e4"));
    story.holds(&["e0", "e1", "e2", "e3", "e4"]);
    story.reads("reader", Some("s2"), "s3", &["e4"]);
    story.is_good();
}

#[test]
fn acknowledgements_in_another_order() {
    let mut story = Story::good();
    story.lines.truncate(4);
    story.holds(&["e0", "e2", "e1", "e3"]);
    story.reads("reader", Some("s0"), "s1", &["e2", "e1", "e3"]);
    let said = story.breaks(&[Rule::AckOrder]);
    assert!(said.ends_with(": e2 e1"), "{said}");
    // What is asked for at the same time may stand as it likes.
    story.lines[1].end_ns = story.lines[2].end_ns;
    story.is_good();
}

#[test]
fn readers_are_told_another_order() {
    let mut story = Story::good();
    story.lines.truncate(4);
    story.reads("reader", Some("s0"), "s1", &["e2", "e1", "e3"]);
    // That the first was left out is seen before it comes.
    let said = story.breaks(&[Rule::SameOrder, Rule::NoGap]);
    assert!(said.ends_with("client reader, room !room: e1"), "{said}");
}

#[test]
fn readers_are_told_what_is_not_there() {
    let mut story = Story::good();
    story.reads("reader", Some("s2"), "s3", &["e9"]);
    story.breaks(&[Rule::SameOrder]);
}

#[test]
fn an_event_left_out_between_two_tokens() {
    let mut story = Story::good();
    story.lines.truncate(4);
    story.reads("reader", Some("s0"), "s1", &["e1"]);
    story.reads("reader", Some("s1"), "s2", &["e3"]);
    let said = story.breaks(&[Rule::NoGap]);
    assert!(said.ends_with("client reader, room !room: e2"), "{said}");
    // A gap that is told is none, but only where it is told.
    story.lines[5].limited = vec![ROOM.to_owned()];
    story.is_good();
    story.lines[5].limited = vec!["!other".to_owned()];
    story.breaks(&[Rule::NoGap]);
}

#[test]
fn a_gap_within_a_limited_timeline() {
    let mut story = Story::good();
    story.lines.truncate(4);
    let line = story.reads("reader", Some("s0"), "s1", &["e1", "e3"]);
    line.limited = vec![ROOM.to_owned()];
    story.breaks(&[Rule::NoGap]);
}

#[test]
fn an_event_twice_for_one_reader() {
    let mut story = Story::good();
    story.reads("reader", Some("s2"), "s3", &["e3"]);
    let said = story.breaks(&[Rule::NoGap]);
    assert!(said.contains("told again"), "{said}");
    let mut story = Story::good();
    story.lines.truncate(4);
    story.reads("reader", Some("s0"), "s1", &["e1", "e1", "e2", "e3"]);
    story.breaks(&[Rule::NoGap]);
}

#[test]
fn an_answer_that_was_lost_is_asked_for_again() {
    let mut story = Story::good();
    story.sends("t4", Some(200), Some("e4"));
    story.holds(&["e0", "e1", "e2", "e3", "e4"]);
    story.reads("reader", Some("s2"), "s3", &["e4"]).status = None;
    story.reads("reader", Some("s2"), "s3", &["e4"]);
    story.is_good();
}

#[test]
fn a_reader_that_begins_anew() {
    let mut story = Story::good();
    story.reads("reader", None, "s9", &["e2", "e3"]);
    story.is_good();
}

#[test]
fn a_reader_that_never_hears_of_the_last() {
    let mut story = Story::good();
    story.lines.pop();
    let said = story.breaks(&[Rule::NoGap]);
    assert!(said.contains("never told"), "{said}");
}

#[test]
fn a_token_that_is_refused() {
    let mut story = Story::good();
    story.reads("reader", Some("s2"), "", &[]).status = Some(503);
    story.reads("reader", Some("s2"), "", &[]).status = Some(429);
    story.is_good();
    story.reads("reader", Some("s2"), "", &[]).status = Some(400);
    let said = story.breaks(&[Rule::Token]);
    assert_eq!(said, "Token: a token was refused, client reader: s2");
}

#[test]
fn an_old_token_brought_elsewhere() {
    let mut story = Story::good();
    story.reads("reader", Some("s1"), "other", &["e3"]);
    story.reads("reader", Some("s0"), "another", &["e1", "e2", "e3"]);
    // The chain goes on as before.
    story.sends("t4", Some(200), Some("e4"));
    story.holds(&["e0", "e1", "e2", "e3", "e4"]);
    story.reads("reader", Some("s2"), "s3", &["e4"]);
    story.is_good();
    story.reads("reader", Some("s0"), "bad", &["e2", "e3", "e4"]);
    story.breaks(&[Rule::Token]);
    story.lines.pop();
    story.reads("reader", Some("s1"), "bad", &["e2", "e3"]);
    story.breaks(&[Rule::Token]);
}

#[test]
fn a_message_to_a_device_before_its_event() {
    let mut story = Story::good();
    story.leads();
    story.reads("reader", Some("s2"), "s3", &["e4"]).to_device = vec!["d1".to_owned()];
    // For others there was none.
    story.reads("other", None, "o1", &["e4"]);
    story.is_good();
}

#[test]
fn a_message_to_a_device_after_its_event() {
    let mut story = Story::good();
    story.leads();
    story.reads("reader", Some("s2"), "s3", &["e4"]);
    let said = story.breaks(&[Rule::ToDevice]);
    assert!(said.ends_with("client reader, room !room: e4 d1"), "{said}");
    story.reads("reader", Some("s3"), "s4", &[]).to_device = vec!["d1".to_owned()];
    story.breaks(&[Rule::ToDevice]);
}

#[test]
fn a_message_to_a_device_that_comes_again() {
    let mut story = Story::good();
    story.leads();
    let message = || vec!["d1".to_owned()];
    story.reads("reader", Some("s2"), "s3", &["e4"]).to_device = message();
    // Whoever asks with the same token has not said that the message arrived.
    story.reads("reader", Some("s2"), "s3", &["e4"]).to_device = message();
    story.is_good();
    story.reads("reader", Some("s3"), "s4", &[]).to_device = message();
    story.breaks(&[Rule::ToDevice]);
}

#[test]
fn reports_stay_readable() {
    let mut story = Story::default();
    for number in 1..=1000 {
        story.sends(
            &format!("t{number}"),
            Some(200),
            Some(&format!("e{number}")),
        );
    }
    let report = check(&story.load());
    assert_eq!(report.counts[&Rule::Acknowledged], 1000);
    assert_eq!(report.violations.len(), 200);
}

#[test]
fn many_lines() {
    let mut story = Story::default();
    let events: Vec<_> = (1..=20_000).map(|number| format!("e{number}")).collect();
    let mut since = None;
    for (number, event) in events.iter().enumerate() {
        story.sends(&format!("t{}", &event[1..]), Some(200), Some(event));
        let next = format!("s{number}");
        for reader in ["one", "two", "three"] {
            story.reads(reader, since.as_deref(), &next, &[event.as_str()]);
        }
        since = Some(next);
    }
    let all: Vec<_> = events.iter().map(String::as_str).collect();
    story.holds(&all);
    story.is_good();
}

#[test]
fn stalls_are_times_in_which_somebody_waits() {
    let mut story = Story::default();
    story.sends("t1", Some(503), None);
    story.now_ns += 1000;
    story.sends("t1", Some(200), Some("e1"));
    // Nobody waits.
    story.now_ns += 100_000;
    story.sends("t2", Some(200), Some("e2"));
    let last = story.sends("t3", None, None);
    last.end_ns += 40;
    let loaded = story.load();
    let stalls = Stalls::of(&loaded);
    let expected = [10, 50, 1030].map(Duration::from_nanos);
    assert_eq!(stalls.all, expected);
    assert_eq!(stalls.longest, [stalls.max()]);
    assert!(stalls.to_string().contains("max 1.03µs"), "{stalls}");
    let figures = Figures::of(&loaded);
    assert_eq!((figures.requests[&Op::Send], figures.failures()), (4, 2));
    assert_eq!(figures.failed[&(Op::Send, Some(503))], 1);
    assert!(
        figures.to_string().starts_with("requests {Send: 4}"),
        "{figures}"
    );
}
