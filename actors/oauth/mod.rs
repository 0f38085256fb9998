//! The OAuth clients that registered here, and the devices without a browser that wait for their user (client-server API, "OAuth 2.0 API").
//!
//! Owns which clients are known. Must not know users: what a client was given stands in the tokens of the user's device.

pub mod message;
mod state;
mod waiting;

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::oauth::OauthRecord,
};

pub use message::{
    DeviceCodes, DeviceWish, OauthAnswer, OauthCommand, OauthError, OauthQuery, OauthReply,
    Progress,
};
pub use state::Oauth;
use waiting::Waiting;

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
};

impl Domain for Oauth {
    const NAME: &'static str = "oauth";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = OauthRecord;
    type Command = OauthCommand;
    type Reply = OauthReply;
    type Query = OauthQuery;
    type Answer = OauthAnswer;
    type Signal = ();
    type Error = OauthError;
    type Live = Waiting;
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &OauthRecord) {
        self.take_in(record);
    }

    fn decide(&self, command: OauthCommand, env: &Env) -> Result<Decision<Self>, OauthError> {
        self.judge(command, env.now_ms())
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: OauthQuery,
        port: Port<OauthAnswer, OauthError>,
    ) {
        let _ = port.send(answer(resident, query));
    }

    fn is_busy(live: &Waiting) -> bool {
        !live.is_empty()
    }

    fn weight_bytes(&self) -> usize {
        self.weight()
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= 500
    }

    fn to_snapshot(&self) -> Bytes {
        rmp_serde::to_vec(self)
            .expect("strings and numbers are always representable in MessagePack")
            .into()
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        rmp_serde::from_slice(&snapshot.payload).ok()
    }
}

fn answer(resident: &mut Resident<Oauth>, query: OauthQuery) -> Result<OauthAnswer, OauthError> {
    let env = resident.context.clone();
    let now_ms = env.now_ms();
    let waiting = &mut resident.live;
    Ok(match query {
        OauthQuery::Client(client_id) => {
            OauthAnswer::Client(resident.state.metadata(&client_id).map(str::to_owned))
        }
        OauthQuery::AskForDevice(wish) => OauthAnswer::Asked(waiting.begin(wish, &env)?),
        OauthQuery::DeviceWish(typed) => OauthAnswer::Wish(waiting.wish(&typed, now_ms)),
        OauthQuery::SettleDevice { user_code, code } => {
            OauthAnswer::Settled(waiting.settle(&user_code, code, now_ms))
        }
        OauthQuery::PollDevice {
            device_code,
            client_id,
        } => OauthAnswer::Progress(waiting.poll(&device_code, &client_id, now_ms)),
    })
}
