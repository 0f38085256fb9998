//! What is looked at before a body reaches a JSON parser.

use super::failure::Failure;

/// Refuses bodies that are not UTF-8, and JSON nested deeper than any request of ours: parsers recurse.
pub(crate) fn check(body: &[u8], depth_max: usize) -> Result<(), Failure> {
    if std::str::from_utf8(body).is_err() {
        return Err(Failure::not_json("body is not UTF-8"));
    }
    if is_deeper_than(body, depth_max) {
        return Err(Failure::bad_json("JSON is nested too deeply"));
    }
    Ok(())
}

fn is_deeper_than(body: &[u8], depth_max: usize) -> bool {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in body {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let flat = format!("{{\"a\":\"{}\\\"[[[\"}}", "[".repeat(500));
        assert!(check(flat.as_bytes(), 3).is_ok());
        assert!(check(b"[[[]]]", 3).is_ok());
        assert!(check(b"[[[[]]]]", 3).is_err());
        assert!(check(b"[],[],[],[]", 1).is_ok());
    }

    #[test]
    fn other_encodings_are_refused() {
        let failure = check(b"{\"a\":\"\xff\"}", 100).unwrap_err();
        assert_eq!(failure.code().as_str(), "M_NOT_JSON");
    }
}
