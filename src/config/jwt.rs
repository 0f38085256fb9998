//! `[jwt]`: logging in by a signed token of another system.

use jsonwebtoken::{Algorithm, DecodingKey};

use super::section::section;

section! {
    /// Logging in by JSON Web Token (`org.matrix.login.jwt`): whoever can sign a token can log in as the user that it names.
    "jwt" Jwt {
        /// It is offered.
        enabled: bool = false;
        /// The secret for HS256, HS384 and HS512; for other algorithms the public key in PEM.
        secret: Option<String> = None, sample "a long random text";
        /// How tokens are signed: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA.
        algorithm: String = "HS256".to_owned();
        /// The claim that holds the local part of the user ID.
        subject_claim: String = "sub".to_owned();
        /// The claim that holds the display name of a user who comes for the first time.
        display_name_claim: Option<String> = None, sample "name";
        /// Who must have issued the token (`iss`).
        issuer: Option<String> = None, sample "https://id.example.org";
        /// For whom the token must be (`aud`): one of these.
        audiences: Vec<String> = Vec::new(), sample "[\"matrix\"]";
        /// A user who comes for the first time gets an account.
        register: bool = true;
    }
}

impl Jwt {
    /// The key by which tokens are checked: the shared secret, or the public key in PEM. `None` when it does not fit the algorithm.
    pub(crate) fn key(&self) -> Option<(Algorithm, DecodingKey)> {
        let secret = self.secret.as_deref().filter(|secret| !secret.is_empty())?;
        let bytes = secret.as_bytes();
        let algorithm: Algorithm = self.algorithm.parse().ok()?;
        let key = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                DecodingKey::from_secret(bytes)
            }
            Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(bytes).ok()?,
            Algorithm::EdDSA => DecodingKey::from_ed_pem(bytes).ok()?,
            _ => DecodingKey::from_rsa_pem(bytes).ok()?,
        };
        Some((algorithm, key))
    }
}
