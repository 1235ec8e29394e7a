//! A Python literal as a JSON object, for files that were written with `repr` instead of JSON.
//!
//! The Amazon metadata of 2014 (McAuley et al., "Image-based Recommendations on Styles and
//! Substitutes", SIGIR 2015) has such lines: `{'asin': '01', 'categories': [['Books']]}`. What is
//! read is what `ast.literal_eval` reads of these: strings in either quotes with their escapes,
//! numbers, `True`, `False`, `None`, lists, tuples and dicts with text for keys. Nothing is run.

use std::iter::Peekable;
use std::str::CharIndices;

use serde_json::{Map, Number, Value};

/// How deep lists and dicts may lie in each other; the limit of `serde_json`.
const DEEPEST: usize = 128;

/// Reads a dict that is the whole text; the error says what is wrong at which character.
pub(crate) fn dict(text: &str) -> Result<Map<String, Value>, String> {
    let mut parser = Parser { text, chars: text.char_indices().peekable(), depth: 0 };
    parser.blanks();
    let value = parser.value()?;
    parser.blanks();
    match (value, parser.chars.peek()) {
        (Value::Object(map), None) => Ok(map),
        (Value::Object(_), Some(_)) => Err(parser.wrong("nothing after the dict")),
        _ => Err("expected a dict".to_owned()),
    }
}

struct Parser<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    depth: usize,
}

