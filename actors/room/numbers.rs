//! Numbers that canonical JSON cannot say, as rooms of versions 1 to 5 have them: how other servers write them, and what they are worth as power levels.
//!
//! Canonical JSON knows no floats, so what a server hashes and signs for one is decided by what all others do: Synapse, in which these rooms arose, writes
//! the shortest digits that name the same number, as Python does, and integers digit by digit.

use ruma::Int;
use serde::de::IgnoredAny;

use super::RoomError;

/// The most digits of an integer: more are no JSON to other servers, which could not read an answer in which such an event stands.
const DIGITS_MAX: usize = 4_300;

/// The largest integer that canonical JSON can say.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// What canonical JSON has for a number.
pub(super) enum Written {
    /// It is canonical, or zero with a sign.
    Plain(String),
    /// Nothing; other servers write it like this.
    Loose(String),
}

/// How a number, as JSON has it, is written in what is hashed and signed.
pub(super) fn written(number: &str) -> Result<Written, RoomError> {
    if is_float(number) {
        let value = number.parse::<f64>().ok();
        let value = value.filter(|value| value.is_finite());
        return value
            .map(|value| Written::Loose(float_text(value)))
            .ok_or_else(too_large);
    }
    if number == "-0" {
        return Ok(Written::Plain("0".to_owned()));
    }
    if fits(number) {
        return Ok(Written::Plain(number.to_owned()));
    }
    if number.trim_start_matches('-').len() > DIGITS_MAX {
        return Err(too_large());
    }
    Ok(Written::Loose(number.to_owned()))
}

/// The text with its numbers written anew. What is no number stays: whoever reads the text will find it.
pub(super) fn rewritten(
    text: &str,
    mut write: impl FnMut(&str, &mut String) -> Result<(), RoomError>,
) -> Result<String, RoomError> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut done, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|byte| is_of_number(**byte));
                let end = at + length.count();
                let number = &text[at..end];
                if serde_json::from_str::<IgnoredAny>(number).is_ok() {
                    out.push_str(&text[done..at]);
                    write(number, &mut out)?;
                    done = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    out.push_str(&text[done..]);
    Ok(out)
}

/// Content, power levels above all, with whole numbers in the place of others (room versions 1 to 5, "`m.room.power_levels` events accept values as floats"):
/// floats without what stands behind their point, and the largest integer for larger ones. `None` when there are none; what is no number at all to others is
/// left as it is.
pub(crate) fn whole_numbers(content: &str) -> Option<String> {
    let mut has_loose = false;
    let levels = rewritten(content, |number, out| {
        match whole(number) {
            Some(level) => {
                has_loose = true;
                out.push_str(&level.to_string());
            }
            None => out.push_str(number),
        }
        Ok(())
    });
    levels.ok().filter(|_| has_loose)
}

fn whole(number: &str) -> Option<i64> {
    // A zero with a sign is a float to who reads the text.
    if !is_float(number) && fits(number) && number != "-0" {
        return None;
    }
    let value = number.parse::<f64>().ok();
    let value = value.filter(|value| value.is_finite())?;
    let most = INTEGER_MAX as f64;
    Some(value.trunc().clamp(-most, most) as i64)
}

fn is_float(number: &str) -> bool {
    number.contains(['.', 'e', 'E'])
}

fn fits(number: &str) -> bool {
    let value = number.parse::<i64>();
    value.is_ok_and(|value| Int::try_from(value).is_ok())
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// Where the text goes on behind the string that begins there.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A float as Python writes it: with an exponent of at least two digits when it is below -4 or above 15, otherwise with a point.
fn float_text(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = value.to_string();
    if plain.contains('.') {
        plain
    } else {
        format!("{plain}.0")
    }
}

fn too_large() -> RoomError {
    RoomError::BadJson("a number is larger than any server can read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `json.dumps(json.loads(number))` says in Python.
    const FLOATS: [(&str, &str); 22] = [
        ("1.5", "1.5"),
        ("1e10", "10000000000.0"),
        ("1.0", "1.0"),
        ("-0.0", "-0.0"),
        ("0.0", "0.0"),
        ("1E3", "1000.0"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("123456789012345680.0", "1.2345678901234568e+17"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1.5e-7", "1.5e-07"),
        ("-2.5E+20", "-2.5e+20"),
        ("1e23", "1e+23"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("0.1", "0.1"),
        ("100e-2", "1.0"),
        ("3.141592653589793238", "3.141592653589793"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("1e22", "1e+22"),
        ("51146.98", "51146.98"),
    ];

    #[test]
    fn floats_are_written_as_by_python() {
        for (number, wanted) in FLOATS {
            let Ok(Written::Loose(text)) = written(number) else {
                panic!("{number} is a float");
            };
            assert_eq!(text, wanted, "{number}");
        }
    }

    #[test]
    fn integers_keep_their_digits() {
        for number in ["9007199254740992", "-1180591620717411303424"] {
            assert!(matches!(written(number), Ok(Written::Loose(text)) if text == number));
        }
        for (number, wanted) in [("-0", "0"), ("9007199254740991", "9007199254740991")] {
            assert!(matches!(written(number), Ok(Written::Plain(text)) if text == wanted));
        }
        let (long, longer) = ("1".repeat(4_300), "1".repeat(4_301));
        assert!(matches!(written(&long), Ok(Written::Loose(_))));
        for number in [longer.as_str(), "1e400", "-1.5e999"] {
            assert!(matches!(written(number), Err(RoomError::BadJson(_))));
        }
    }

    #[test]
    fn power_levels_are_whole() {
        let content =
            r#"{"ban":5.114698E4,"kick":-1.9,"users":{"@a1.5:b":50.57,"@\"c:d":"7"},"x":1e300}"#;
        let wanted =
            r#"{"ban":51146,"kick":-1,"users":{"@a1.5:b":50,"@\"c:d":"7"},"x":9007199254740991}"#;
        assert_eq!(whole_numbers(content).as_deref(), Some(wanted));
        assert_eq!(whole_numbers(r#"{"ban":50,"users":{"@a:b.c":100}}"#), None);
        assert_eq!(
            whole_numbers(r#"{"ban":1152921504606846976}"#).as_deref(),
            Some(r#"{"ban":9007199254740991}"#)
        );
        assert_eq!(
            whole_numbers(r#"{"ban":-0}"#).as_deref(),
            Some(r#"{"ban":0}"#)
        );
    }
}
