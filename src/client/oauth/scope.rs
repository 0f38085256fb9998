//! Scopes: what a client asks for, and on which device (client-server API, "Scope").

use ruma::OwnedDeviceId;

use super::answer::Refusal;

const API: &str = "urn:matrix:client:api:*";
const DEVICE: &str = "urn:matrix:client:device:";
const OLD_API: &str = "urn:matrix:org.matrix.msc2967.client:api:*";
const OLD_DEVICE: &str = "urn:matrix:org.matrix.msc2967.client:device:";

/// Device IDs are that long at most.
const DEVICE_ID_BYTES_MAX: usize = 255;

/// What a client asks for: everything, on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) device_id: OwnedDeviceId,
    /// In the spelling of before version 1.15.
    old: bool,
}

impl Scope {
    /// Reads a scope. Tokens that mean nothing here (`openid`) are not granted.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let refused = |why: &str| Refusal::new("invalid_scope", why);
        let tokens = || text.split(' ').filter(|token| !token.is_empty());
        if !tokens().any(|token| token == API || token == OLD_API) {
            return Err(refused("the scope lacks urn:matrix:client:api:*"));
        }
        let mut devices = tokens().filter_map(|token| {
            let new = token.strip_prefix(DEVICE).map(|id| (id, false));
            new.or_else(|| token.strip_prefix(OLD_DEVICE).map(|id| (id, true)))
        });
        let Some((device_id, old)) = devices.next() else {
            return Err(refused("the scope names no device"));
        };
        // Some clients send both spellings.
        if devices.any(|(other, _)| other != device_id) {
            return Err(refused("the scope names more than one device"));
        }
        let fits = (1..=DEVICE_ID_BYTES_MAX).contains(&device_id.len())
            && device_id
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if !fits {
            return Err(refused(
                "the device ID has characters that scopes cannot have",
            ));
        }
        Ok(Self {
            device_id: device_id.into(),
            old,
        })
    }

    /// The scope of a device's session.
    pub(super) fn of(device_id: OwnedDeviceId) -> Self {
        Self {
            device_id,
            old: false,
        }
    }

    /// What is granted, as text.
    pub(super) fn granted(&self) -> String {
        let (api, device) = if self.old {
            (OLD_API, OLD_DEVICE)
        } else {
            (API, DEVICE)
        };
        format!("{api} {device}{}", self.device_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_name_the_whole_interface_and_one_device() {
        let scope =
            Scope::parse("openid urn:matrix:client:api:*  urn:matrix:client:device:ABC").unwrap();
        assert_eq!(scope.device_id, "ABC");
        assert_eq!(
            scope.granted(),
            "urn:matrix:client:api:* urn:matrix:client:device:ABC"
        );
        let old = "urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:ABC";
        assert_eq!(Scope::parse(old).unwrap().granted(), old);
        for bad in [
            "",
            "urn:matrix:client:api:*",
            "urn:matrix:client:device:ABC",
            "urn:matrix:client:api:* urn:matrix:client:device:",
            "urn:matrix:client:api:* urn:matrix:client:device:A urn:matrix:client:device:B",
            "urn:matrix:client:api:* urn:matrix:client:device:\u{e4}",
            "urn:matrix:client:api:* urn:matrix:client:device:a\"b",
        ] {
            assert_eq!(
                Scope::parse(bad).unwrap_err().code,
                "invalid_scope",
                "{bad}"
            );
        }
    }
}
