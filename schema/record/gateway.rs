//! Records of the push gateway: what homeservers gave it to pass on, and what became of that.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to notifications that the gateway passes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GatewayRecord {
    /// A notification for one device is to be passed on. The homeserver has been told so.
    #[serde(rename = "ga")]
    Accepted(AcceptedPush),
    /// The provider did not take it; it is tried again.
    #[serde(rename = "gp")]
    Postponed(PostponedPush),
    /// It has come to an end. Its contents are taken out of the log with it.
    #[serde(rename = "ge")]
    Ended(EndedPush),
    /// A homeserver was told that a pushkey is dead, or the pushkey was set anew since: nothing of it is remembered any more.
    #[serde(rename = "gt")]
    Told {
        /// Which device, by its digest.
        device: String,
    },
}

/// A notification for one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedPush {
    /// Its name, a UUID: the same for every attempt, so that the provider knows it again.
    pub push_id: String,
    /// A digest of app ID and pushkey, and of what else the provider needs to find it.
    pub device: String,
    /// A digest of the notification, by which a homeserver's repetition is known. Without an event there is none.
    pub digest: Option<String>,
    /// The app ID. Empty once it was taken out, as are the three that follow.
    pub app_id: String,
    /// The pushkey.
    pub pushkey: String,
    /// The device's `data`, as JSON text.
    pub data: String,
    /// The notification without its devices, as JSON text.
    pub notification: String,
    /// When it came, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// It is of no use to anybody after this time.
    pub expires_ms: u64,
    /// What it says of counts, as the JSON text of a notification that says nothing else: a repetition may say something else.
    #[serde(default)]
    pub counts: Option<String>,
    /// The span that accepted it (W3C Trace Context): attempts belong to the same trace. Taken out with the contents.
    #[serde(default)]
    pub trace: String,
}

/// A notification that is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostponedPush {
    /// Which.
    pub push_id: String,
    /// So often it was tried.
    pub attempts: u32,
    /// Not before this time, milliseconds since the Unix epoch.
    pub not_before_ms: u64,
    /// What the provider said.
    pub reason: String,
}

/// A notification that is not tried any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedPush {
    /// Which.
    pub push_id: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How.
    pub outcome: PushOutcome,
}

/// What became of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushOutcome {
    /// The provider has it.
    #[serde(rename = "d")]
    Delivered,
    /// The provider says that the pushkey is dead.
    #[serde(rename = "r")]
    Rejected {
        /// In its words.
        reason: String,
        /// The homeserver heard of it with the answer to its request, or nobody else needs to. Otherwise it hears of it with the next one.
        told: bool,
    },
    /// The provider will never take this notification; of the pushkey that says nothing.
    #[serde(rename = "f")]
    Refused {
        /// In its words.
        reason: String,
    },
    /// Its time was over.
    #[serde(rename = "x")]
    Expired,
    /// Newer counts for the same device have made it void.
    #[serde(rename = "s")]
    Superseded,
    /// There was nothing in it that the app could show.
    #[serde(rename = "n")]
    Needless,
}

impl AcceptedPush {
    /// What is left of it in the log when it has ended.
    pub fn emptied(&self) -> Self {
        Self {
            app_id: String::new(),
            pushkey: String::new(),
            data: String::new(),
            notification: String::new(),
            trace: String::new(),
            ..self.clone()
        }
    }
}

impl Record for GatewayRecord {
    fn kind(&self) -> Kind {
        match self {
            GatewayRecord::Accepted(_) => 850,
            GatewayRecord::Postponed(_) => 851,
            GatewayRecord::Ended(_) => 852,
            GatewayRecord::Told { .. } => 853,
        }
    }
}
