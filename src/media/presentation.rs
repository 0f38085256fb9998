//! How a piece of media may be shown by a browser (client-server API, "Content repository": security considerations).

/// Types that a browser may show inline without running anything of them.
const INLINE_TYPES: [&str; 27] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
    "audio/3gpp",
];

/// The Content-Security-Policy of every answer that carries media.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; \
     plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';";

/// The content type to answer with: what the uploader said when it is a type at all.
pub(crate) fn content_type(claimed: Option<&str>) -> String {
    let fits = |text: &&str| {
        text.len() <= 200
            && text.contains('/')
            && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    claimed
        .filter(fits)
        .unwrap_or("application/octet-stream")
        .to_owned()
}

/// The Content-Disposition header: inline for what is harmless, otherwise a download.
pub(crate) fn content_disposition(content_type: &str, file_name: Option<&str>) -> String {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let kind = if INLINE_TYPES.contains(&essence.as_str()) {
        "inline"
    } else {
        "attachment"
    };
    let Some(name) = file_name.filter(|name| !name.is_empty()) else {
        return kind.to_owned();
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.bytes().all(plain) {
        return format!("{kind}; filename={name}");
    }
    let encoded: String = name
        .bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    format!("{kind}; filename*=utf-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_types_are_inline() {
        assert_eq!(content_disposition("image/png", None), "inline");
        assert_eq!(
            content_disposition("Text/Plain; charset=utf-8", None),
            "inline"
        );
        assert_eq!(
            content_disposition("text/html", Some("a.html")),
            "attachment; filename=a.html"
        );
        assert_eq!(content_disposition("image/svg+xml", None), "attachment");
    }

    #[test]
    fn names_cannot_break_the_header() {
        let header = content_disposition("image/png", Some("a\"\r\nSet-Cookie: é"));
        assert_eq!(
            header,
            "inline; filename*=utf-8''a%22%0D%0ASet-Cookie%3A%20%C3%A9"
        );
        assert_eq!(
            content_type(Some("text/html\r\nX: y")),
            "application/octet-stream"
        );
    }
}
