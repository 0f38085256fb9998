//! Message encryption for Web Push (RFC 8291) in one record of `aes128gcm` (RFC 8188).

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};

/// The record size: all of a message is one record.
const RECORD_BYTES: u32 = 4_096;

/// Salt, record size, length of the key ID, and the key ID: an uncompressed point.
const HEADER_BYTES: usize = 16 + 4 + 1 + 65;

/// A message has at most so many bytes: push services take 4096 (RFC 8030, section 7.2), of which header, delimiter and tag are ours.
pub(super) const MESSAGE_BYTES_MAX: usize = RECORD_BYTES as usize - HEADER_BYTES - 1 - 16;

/// What a browser gave its web app.
pub(super) struct Subscription {
    /// `p256dh`, an uncompressed point.
    pub(super) public_key: Vec<u8>,
    /// `auth`.
    pub(super) secret: Vec<u8>,
}

/// What is new for every message.
pub(super) struct Fresh {
    key: PrivateKey,
    salt: [u8; 16],
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Fresh {
    pub(super) fn new(salt: [u8; 16]) -> Result<Self, Unspecified> {
        let key = PrivateKey::generate(&ECDH_P256)?;
        Ok(Self { key, salt })
    }
}

/// The body of a request to the push service.
pub(super) fn encrypt(
    message: &[u8],
    subscription: &Subscription,
    fresh: &Fresh,
) -> Result<Vec<u8>, Unspecified> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Unspecified);
    }
    let own = fresh.key.compute_public_key()?;
    let own = own.as_ref();
    let theirs = &subscription.public_key;
    let peer = UnparsedPublicKey::new(&ECDH_P256, theirs);
    let mut keying = [0; 32];
    agree(&fresh.key, peer, Unspecified, |shared| {
        let salt = Salt::new(HKDF_SHA256, &subscription.secret);
        let info: [&[u8]; 3] = [b"WebPush: info\0", theirs, own];
        expand(&salt.extract(shared), &info, &mut keying)
    })?;
    let prk = Salt::new(HKDF_SHA256, &fresh.salt).extract(&keying);
    let (mut key, mut nonce) = ([0; 16], [0; NONCE_LEN]);
    expand(&prk, &[b"Content-Encoding: aes128gcm\0"], &mut key)?;
    expand(&prk, &[b"Content-Encoding: nonce\0"], &mut nonce)?;
    let mut sealed = Vec::with_capacity(message.len() + 17);
    sealed.extend_from_slice(message);
    // The delimiter of the last record; no padding follows.
    sealed.push(2);
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?).seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut sealed,
    )?;
    let mut body = Vec::with_capacity(HEADER_BYTES + sealed.len());
    body.extend_from_slice(&fresh.salt);
    body.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    body.push(own.len() as u8);
    body.extend_from_slice(own);
    body.extend_from_slice(&sealed);
    Ok(body)
}

fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), Unspecified> {
    prk.expand(info, Length(out.len()))?.fill(out)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn subscription() -> Subscription {
        Subscription {
            public_key: bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            ),
            secret: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        }
    }

    /// RFC 8291, section 5 and appendix A.
    #[test]
    fn the_rfcs_example() {
        let fresh = Fresh {
            key: PrivateKey::from_private_key(
                &ECDH_P256,
                &bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
            )
            .unwrap(),
            salt: bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap(),
        };
        let message = b"When I grow up, I want to be a watermelon";
        let body = encrypt(message, &subscription(), &fresh).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(body),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn bounds_and_nonsense() {
        let fresh = Fresh::new([7; 16]).unwrap();
        let full = vec![b'x'; MESSAGE_BYTES_MAX];
        assert_eq!(
            encrypt(&full, &subscription(), &fresh).unwrap().len(),
            4_096
        );
        let over = vec![b'x'; MESSAGE_BYTES_MAX + 1];
        assert!(encrypt(&over, &subscription(), &fresh).is_err());
        let mut wrong = subscription();
        wrong.public_key[1] ^= 1;
        assert!(encrypt(b"", &wrong, &fresh).is_err(), "not on the curve");
        wrong.public_key.truncate(5);
        assert!(encrypt(b"", &wrong, &fresh).is_err());
    }
}