impl Parser<'_> {
    fn wrong(&mut self, expected: &str) -> String {
        match self.chars.peek() {
            Some((at, found)) => {
                let place = self.text[..*at].chars().count() + 1;
                format!("expected {expected} at character {place}, found {found:?}")
            }
            None => format!("expected {expected}, found the end of the line"),
        }
    }

    fn blanks(&mut self) {
        while self.chars.next_if(|(_, c)| c.is_ascii_whitespace()).is_some() {}
    }

    fn take(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    /// The position of the next character, or the end.
    fn at(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.chars.peek().map(|(_, c)| *c) {
            Some('{') => self.nested(Self::dict),
            Some('[') => self.nested(|p| p.list(']')),
            Some('(') => self.nested(|p| p.list(')')),
            Some('\'' | '"') => self.string().map(Value::String),
            Some('-' | '0'..='9') => self.number(),
            Some(c) if c.is_ascii_alphabetic() => self.word(),
            _ => Err(self.wrong("a Python literal")),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, String>,
    ) -> Result<Value, String> {
        if self.depth == DEEPEST {
            return Err(self.wrong("no more than 128 lists and dicts in each other"));
        }
        self.depth += 1;
        self.chars.next();
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn dict(&mut self) -> Result<Value, String> {
        let mut map = Map::new();
        loop {
            self.blanks();
            if self.take('}') {
                return Ok(Value::Object(map));
            }
            self.take('u');
            let key = self.string()?;
            self.blanks();
            if !self.take(':') {
                return Err(self.wrong("a colon"));
            }
            self.blanks();
            let value = self.value()?;
            map.insert(key, value);
            self.blanks();
            if !self.take(',') && self.chars.peek().is_none_or(|(_, c)| *c != '}') {
                return Err(self.wrong("a comma or the end of the dict"));
            }
        }
    }

    fn list(&mut self, close: char) -> Result<Value, String> {
        let mut values = Vec::new();
        loop {
            self.blanks();
            if self.take(close) {
                return Ok(Value::Array(values));
            }
            values.push(self.value()?);
            self.blanks();
            if !self.take(',') && self.chars.peek().is_none_or(|(_, c)| *c != close) {
                return Err(self.wrong("a comma or the end of the list"));
            }
        }
    }

    /// `True`, `False`, `None`, or a string of Python 2 with a `u` before it.
    fn word(&mut self) -> Result<Value, String> {
        let start = self.at();
        let rest = &self.text[start..];
        if rest.starts_with("u'") || rest.starts_with("u\"") {
            self.chars.next();
            return self.string().map(Value::String);
        }
        let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let value = match &rest[..length] {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            _ => return Err(self.wrong("a Python literal")),
        };
        for _ in 0..length {
            self.chars.next();
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at();
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        while self.chars.next_if(|(_, c)| is_part(*c)).is_some() {}
        let end = self.at();
        let text = &self.text[start..end];
        let whole = text.strip_prefix('-').unwrap_or(text);
        if whole.bytes().all(|b| b.is_ascii_digit()) {
            let number = text.parse::<i64>().map(Number::from);
            let number = number.or_else(|_| text.parse::<u64>().map(Number::from));
            return number
                .map(Value::Number)
                .map_err(|_| format!("expected a number within 64 bits, found {}", cut(text)));
        }
        // Rust reads more than Python writes, such as `1e`; a number of JSON is close enough.
        let number = serde_json::from_str::<Number>(text).ok();
        number
            .map(Value::Number)
            .ok_or_else(|| format!("expected a finite number, found {}", cut(text)))
    }

    fn string(&mut self) -> Result<String, String> {
        let Some((_, quote)) = self.chars.next_if(|(_, c)| matches!(c, '\'' | '"')) else {
            return Err(self.wrong("a string"));
        };
        let mut out = String::new();
        loop {
            match self.chars.next().map(|(_, c)| c) {
                None => return Err(self.wrong("the end of the string")),
                Some('\\') => self.escape(&mut out)?,
                Some(c) if c == quote => return Ok(out),
                Some(c) => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        let Some((_, c)) = self.chars.next() else {
            return Err(self.wrong("an escape"));
        };
        match c {
            '\\' | '\'' | '"' => out.push(c),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0C'),
            'v' => out.push('\x0B'),
            'x' => self.code(2, out)?,
            'u' => self.code(4, out)?,
            'U' => self.code(8, out)?,
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some((_, c)) = self.chars.next_if(|(_, c)| c.is_digit(8)) else { break };
                    code = code * 8 + c.to_digit(8).unwrap_or_default();
                }
                out.extend(char::from_u32(code));
            }
            // An escape that Python does not know stays as it is.
            _ => out.extend(['\\', c]),
        }
        Ok(())
    }

    /// A character by its number; two halves of one, as narrow builds wrote them, become one.
    fn code(&mut self, digits: usize, out: &mut String) -> Result<(), String> {
        let mut code = self.hex(digits)?;
        if (0xD800..0xDC00).contains(&code) && self.text[self.at()..].starts_with("\\u") {
            self.chars.next();
            self.chars.next();
            let low = self.hex(4)?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(self.wrong("the second half of a surrogate pair"));
            }
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        match char::from_u32(code) {
            Some(c) => {
                out.push(c);
                Ok(())
            }
            None => Err(self.wrong("the number of a character in the escape before")),
        }
    }

    fn hex(&mut self, digits: usize) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..digits {
            let Some((_, c)) = self.chars.next_if(|(_, c)| c.is_ascii_hexdigit()) else {
                return Err(self.wrong("a hexadecimal digit"));
            };
            code = (code << 4) | c.to_digit(16).unwrap_or_default();
        }
        Ok(code)
    }
}

/// A long number, cut short for a message.
fn cut(text: &str) -> &str {
    &text[..text.len().min(60)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        Value::Object(dict(text).unwrap())
    }

    #[test]
    fn every_kind_of_literal_is_read() {
        let text = r#" {'a': "it's", "b": 'say "x"', 'c': -3, 'd': 1.5e+20, 'e': True, 'f': False,
            'g': None, 'h': [['x', 'y'], []], 'i': {'j': (1, 2,)}, u'k': u'l', 'm': 1e-05,} "#;
        let expected = json!({
            "a": "it's", "b": "say \"x\"", "c": -3, "d": 1.5e20, "e": true, "f": false,
            "g": null, "h": [["x", "y"], []], "i": {"j": [1, 2]}, "k": "l", "m": 1e-5
        });
        assert_eq!(read(text), expected);
        assert_eq!(read("{}"), json!({}));
        assert_eq!(read("{'n': 18446744073709551615}"), json!({"n": u64::MAX}));
    }

    #[test]
    fn escapes_are_those_of_python() {
        let text = r"{'a': '\'\\\n\x41\u00e9\U0001F600\ud83d\ude00\101\0\d'}";
        assert_eq!(read(text), json!({"a": "'\\\nAé😀😀A\0\\d"}));
    }

    #[test]
    fn what_is_no_literal_is_refused_with_its_place() {
        for (text, part) in [
            ("{'a': foo()}", "a Python literal at character 7"),
            ("{'a': 1 + 2}", "a comma or the end of the dict at character 9"),
            ("{'a' 1}", "a colon at character 6"),
            ("{1: 2}", "a string at character 2"),
            ("{'a': nan}", "a Python literal"),
            ("{'a': 1e400}", "a finite number"),
            ("{'a': 99999999999999999999}", "within 64 bits"),
            ("{'a': 'x", "the end of the string"),
            ("{'a': '\\ud800'}", "the number of a character"),
            ("{'a': '\\xg'}", "a hexadecimal digit"),
            ("{'a': 1} x", "nothing after the dict"),
            ("{'a': Truer}", "a Python literal"),
            ("[1]", "expected a dict"),
            ("{,}", "a string"),
            ("", "a Python literal"),
        ] {
            let error = dict(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let deep = format!("{{'a': {}", "[".repeat(100_000));
        assert!(dict(&deep).unwrap_err().contains("128"));
    }

    proptest! {
        #[test]
        fn a_string_is_what_its_escaped_form_says(text in ".{0,20}") {
            let escaped: String = text.chars().map(|c| format!("\\U{:08x}", c as u32)).collect();
            prop_assert_eq!(read(&format!("{{'a': '{escaped}'}}")), json!({ "a": text }));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[{}\\[\\]()'\",:u\\\\x0-9eE.+TrueNon -]{0,40}") {
            let _ = dict(&format!("{{{text}"));
        }
    }
}
