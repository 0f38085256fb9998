//! Sessions, claims, and that nothing readable stays behind.

use playhouse_schema::record::{
    codec::Record as _,
    threepid::{self as record, ThreepidRecord},
};
use ruma::owned_user_id;

use super::{decide::decide, *};

#[derive(Default)]
struct World {
    threepid: Threepid,
    log: Vec<ThreepidRecord>,
}

impl World {
    fn tell(
        &mut self,
        command: ThreepidCommand,
        now_ms: u64,
    ) -> Result<ThreepidReply, ThreepidError> {
        let decision = decide(&self.threepid, command, now_ms)?;
        for record in decision.records {
            self.threepid.take_in(self.log.len() as u64 + 1, &record);
            self.log.push(record);
        }
        for (sequence, payload) in decision.erasures {
            let record = rmp_serde::from_slice(&payload).unwrap();
            self.log[sequence as usize - 1] = record;
        }
        let mut replayed = Threepid::default();
        for (record, sequence) in self.log.iter().zip(1..) {
            replayed.take_in(sequence, record);
        }
        assert_eq!(replayed.owner(), self.threepid.owner());
        assert_eq!(replayed.sessions(), self.threepid.sessions());
        Ok(decision.reply)
    }

    fn begin(&mut self, attempt: u64, now_ms: u64) -> Result<ThreepidReply, ThreepidError> {
        self.tell(
            ThreepidCommand::Begin(validation("s", attempt, now_ms)),
            now_ms,
        )
    }

    fn validate(&mut self, token: &str, now_ms: u64) -> Result<ThreepidReply, ThreepidError> {
        let command = ThreepidCommand::Validate {
            session: "s".to_owned(),
            secret: "secret".to_owned(),
            token: token.to_owned(),
        };
        self.tell(command, now_ms)
    }

    fn spend(&mut self, purpose: &str, now_ms: u64) -> Result<ThreepidReply, ThreepidError> {
        let command = ThreepidCommand::Use {
            session: "s".to_owned(),
            secret: "secret".to_owned(),
            purpose: purpose.to_owned(),
        };
        self.tell(command, now_ms)
    }

    fn is_to_send(&self, attempt: u64, now_ms: u64) -> bool {
        let query = ThreepidQuery::IsToSend {
            session: "s".to_owned(),
            attempt,
        };
        self.threepid.answer(&query, now_ms) == ThreepidAnswer::Yes(true)
    }
}

fn validation(session: &str, attempt: u64, now_ms: u64) -> record::Validation {
    record::Validation {
        session: session.to_owned(),
        purpose: "add".to_owned(),
        medium: "email".to_owned(),
        address: "a@example.org".to_owned(),
        secret: "secret".to_owned(),
        token: format!("token{attempt}"),
        attempt,
        next_link: Some("https://example.org/next".to_owned()),
        at_ms: now_ms,
        until_ms: now_ms + 1_000,
    }
}

fn claim(user_id: ruma::OwnedUserId, from: Option<ruma::OwnedUserId>) -> ThreepidCommand {
    ThreepidCommand::Claim {
        user_id,
        from,
        address: Address::email("a@example.org").unwrap(),
        validated_ms: 5,
    }
}

#[test]
fn a_session_proves_once() {
    let mut world = World::default();
    assert!(world.is_to_send(1, 0));
    world.begin(1, 0).unwrap();
    assert!(!world.is_to_send(1, 10));
    assert!(world.is_to_send(2, 10));
    assert!(world.is_to_send(1, 1_000), "the first one is too old");
    world.begin(2, 10).unwrap();
    assert_eq!(world.validate("token1", 20), Err(ThreepidError::Invalid));
    assert_eq!(world.spend("add", 20), Err(ThreepidError::Invalid));
    let next = Some("https://example.org/next".to_owned());
    let validated = Ok(ThreepidReply::Validated(next));
    assert_eq!(world.validate("token2", 20), validated);
    assert_eq!(world.validate("token2", 30), validated);
    assert_eq!(world.spend("password", 40), Err(ThreepidError::Invalid));
    let used = ThreepidReply::Used(Validation {
        address: Address::email("A@example.org").unwrap(),
        validated_ms: 20,
    });
    assert_eq!(world.spend("add", 5_000), Ok(used));
    assert_eq!(world.spend("add", 5_000), Err(ThreepidError::Invalid));
    let left = world.log.iter().map(|record| record.encode());
    let left: Vec<u8> = left.flatten().collect();
    assert!(!String::from_utf8_lossy(&left).contains("example.org"));
}

#[test]
fn a_token_comes_too_late() {
    let mut world = World::default();
    world.begin(1, 0).unwrap();
    assert_eq!(world.validate("token1", 1_000), Err(ThreepidError::Invalid));
    for number in 0..16 {
        let other = validation(&format!("o{number}"), 1, 1_000);
        world.tell(ThreepidCommand::Begin(other), 1_000).unwrap();
    }
    assert_eq!(world.begin(2, 1_500), Err(ThreepidError::Busy));
    world.begin(3, 2_000).unwrap();
    assert_eq!(world.threepid.sessions(), 1, "old ones are forgotten");
}

#[test]
fn it_belongs_to_one_account() {
    let mut world = World::default();
    let (anna, ben) = (owned_user_id!("@anna:b"), owned_user_id!("@ben:b"));
    world.tell(claim(anna.clone(), None), 7).unwrap();
    world.tell(claim(anna.clone(), None), 8).unwrap();
    assert_eq!(world.log.len(), 1);
    let taken = Err(ThreepidError::Taken(anna.clone()));
    assert_eq!(world.tell(claim(ben.clone(), None), 9), taken);
    let release = |user_id| ThreepidCommand::Release { user_id };
    let unknown = Err(ThreepidError::Unknown);
    assert_eq!(world.tell(release(ben.clone()), 9), unknown);
    world.tell(claim(ben.clone(), Some(anna)), 10).unwrap();
    assert_eq!(world.threepid.owner(), Some((ben.clone(), 10)));
    world.tell(release(ben.clone()), 11).unwrap();
    assert_eq!(world.threepid.owner(), None);
    let left = world.log.iter().map(|record| record.encode());
    let left: Vec<u8> = left.flatten().collect();
    assert!(!String::from_utf8_lossy(&left).contains("example.org"));
    assert_eq!(world.tell(release(ben), 12), Err(ThreepidError::Unknown));
}

#[test]
fn addresses_are_compared_in_one_form() {
    let email = |text| Address::email(text).map(|address| address.address);
    assert_eq!(
        email(" Anna@Example.ORG "),
        Some("anna@example.org".to_owned())
    );
    for text in [
        "", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nc", "a@.b", "<a@b>",
    ] {
        assert_eq!(email(text), None, "{text:?}");
    }
    let msisdn = |text| Address::msisdn(text).map(|address| address.address);
    assert_eq!(msisdn("+49 (170) 123-45"), Some("4917012345".to_owned()));
    assert_eq!(msisdn("12a45"), None);
    let id = SessionId::of(&Address::email("a@b").unwrap(), "add", "secret");
    assert_eq!(SessionId::parse(&id.to_string()), Some(id));
    assert_eq!(SessionId::parse("a.b"), None);
}
