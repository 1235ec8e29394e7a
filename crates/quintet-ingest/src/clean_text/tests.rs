//! Tests of single texts, with results worked by hand.

use super::*;
use proptest::prelude::*;

fn cleaned(config: TextConfig, text: &str) -> Cleaned {
    Cleaner::new(&config).unwrap().clean(text)
}

fn text(config: TextConfig, text: &str) -> Option<String> {
    cleaned(config, text).text
}

/// Nothing is switched on.
fn plain() -> TextConfig {
    TextConfig {
        html: false,
        whitespace: false,
        unicode: UnicodeForm::None,
        ..TextConfig::default()
    }
}

#[test]
fn the_defaults_tidy_and_change_no_word() {
    let page = "<p>A&nbsp;&nbsp;cafe\u{301}\u{0}</p>\r\n\r\n<p> &quot;Noir&quot; </p> ";
    assert_eq!(text(TextConfig::default(), page).unwrap(), "A café\n\"Noir\"");
    assert_eq!(text(plain(), page).unwrap(), page);
    assert_eq!(text(TextConfig::default(), "<br> &nbsp;"), None);
}

#[test]
fn unicode_forms_are_those_of_the_standard() {
    let of = |unicode| text(TextConfig { unicode, ..plain() }, "ﬁ e\u{301} ²").unwrap();
    assert_eq!(of(UnicodeForm::None), "ﬁ e\u{301} ²");
    assert_eq!(of(UnicodeForm::Nfc), "ﬁ é ²");
    assert_eq!(of(UnicodeForm::Nfkc), "fi é 2");
}

#[test]
fn addresses_go_and_the_sentence_stays() {
    let config = || TextConfig { urls: UrlPolicy::Drop, whitespace: true, ..plain() };
    let found = cleaned(config(), "See (https://a.b/c?d=e), HTTP://x.y or www.shop.de.");
    assert_eq!((found.text.as_deref(), found.urls), (Some("See (), or ."), 3));
    for stays in ["http://", "awww.x", "www.", "a.b/c"] {
        assert_eq!(text(config(), stays).unwrap(), stays);
    }
}

#[test]
fn stop_words_go_whole_whatever_their_case() {
    let config = |languages: &[&str]| TextConfig {
        stop_words: languages.iter().map(|l| (*l).to_owned()).collect(),
        ..plain()
    };
    let found = cleaned(config(&["en"]), "The theme of THE film, and don\u{2019}t ask");
    assert_eq!((found.text.as_deref(), found.stop_words), (Some("theme film, ask"), 5));
    assert_eq!(text(config(&["en", "de"]), "the Hund und der Ball").unwrap(), "Hund Ball");
    assert_eq!(text(config(&["de"]), "der die das"), None);
    let err = Cleaner::new(&config(&["en", "xx"])).err().unwrap().to_string();
    assert!(err.contains("text.stop_words: expected languages of af, ar"), "{err}");
    assert!(err.ends_with("found \"xx\""), "{err}");
}

#[test]
fn lengths_are_counted_in_characters_and_cut_at_words() {
    let max = |max| TextConfig { max_chars: Some(max), ..plain() };
    let found = cleaned(max(10), "one two three");
    assert_eq!((found.text.as_deref(), found.cut), (Some("one two"), true));
    assert!(!cleaned(max(13), "one two three").cut);
    // A word that alone is too long is cut, but not between a letter and its accent.
    assert_eq!(text(max(3), "abe\u{301}d").unwrap(), "ab");
    assert_eq!(text(max(4), "abe\u{301}d").unwrap(), "abe\u{301}");
    let min = |min| TextConfig { min_chars: min, ..plain() };
    assert_eq!(text(min(3), "éé"), None);
    assert_eq!(text(min(2), "éé").unwrap(), "éé");
    for (min_chars, max_chars) in [(0, 0), (5, 4)] {
        let config = TextConfig { min_chars, max_chars: Some(max_chars), ..plain() };
        assert!(config.validate().unwrap_err().to_string().contains("text.max_chars"));
    }
}

#[test]
fn small_letters_only_where_asked() {
    let config = TextConfig { lowercase: true, ..plain() };
    assert_eq!(text(config, "ÀB Straße").unwrap(), "àb straße");
}

proptest! {
    #[test]
    fn cleaning_text_without_marks_twice_changes_nothing(
        raw in "[a-zA-Zäé\u{301} \t\n.,]{0,60}", max in proptest::option::of(1usize..40)
    ) {
        let config = TextConfig {
            lowercase: true, max_chars: max, urls: UrlPolicy::Drop, ..TextConfig::default()
        };
        if let Some(once) = text(config.clone(), &raw) {
            prop_assert!(max.is_none_or(|max| once.chars().count() <= max));
            prop_assert!(!once.trim().is_empty());
            prop_assert_eq!(text(config, &once), Some(once.clone()));
        }
    }

    #[test]
    fn any_text_can_be_cleaned(raw in "\\PC{0,60}") {
        let config = TextConfig {
            stop_words: vec!["en".into(), "zh".into()], max_chars: Some(20), min_chars: 2,
            urls: UrlPolicy::Drop, unicode: UnicodeForm::Nfkc, lowercase: true,
            ..TextConfig::default()
        };
        if let Some(found) = text(config, &raw) {
            prop_assert!((2..=20).contains(&found.chars().count()));
        }
    }
}
