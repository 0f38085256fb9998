//! Patterns of app IDs and hosts: `*` stands for anything, `?` for any character.

/// Whether a text is as a pattern. Takes pattern × text steps at most.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((star_at, taken_to)) = star else {
                    return false;
                };
                // The last star takes one character more.
                star = Some((star_at, taken_to + 1));
                at_pattern = star_at + 1;
                at_text = taken_to + 1;
            }
        }
    }
    pattern[at_pattern..].iter().all(|wanted| *wanted == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_and_texts() {
        for (pattern, text, fits) in [
            ("im.example.app", "im.example.app", true),
            ("im.example.app", "im.example.apps", false),
            ("im.example.*", "im.example.app", true),
            ("im.example.*", "im.example.", true),
            ("im.example.*", "im.exampl", false),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("im.example.*", "IM.example.app", false),
            ("im.example.app", "im-example-app", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
        let stars = "*a".repeat(200);
        assert!(!matches(&stars, &"a".repeat(199)));
    }
}
