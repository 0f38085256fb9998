//! What two nodes say to each other on a new connection before anything else goes over it.
//!
//! Who dials says who it is, which life of it this is, and how the connection shall be called; who was dialled says who it is. The certificates have shown the
//! names already. Of two nodes the one with the lesser name dials, so that there is one connection between them; the other knocks: it says hello, and that it
//! wants to be dialled.

use playhouse_schema::register::NodeName;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use uuid::Uuid;

/// What goes over the wire has this form.
pub(super) const FORM: u32 = 1;

/// A greeting is no longer than this.
const GREETING_BYTES_MAX: u32 = 4_096;

/// The dialler's greeting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`FORM`].
    pub(super) form: u32,
    /// Who dials.
    pub(super) who: Party,
    /// How the connection is called.
    pub(super) connection: Uuid,
    /// Where the dialler can be dialled.
    pub(super) address: String,
    /// It wants to be dialled, and nothing else.
    pub(super) knock: bool,
}

/// Who is at an end of a connection; from the one that was dialled, the answer to a greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Party {
    /// Its name.
    pub(super) name: NodeName,
    /// Which process of it: later ones are greater.
    pub(super) life: Uuid,
    /// The number of its gate among its actors.
    pub(super) gate: u64,
}

/// Says a greeting.
pub(super) async fn say<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    greeting: &T,
) -> std::io::Result<()> {
    let text = serde_json::to_vec(greeting)?;
    let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    if bytes > GREETING_BYTES_MAX {
        return Err(std::io::Error::other("the greeting is too long"));
    }
    stream.write_all(&bytes.to_be_bytes()).await?;
    stream.write_all(&text).await?;
    stream.flush().await
}

/// Hears a greeting, and not a byte of what follows it.
pub(super) async fn hear<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> std::io::Result<T> {
    let bytes = stream.read_u32().await?;
    if bytes > GREETING_BYTES_MAX {
        return Err(std::io::Error::other("the greeting is too long"));
    }
    let mut text = vec![0; bytes as usize];
    stream.read_exact(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party() -> Party {
        Party {
            name: NodeName::parse("n1").unwrap(),
            life: Uuid::from_u128(1),
            gate: 3,
        }
    }

    #[tokio::test]
    async fn a_greeting_is_heard_and_nothing_more() {
        let hello = Hello {
            form: FORM,
            who: party(),
            connection: Uuid::from_u128(2),
            address: "10.0.0.1:8449".to_owned(),
            knock: true,
        };
        let mut line = Vec::new();
        say(&mut line, &hello).await.unwrap();
        line.extend_from_slice(b"rest");
        let mut line = line.as_slice();
        let heard: Hello = hear(&mut line).await.unwrap();
        assert_eq!((heard.connection, heard.knock), (hello.connection, true));
        assert_eq!(line, b"rest");
    }

    #[tokio::test]
    async fn long_greetings_are_not_read() {
        let heard = hear::<Hello>(&mut [0, 1, 0, 0, b'{'].as_slice()).await;
        assert!(heard.unwrap_err().to_string().contains("too long"));
        let long = vec![party(); 100];
        assert!(say(&mut Vec::<u8>::new(), &long).await.is_err());
    }
}
