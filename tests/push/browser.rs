//! A browser with a subscription: decrypts what it gets.

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::provider::Provider;

/// A browser with a subscription.
pub(super) struct Browser {
    key: PrivateKey,
    public_key: Vec<u8>,
    secret: [u8; 16],
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(prk: &Prk, info: &[&[u8]], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    let okm = prk.expand(info, Length(length)).expect("a length");
    okm.fill(&mut out).expect("a length");
    out
}

impl Browser {
    /// With new keys.
    pub(super) fn new() -> Self {
        let key = PrivateKey::generate(&ECDH_P256).expect("a key");
        let public_key = key.compute_public_key().expect("a key");
        Self {
            public_key: public_key.as_ref().to_vec(),
            key,
            secret: [9; 16],
        }
    }

    /// Its public key, as clients write it.
    pub(super) fn pushkey(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.public_key)
    }

    /// What a client says in a pusher's `data`.
    pub(super) fn data(&self, provider: &Provider) -> Value {
        json!({
            "endpoint": format!("{}/subscription", provider.url()),
            "auth": URL_SAFE_NO_PAD.encode(self.secret),
        })
    }

    /// RFC 8291, from the other side.
    pub(super) fn open(&self, body: &[u8]) -> Value {
        self.try_open(body).expect("it is for this browser")
    }

    /// The same; `None` for what a browser does not read: what is not for it, or not in one record.
    pub(super) fn try_open(&self, body: &[u8]) -> Option<Value> {
        let (salt, rest) = body.split_at_checked(16)?;
        let (size, rest) = rest.split_at_checked(4)?;
        if size != 4_096_u32.to_be_bytes() {
            return None;
        }
        let (length, rest) = rest.split_first()?;
        let (theirs, sealed) = rest.split_at_checked(usize::from(*length))?;
        let peer = UnparsedPublicKey::new(&ECDH_P256, theirs);
        let keying = agree(&self.key, peer, "no key", |shared| {
            let prk = Salt::new(HKDF_SHA256, &self.secret).extract(shared);
            let info: [&[u8]; 3] = [b"WebPush: info\0", &self.public_key, theirs];
            Ok(expand(&prk, &info, 32))
        });
        let prk = Salt::new(HKDF_SHA256, salt).extract(&keying.ok()?);
        let key = expand(&prk, &[b"Content-Encoding: aes128gcm\0"], 16);
        let nonce = expand(&prk, &[b"Content-Encoding: nonce\0"], 12);
        let key = UnboundKey::new(&AES_128_GCM, &key).ok()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).ok()?;
        let opened = LessSafeKey::new(key)
            .open_in_place(nonce, Aad::empty(), &mut sealed)
            .ok()?;
        let (delimiter, message) = opened.split_last()?;
        if *delimiter != 2 {
            return None;
        }
        serde_json::from_slice(message).ok()
    }
}
