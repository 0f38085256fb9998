//! `[rtc]`: calls of many.

use super::section::{Form, Setting, section};

section! {
    /// Calls of many (MatrixRTC), as Element Call makes them.
    "rtc" Rtc {
        /// What carries them, told to clients as it stands here; each has a `type`.
        transports: Vec<toml::Table> = Vec::new(), sample "[{ type = \"livekit\", livekit_service_url = \"https://livekit.example.org\" }]";
    }
}

impl Setting for Vec<toml::Table> {
    const FORM: Form = Form::Tables;
}
