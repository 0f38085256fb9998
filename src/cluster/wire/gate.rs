//! The one actor of a node that others see. What comes in is handed on to the hub in the order in which it came.

use std::sync::Weak;

use ractor::{
    Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort,
    message::{BoxedDowncastErr, SerializedMessage},
};

use super::hub::Hub;

/// What goes from gate to gate: see `frames.rs`.
pub(super) enum GateMessage {
    /// With an answer.
    Ask(Vec<u8>, RpcReplyPort<Vec<u8>>),
    /// Without one.
    Tell(Vec<u8>),
}

// The frames are bytes already: deriving this would only copy them once more.
impl Message for GateMessage {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        let (variant, metadata) = (String::new(), None);
        Ok(match self {
            Self::Ask(args, reply) => SerializedMessage::Call {
                variant,
                args,
                reply,
                metadata,
            },
            Self::Tell(args) => SerializedMessage::Cast {
                variant,
                args,
                metadata,
            },
        })
    }

    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        match message {
            SerializedMessage::Call { args, reply, .. } => Ok(Self::Ask(args, reply)),
            SerializedMessage::Cast { args, .. } => Ok(Self::Tell(args)),
            SerializedMessage::CallReply(..) => Err(BoxedDowncastErr),
        }
    }
}

/// See the module's documentation.
pub(super) struct GateActor(pub(super) Weak<Hub>);

impl Actor for GateActor {
    type Msg = GateMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<GateMessage>,
        _arguments: (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<GateMessage>,
        message: GateMessage,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Some(hub) = self.0.upgrade() else {
            return Ok(());
        };
        match message {
            GateMessage::Ask(frame, port) => hub.asked(frame, port),
            GateMessage::Tell(frame) => hub.told(frame),
        }
        Ok(())
    }
}
