//! Where words begin and end, in every script.
//!
//! A word is a run of letters, digits and the marks on them, in the normal form NFKC of Unicode,
//! so that a composed letter and a letter with its accent apart are one. Within runs of scripts
//! that put no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) the words of a
//! dictionary are found, as Unicode Standard Annex 29 leaves to such dictionaries.

use icu_segmenter::WordSegmenter;
use icu_segmenter::options::WordBreakInvariantOptions;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The words of `text` in order, large and small letters as they are.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for run in spaced_words(text) {
        if !run.is_ascii() && run.chars().any(is_unspaced) {
            dictionary_words(&run, &mut words);
        } else {
            words.push(run);
        }
    }
    words
}

/// Runs of letters and digits in normal form, not cut by a dictionary.
pub(crate) fn spaced_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for run in runs(text) {
        if run.is_ascii() {
            words.push(run.to_owned());
        } else {
            // Some letters become several characters, not all of them letters: ½ is 1⁄2.
            let normal: String = run.nfkc().filter(|c| !is_dressing(*c)).collect();
            words.extend(runs(&normal).map(str::to_owned));
        }
    }
    words
}

fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && !is_mark(c))
        .map(|run| run.trim_start_matches(is_mark))
        .filter(|run| !run.is_empty())
}

fn is_mark(c: char) -> bool {
    !c.is_ascii() && is_combining_mark(c)
}

/// Marks that change the look and not the letter: variation selectors, and what is drawn around
/// a symbol, as around the digit of a keycap.
fn is_dressing(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{20d0}'..='\u{20f0}' | '\u{e0100}'..='\u{e01ef}')
}

/// Letters of scripts without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}'                              // Thai, Lao
        | '\u{1000}'..='\u{109f}' | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aa7f}' // Burmese
        | '\u{1780}'..='\u{17ff}'                            // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}'  // kana
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'  // Han
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn dictionary_words(run: &str, words: &mut Vec<String>) {
    let segmenter = WordSegmenter::new_dictionary(WordBreakInvariantOptions::default());
    let mut start = 0;
    for end in segmenter.segment_str(run) {
        // A mark that the dictionary leaves alone is no word.
        words.extend(runs(&run[start..end]).map(str::to_owned));
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_letters_are_one_word() {
        let composed = words("Élan über");
        assert_eq!(composed, ["Élan", "über"]);
        assert_eq!(words("E\u{301}lan u\u{308}ber"), composed);
        // Wide, circled and joined letters, a half, the digit of a keycap, a lonely accent.
        assert_eq!(
            words("ＡＢＣ １２ ﬁn ① ½ 3\u{fe0f}\u{20e3} \u{301}a"),
            ["ABC", "12", "fin", "1", "1", "2", "3", "a"]
        );
        // A trade mark is no letter of the word before it, although its normal form has letters.
        assert_eq!(words("Quintet™"), ["Quintet"]);
        // Marks of vowels and silent letters are part of a word.
        assert_eq!(words("हिन्दी फ़िल्म"), ["हिन्दी", "फ\u{93c}िल\u{94d}म"]);
    }

    #[test]
    fn scripts_without_spaces_are_cut_into_words_of_a_dictionary() {
        assert_eq!(words("我喜欢看电影。"), ["我", "喜欢", "看", "电影"]);
        assert_eq!(words("東京の夜は静か"), ["東京", "の", "夜", "は", "静か"]);
        assert_eq!(words("ｶﾞﾗｽの仮面"), ["ガラス", "の", "仮面"]);
        assert_eq!(words("ภาพยนตร์ไทย"), ["ภาพยนตร์", "ไทย"]);
        // Next to letters of another script; Korean has spaces.
        assert_eq!(
            words("iPhone手机2台 한국어 영화"),
            ["iPhone", "手机", "2", "台", "한국어", "영화"]
        );
    }
}
