//! What texts are searched by: their words, each as a short digest, so that no index holds what somebody wrote.
//!
//! Case, accents and forms of width make no difference. Scripts that put no spaces between words are cut into their letters and pairs of letters, so that any
//! part of a text is found.

use aws_lc_rs::digest::{SHA256, digest};
use unicode_normalization::UnicodeNormalization as _;

use super::super::user_names::fold;

/// So many characters of a word count.
const WORD_CHARACTERS: usize = 64;

/// So many different words of a text are found.
const WORDS_MAX: usize = 4_000;

/// So many words may be looked for at once.
const WANTED_MAX: usize = 32;

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Each word's digest has so many letters of five bits.
const DIGEST_LETTERS: usize = 8;

/// The different words of a text, written one after the other with spaces between, and how many they are.
pub(super) fn words_of(text: &str) -> (String, usize) {
    let mut words = Vec::new();
    for piece in pieces(text) {
        match piece {
            Piece::Word(word) => words.push(code(&word)),
            Piece::Run(run) => {
                words.extend(run.iter().map(|letter| code(&letter.to_string())));
                words.extend(pairs(&run));
            }
        }
    }
    written(words, WORDS_MAX)
}

/// The words that a text must have to be found by a term; nothing when the term has no words.
pub(super) fn wanted(term: &str) -> Option<String> {
    let mut words = Vec::new();
    for piece in pieces(term) {
        match piece {
            Piece::Word(word) => words.push(code(&word)),
            Piece::Run(run) if run.len() == 1 => words.push(code(&run[0].to_string())),
            Piece::Run(run) => words.extend(pairs(&run)),
        }
    }
    let (words, count) = written(words, WANTED_MAX);
    (count > 0).then_some(words)
}

/// The words of a term as a reader would mark them in what was found.
pub fn highlights(term: &str) -> Vec<String> {
    let lower = term.to_lowercase();
    let mut words: Vec<String> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    words.sort();
    words.dedup();
    words.truncate(WANTED_MAX);
    words
}

/// A stretch of text between what separates words.
enum Piece {
    /// A word.
    Word(String),
    /// Letters of a script without spaces.
    Run(Vec<char>),
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut open = false;
    for character in fold(text).nfc() {
        if !character.is_alphanumeric() {
            open = false;
            continue;
        }
        let is_run = has_no_spaces(character);
        match pieces.last_mut() {
            Some(Piece::Word(word)) if open && !is_run => {
                if word.len() < WORD_CHARACTERS * 4 {
                    word.push(character);
                }
            }
            Some(Piece::Run(run)) if open && is_run => run.push(character),
            _ if is_run => pieces.push(Piece::Run(vec![character])),
            _ => pieces.push(Piece::Word(character.to_string())),
        }
        open = true;
    }
    pieces
}

/// Letters of scripts that are written without spaces, or with particles that cling to their words.
fn has_no_spaces(letter: char) -> bool {
    matches!(letter,
        '\u{e00}'..='\u{eff}'        // Thai, Lao
        | '\u{1000}'..='\u{109f}'    // Myanmar
        | '\u{1100}'..='\u{11ff}'    // Hangul letters
        | '\u{1780}'..='\u{17ff}'    // Khmer
        | '\u{3005}'..='\u{30ff}'    // Hiragana, Katakana
        | '\u{3130}'..='\u{318f}'    // Hangul letters
        | '\u{31f0}'..='\u{31ff}'    // Katakana
        | '\u{3400}'..='\u{9fff}'    // Han
        | '\u{ac00}'..='\u{d7af}'    // Hangul
        | '\u{f900}'..='\u{faff}'    // Han
        | '\u{20000}'..='\u{3ffff}') // Han
}

fn pairs(run: &[char]) -> impl Iterator<Item = u64> {
    run.windows(2)
        .map(|pair| code(&pair.iter().collect::<String>()))
}

/// Forty bits that stand for a word: enough that different words are hardly ever taken for each other.
fn code(word: &str) -> u64 {
    let end = word.char_indices().nth(WORD_CHARACTERS);
    let word = end.map_or(word, |(end, _)| &word[..end]);
    let digest = digest(&SHA256, word.as_bytes());
    digest.as_ref()[..5]
        .iter()
        .fold(0, |code, byte| (code << 8) | u64::from(*byte))
}

fn written(mut words: Vec<u64>, most: usize) -> (String, usize) {
    words.sort_unstable();
    words.dedup();
    words.truncate(most);
    let mut text = String::with_capacity(words.len() * (DIGEST_LETTERS + 1));
    for word in &words {
        if !text.is_empty() {
            text.push(' ');
        }
        for place in (0..DIGEST_LETTERS).rev() {
            let letter = (word >> (5 * place)) & 31;
            text.push(char::from(LETTERS[letter as usize]));
        }
    }
    (text, words.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn finds(term: &str, text: &str) -> bool {
        let (words, _) = words_of(text);
        let wanted = wanted(term).expect("a term with words");
        wanted
            .split(' ')
            .all(|word| words.split(' ').any(|other| other == word))
    }

    #[test]
    fn words_are_found_whatever_their_form() {
        let text = "Don't PANIC: über_straße no. 42 (très Ｗｉｄｅ)";
        for term in [
            "panic",
            "Panic!",
            "uber",
            "ÜBER straße",
            "42",
            "tres wide",
            "don't",
        ] {
            assert!(finds(term, text), "{term}");
        }
        for term in ["pan", "anic", "panic 43", "wider"] {
            assert!(!finds(term, text), "{term}");
        }
    }

    #[test]
    fn scripts_without_spaces_are_found_in_parts() {
        for (term, text, found) in [
            ("東京", "私は東京都に住んでいます", true),
            ("京", "私は東京都に住んでいます", true),
            ("住んで", "私は東京都に住んでいます", true),
            ("京東", "私は東京都に住んでいます", false),
            ("ガ", "ガス", true),
            ("カ", "ガス", false),
            ("한국", "대한민국 한국어", true),
            ("สวัส", "สวัสดีครับ", true),
            ("2号", "第2号室", true),
        ] {
            assert_eq!(finds(term, text), found, "{term} in {text}");
        }
    }

    #[test]
    fn nothing_is_no_word() {
        assert_eq!(words_of("… !?"), (String::new(), 0));
        assert_eq!(wanted(" -- "), None);
        assert_eq!(words_of("a A á").1, 1);
    }

    #[test]
    fn long_words_and_texts_are_cut() {
        let long = "x".repeat(10_000);
        assert!(finds(&long, &long));
        assert!(finds(&"x".repeat(70), &long));
        let text: String = (0..10_000).map(|number| format!("w{number} ")).collect();
        assert_eq!(words_of(&text).1, WORDS_MAX);
    }

    #[test]
    fn highlights_are_the_words_as_typed() {
        assert_eq!(highlights("Über, über 東京!"), ["über", "東京"]);
    }
}
