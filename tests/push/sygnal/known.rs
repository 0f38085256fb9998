//! Every difference that is known, and why ours is right. A list that goes both ways: an unknown difference fails the test, and so does one that is gone.

use super::outcome::{Difference, NOTHING};

/// A kind of difference.
pub(super) struct Known {
    /// What it is.
    pub(super) what: &'static str,
    /// Why ours is right.
    pub(super) why: &'static str,
    /// Whether a difference is of this kind.
    pub(super) fits: fn(&Difference) -> bool,
}

impl Difference {
    /// It is of one of these groups and in this field.
    fn of(&self, groups: &[&str], field: &str) -> bool {
        groups.contains(&self.about) && self.field == field
    }

    /// It is of this group, and in a field that begins so.
    fn within(&self, group: &str, field: &str) -> bool {
        self.about == group && self.field.starts_with(field)
    }

    fn is_header(&self, name: &str) -> bool {
        self.field
            .split_once(" header ")
            .is_some_and(|(_, header)| header == name)
    }

    fn goes(&self, theirs: &str, ours: &str) -> bool {
        self.theirs == theirs && self.ours == ours
    }

    /// More or fewer requests to a provider.
    fn attempts(&self, theirs: &str, ours: &str) -> bool {
        self.field.ends_with(" attempts") && self.goes(theirs, ours)
    }

    fn answer(&self, theirs: &str, ours: &str) -> bool {
        self.field == "answer" && self.theirs.starts_with(theirs) && self.ours.starts_with(ours)
    }
}

/// What Sygnal answers when nobody is rejected, and we too.
const DONE: &str = "200 []";
/// And when somebody is.
const DEAD: &str = "200 [\"";

/// What every request has.
const ALWAYS: &[Known] = &[
    Known {
        what: "User-Agent, Accept, Content-Type",
        why: "say who sends, and what: JSON to Apple, bytes to push services",
        fits: |one| {
            ["user-agent", "accept", "content-type"]
                .iter()
                .any(|name| one.is_header(name))
        },
    },
    Known {
        what: "Apple is told until when a notification is of use",
        why: "without apns-expiration Apple may try once and forget: a phone that is off gets nothing",
        fits: |one| one.is_header("apns-expiration") && one.goes(NOTHING, "a time"),
    },
    Known {
        what: "Apple is told the push type where the configuration has none",
        why: "Apple requires apns-push-type since iOS 13 and may delay or drop what has none",
        fits: |one| one.is_header("apns-push-type") && one.theirs == NOTHING,
    },
    Known {
        what: "Google is told until when a notification is of use",
        why: "without ttl Google keeps it for four weeks: long after our own time is over",
        fits: |one| one.field == "fcm payload message android ttl" && one.theirs == NOTHING,
    },
    Known {
        what: "HTTP/2 to Google and push services",
        why: "one connection carries many requests; HTTP/1.1 where they want it",
        fits: |one| one.field.ends_with(" version") && one.goes("HTTP/1.1", "HTTP/2.0"),
    },
    Known {
        what: "urgency of what is not low",
        why: "RFC 8030: `normal` waits while a battery is low; messages with a sound and calls must not",
        fits: |one| one.is_header("urgency") && one.goes("normal", "high"),
    },
    Known {
        what: "bodies of errors",
        why: "the specification's errcode and error instead of words and pages",
        fits: |one| one.field == "body" && one.ours == "an error of Matrix",
    },
];

