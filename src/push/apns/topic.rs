//! Which app Apple is asked for.

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::oid_registry::OID_USERID;

use crate::config::PushApp;

/// The topic of an app: as configured, or else as its certificate has it. Certificates are good for several topics today, and Apple then refuses what names
/// none.
pub(super) fn topic(app: &PushApp, is_voip: bool) -> Result<Option<String>, String> {
    let of_certificate = match (&app.topic, &app.certificate) {
        (None, Some(path)) => of_certificate(path)?,
        _ => None,
    };
    let topic = app.topic.clone().or(of_certificate);
    if topic.is_none() && is_voip {
        return Err("VoIP needs a topic, and the certificate names none".to_owned());
    }
    Ok(topic.map(|topic| with_kind(&topic, is_voip)))
}

/// VoIP has a topic of its own.
fn with_kind(topic: &str, is_voip: bool) -> String {
    if is_voip && !topic.ends_with(".voip") {
        return format!("{topic}.voip");
    }
    topic.to_owned()
}

/// The user ID of a certificate's subject, where Apple writes the bundle ID.
fn of_certificate(path: &str) -> Result<Option<String>, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("{path} cannot be used: {error}");
    let certificate = CertificateDer::from_pem_file(path).map_err(|error| unusable(&error))?;
    let parsed = x509_parser::parse_x509_certificate(&certificate);
    let (_, parsed) = parsed.map_err(|error| unusable(&error))?;
    let user_id = OID_USERID;
    let mut names = parsed.subject().iter_by_oid(&user_id);
    let name = names.next().and_then(|name| name.as_str().ok());
    Ok(name.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;
    use crate::config::PushKind;

    fn app(folder: &tempfile::TempDir, user_id: Option<&str>) -> PushApp {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        if let Some(user_id) = user_id {
            let kind = DnType::CustomDnType(vec![0, 9, 2_342, 19_200_300, 100, 1, 1]);
            params.distinguished_name.push(kind, user_id);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let path = folder.path().join("certificate.pem");
        std::fs::write(&path, certificate.pem()).unwrap();
        PushApp {
            certificate: Some(path.to_string_lossy().into_owned()),
            ..PushApp::new("a", PushKind::Apns)
        }
    }

    #[test]
    fn certificates_name_their_topic() {
        let folder = tempfile::tempdir().unwrap();
        let named = app(&folder, Some("org.example.app"));
        let told = topic(&named, false).unwrap();
        assert_eq!(told.as_deref(), Some("org.example.app"));
        let told = topic(&named, true).unwrap();
        assert_eq!(told.as_deref(), Some("org.example.app.voip"));
        let configured = PushApp {
            topic: Some("org.example.other".to_owned()),
            ..named
        };
        let told = topic(&configured, false).unwrap();
        assert_eq!(told.as_deref(), Some("org.example.other"));
        let nameless = app(&folder, None);
        assert_eq!(topic(&nameless, false).unwrap(), None);
        assert!(topic(&nameless, true).is_err());
    }

    #[test]
    fn voip_has_a_topic_of_its_own() {
        assert_eq!(with_kind("org.example", true), "org.example.voip");
        assert_eq!(with_kind("org.example.voip", true), "org.example.voip");
        assert_eq!(with_kind("org.example", false), "org.example");
    }
}