/// What devices are told.
const PAYLOADS: &[Known] = &[
    Known {
        what: "priority of background pushes",
        why: "Apple refuses 10 for a push type of background (BadPriority)",
        fits: |one| {
            ["background", "ids"].contains(&one.about)
                && one.is_header("apns-priority")
                && one.goes("10", "5")
        },
    },
    Known {
        what: "topic of VoIP",
        why: "Apple knows VoIP by the bundle ID with `.voip`; other topics are refused, and Sygnal has the pushers deleted then",
        fits: |one| {
            one.about == "voip"
                && one.is_header("apns-topic")
                && one.ours == format!("{}.voip", one.theirs)
        },
    },
    Known {
        what: "counts to VoIP",
        why: "whoever gets a VoIP push must let the phone ring, or iOS ends the app: nobody calls here",
        fits: |one| one.about == "voip" && one.attempts("1", "0"),
    },
    Known {
        what: "hexadecimal pushkeys in capitals",
        why: "small letters, as Apple writes tokens; the token is the same",
        fits: |one| one.field == "apns path" && one.ours == one.theirs.to_lowercase(),
    },
    Known {
        what: "counts that are left out",
        why: "homeservers leave out counts of zero, as the specification has it: the badge must vanish",
        fits: |one| one.of(&["counts"], "apns attempts") && one.attempts("0", "1"),
    },
    Known {
        what: "nothing unread, to Google",
        why: "the app must hear that the last message was read elsewhere",
        fits: |one| one.of(&["counts"], "fcm attempts") && one.attempts("0", "1"),
    },
    Known {
        what: "defaults that are no texts, to Google",
        why: "the values of data must be texts: Google refuses the whole message otherwise (INVALID_ARGUMENT)",
        fits: |one| {
            (one.within("default", "fcm payload message data ")
                || one.within("odd default", "fcm payload message data "))
                && one.ours.starts_with('"')
        },
    },
    Known {
        what: "long words to Apple",
        why: "1,024 bytes are more than a screen shows; Sygnal shortens to 4 KiB letter by letter, and does nothing else meanwhile",
        fits: |one| one.of(&["long", "very long"], "apns payload aps alert loc-args"),
    },
    Known {
        what: "very long words to Apple",
        why: "twice as long takes Sygnal four times as long: 40,000 bytes seconds of CPU, 100,000 more than ten, and everybody else waits; here they are cut at once",
        fits: |one| one.of(&["very long"], "time") && one.goes("late", "soon"),
    },
    Known {
        what: "long words to browsers",
        why: "bytes are counted, as push services do, and names and content left out; Sygnal sends more than 4,096 bytes",
        fits: |one| one.within("long", "web payload"),
    },
    Known {
        what: "more than Google takes",
        why: "Google takes 4,096 bytes: the longest fields are left out, Sygnal's message is refused",
        fits: |one| one.within("long", "fcm payload message data ") && one.ours == NOTHING,
    },
    Known {
        what: "a default that is larger than a provider's bound",
        why: "no provider would take it: nothing is asked, and the homeserver need not try again",
        fits: |one| one.about == "too long" && (one.answer("500", DONE) || one.attempts("1", "0")),
    },
    Known {
        what: "a name that is empty",
        why: "Apple's text gets a blank, as where there is no name at all",
        fits: |one| one.of(&["empty name"], "apns payload aps alert loc-args"),
    },
    Known {
        what: "words that are no text, to Apple",
        why: "loc-args are texts: Apple refuses others",
        fits: |one| one.within("odd words", "apns payload aps alert loc-"),
    },
    Known {
        what: "what the client wants to be IDs only",
        why: "a homeserver that does not know the wish still keeps the message from Apple and Google",
        fits: |one| one.about == "format" && one.field.contains(" payload "),
    },
    Known {
        what: "how long browsers' push services keep a call",
        why: "a call rings as long as its lifetime says: a phone that comes back later must not ring",
        fits: |one| one.is_header("ttl") && one.goes("about 900", "about 60"),
    },
    Known {
        what: "topics of Web Push",
        why: "32 letters of base64url (RFC 8030): Sygnal's end with `=`, which is none; counts replace no message",
        fits: |one| one.is_header("topic") && one.theirs.ends_with('='),
    },
];

/// What is made of providers' answers.
const ANSWERS: &[Known] = &[
    Known {
        what: "mistakes of the gateway's operator",
        why: "a wrong topic, key or project is not the device's fault: tried again until put right, and no pusher is deleted",
        fits: |one| {
            one.about == "ours to mend"
                && (one.answer("502", DONE) || one.answer(DEAD, DONE) || one.attempts("1", "2"))
        },
    },
    Known {
        what: "dead tokens that Sygnal does not know as such",
        why: "410 is what Apple says of every dead token; Google says so by SENDER_ID_MISMATCH and by INVALID_ARGUMENT about the token",
        fits: |one| one.about == "dead" && one.answer("502", DEAD),
    },
    Known {
        what: "what a provider never takes",
        why: "502 makes a homeserver ask again for a day what is refused each time, and holds up what comes after it",
        fits: |one| one.about == "never" && one.answer("502", DONE),
    },
    Known {
        what: "what Sygnal gives up, or never tries again",
        why: "it is tried until its time is over",
        fits: |one| {
            one.about == "again"
                && (one.attempts("1", "2")
                    || one.attempts("3", "4")
                    || one.answer("502", DONE)
                    || one.answer("500", DONE))
        },
    },
    Known {
        what: "homeservers need not wait",
        why: "what is written down need not be waited for; Synapse gives up after a minute and sends it twice",
        fits: |one| {
            ["again", "late"].contains(&one.about)
                && one.field == "time"
                && one.goes("late", "soon")
        },
    },
    Known {
        what: "tokens that die late",
        why: "the homeserver had its answer: it is told with the next request for that pushkey",
        fits: |one| one.about == "late" && one.answer(DEAD, DONE),
    },
    Known {
        what: "repetitions",
        why: "a homeserver that did not hear the answer repeats itself: the phone must not ring twice",
        fits: |one| one.about == "repeat" && one.attempts("2", "1"),
    },
    Known {
        what: "one device's trouble",
        why: "Sygnal leaves out all devices after the first that fails; the homeserver's repetition reaches those before it twice",
        fits: |one| {
            one.about == "several"
                && (one.answer("502", DONE) || one.attempts("0", "1") || one.attempts("1", "2"))
        },
    },
];

/// What strangers say.
const STRANGERS: &[Known] = &[
    Known {
        what: "null",
        why: "null is taken as if nothing was said; Sygnal refuses it, breaks down, or has the pusher deleted",
        fits: |one| {
            one.about == "null"
                && (one.answer("400", DONE)
                    || one.answer("500", DONE)
                    || one.answer(DEAD, DONE)
                    || one.attempts("0", "1"))
        },
    },
    Known {
        what: "defaults that an alert does not fit into",
        why: "what is no object gives way; Sygnal breaks down, and the homeserver tries for a day",
        fits: |one| {
            one.about == "odd default" && (one.answer("500", DONE) || one.attempts("0", "1"))
        },
    },
    Known {
        what: "fields of a wrong type",
        why: "400, as the specification says; Sygnal breaks down, or sends on what apps cannot read",
        fits: |one| one.about == "types" && (one.answer("", "400") || one.attempts("1", "0")),
    },
    Known {
        what: "fields that a gateway has no use for",
        why: "a pushkey_ts as a fraction or a tweak of an unknown type keeps nobody from being notified",
        fits: |one| one.about == "lenient" && (one.answer("400", DONE) || one.attempts("0", "1")),
    },
    Known {
        what: "bodies at which Sygnal breaks down",
        why: "what is malformed is 400: homeservers try again after 500",
        fits: |one| one.about == "crash" && one.answer("500", "400"),
    },
    Known {
        what: "bounds",
        why: "pushkeys of 1 to 512 bytes, IDs of 1 KiB, data of 16, 256 in all, 100 devices; Sygnal hangs up at 512 KiB",
        fits: |one| {
            one.about == "bounds"
                && (one.answer("", "400")
                    || one.answer("", "413")
                    || one.answer("", "none")
                    || one.attempts("1", "0"))
        },
    },
    Known {
        what: "pushkeys in no base64, or without padding",
        why: "padding is not asked for; other letters make it no token: Sygnal leaves them out, or breaks down",
        fits: |one| {
            one.about == "pushkey"
                && (one.answer("", "200") || one.attempts("0", "1") || one.attempts("1", "0"))
        },
    },
    Known {
        what: "subscriptions that cannot be used",
        why: "nobody can be reached there, ever: the pusher is to go; Sygnal breaks down, or sends what no browser can read",
        fits: |one| {
            one.about == "subscription"
                && (one.answer("500", DEAD) || one.answer(DONE, DEAD) || one.attempts("1", "0"))
        },
    },
    Known {
        what: "hosts with a port",
        why: "allowed_endpoints are hosts: a push service on another port is the same host",
        fits: |one| one.about == "port" && one.attempts("0", "1"),
    },
    Known {
        what: "places inside",
        why: "whoever sets a pusher must not have the gateway ask addresses of its own network",
        fits: |one| one.about == "inside" && one.attempts("1", "0"),
    },
    Known {
        what: "a push service that is down",
        why: "it is tried until its time is over, and the homeserver need not",
        fits: |one| one.about == "unreachable" && one.answer("500", DONE),
    },
    Known {
        what: "methods and paths",
        why: "405 for a method that a path has not (501: unknown anywhere), one path for one thing, figures at /metrics for this machine",
        fits: |one| one.about == "http" && (one.field == "answer" || one.attempts("1", "0")),
    },
];

/// All kinds, in the order of the table.
pub(super) fn known() -> impl Iterator<Item = &'static Known> {
    [ALWAYS, PAYLOADS, ANSWERS, STRANGERS].into_iter().flatten()
}
