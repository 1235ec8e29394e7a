//! JSON objects as cells: which keys there are, which value a column names, how it is written.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Row, Step, python};
use crate::IngestError;
use crate::log::Flaw;
use crate::report::FaultCode;

/// How many rows are looked at to learn which keys there are.
pub(crate) const SAMPLE: usize = 1_000;
/// How many names are kept for the message about a missing column.
const MOST_NAMES: usize = 1_000;
/// How many characters of a name are kept.
const LONGEST_NAME: usize = 60;

/// Which of the columns that are asked for a sample has.
pub(crate) struct Seen<'a> {
    asked: &'a [&'a str],
    present: Vec<bool>,
    names: Vec<String>,
    known: HashSet<String>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(asked: &'a [&'a str]) -> Self {
        let present = vec![false; asked.len()];
        Self { asked, present, names: Vec::new(), known: HashSet::new() }
    }

    /// Looks at one row of the sample.
    pub(crate) fn add(&mut self, object: &Map<String, Value>) {
        for (present, name) in self.present.iter_mut().zip(self.asked) {
            *present = *present || lookup(object, name).is_some();
        }
        self.add_names("", object);
    }

    fn add_names(&mut self, prefix: &str, object: &Map<String, Value>) {
        for (key, value) in object {
            if self.names.len() == MOST_NAMES {
                return;
            }
            let name: String = prefix.chars().chain(key.chars()).take(LONGEST_NAME).collect();
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    self.add_names(&format!("{name}."), inner);
                }
                Value::Array(values) if matches!(values.first(), Some(Value::Object(first)) if !first.is_empty()) =>
                {
                    let Some(Value::Object(first)) = values.first() else { continue };
                    self.add_names(&format!("{name}.0."), first);
                }
                _ => {
                    if self.known.insert(name.clone()) {
                        self.names.push(name);
                    }
                }
            }
        }
    }

    /// Ends the sample: the first column that no row has is an error. Without a single object
    /// there is no column to miss; every row is a fault.
    pub(crate) fn check(self, file: &str) -> Result<(), IngestError> {
        let missing = self.present.iter().position(|present| !present);
        match missing {
            Some(at) if !self.names.is_empty() => Err(IngestError::MissingColumn {
                file: file.to_owned(),
                column: self.asked[at].to_owned(),
                found: self.names,
            }),
            _ => Ok(()),
        }
    }
}

/// One object from its text: JSON, or else a Python literal.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Flaw> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let found = format!("byte 0x{:02X} at byte {}", bytes[at], at + 1);
        Flaw::new(FaultCode::InvalidUtf8, "UTF-8 text", found)
    })?;
    let error = match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(object) => return Ok(object),
        Err(error) => error,
    };
    let bad = |found: String| Flaw::new(FaultCode::BadJson, "a JSON object", found);
    match python::dict(text) {
        Ok(object) => Ok(object),
        // A single quote after the brace is no JSON in any way.
        Err(found) if text.trim_start().starts_with("{'") => Err(bad(found)),
        Err(_) => Err(bad(format!("{error}").replace("at line 1 column", "at character"))),
    }
}

/// Writes the columns that are asked for into a row that was started.
pub(crate) fn write_object(object: &Map<String, Value>, keys: &[String], row: &mut Row) -> Step {
    for key in keys {
        if let Some(value) = lookup(object, key)
            && let Err(kind) = write_value(value, &mut row.text)
        {
            let expected = "text, a number within 64 bits, true, false, null or a list of these";
            let found = format!("{kind} in {key:?}");
            return Step::Bad(Flaw::new(FaultCode::BadCell, expected, found));
        }
        row.end();
    }
    Step::Row
}

/// The value under a key, or under a path of keys with dots between them; a member of a list is
/// named by its number, counted from 0.
fn lookup<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(name) {
        return Some(value);
    }
    name.match_indices('.').find_map(|(dot, _)| match object.get(&name[..dot]) {
        Some(Value::Object(inner)) => lookup(inner, &name[dot + 1..]),
        Some(Value::Array(values)) => member(values, &name[dot + 1..]),
        _ => None,
    })
}

fn member<'a>(values: &'a [Value], name: &str) -> Option<&'a Value> {
    let (number, rest) = match name.split_once('.') {
        Some((number, rest)) => (number, Some(rest)),
        None => (name, None),
    };
    match (values.get(number.parse::<usize>().ok()?)?, rest) {
        (value, None) => Some(value),
        (Value::Object(inner), Some(rest)) => lookup(inner, rest),
        (Value::Array(inner), Some(rest)) => member(inner, rest),
        _ => None,
    }
}

/// A value as a cell; a list becomes its members with commas between them, also where lists lie
/// in lists.
fn write_value(value: &Value, out: &mut String) -> Result<(), &'static str> {
    match value {
        Value::Null => {}
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => {
            // Beyond 64 bits the digits are lost already, and two ids could become one.
            if number.as_f64().is_some_and(|n| number.is_f64() && n.abs() >= TWO_TO_64) {
                return Err("a number beyond 64 bits (as text it would be kept)");
            }
            out.push_str(&number.to_string());
        }
        Value::String(text) => out.push_str(text),
        Value::Array(values) => write_list(values, &mut true, out)?,
        Value::Object(_) => return Err("an object (a column names its members with a dot)"),
    }
    Ok(())
}

/// 2^64 as a number of JSON becomes one of floating point.
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

fn write_list(values: &[Value], first: &mut bool, out: &mut String) -> Result<(), &'static str> {
    for value in values {
        if let Value::Array(inner) = value {
            write_list(inner, first, out)?;
            continue;
        }
        if !*first {
            out.push_str(", ");
        }
        *first = false;
        write_value(value, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cell(value: &Value) -> Result<String, &'static str> {
        let mut out = String::new();
        write_value(value, &mut out).map(|()| out)
    }

    #[test]
    fn values_are_written_as_a_person_would() {
        assert_eq!(
            cell(&json!([["Books", "New"], ["Film"], [], 3])).unwrap(),
            "Books, New, Film, 3"
        );
        assert_eq!(cell(&json!([null, "a", ""])).unwrap(), ", a, ");
        assert_eq!(cell(&json!(u64::MAX)).unwrap(), "18446744073709551615");
        assert_eq!(cell(&json!(-1.5)).unwrap(), "-1.5");
        let big: Value = serde_json::from_str("99999999999999999999").unwrap();
        assert!(cell(&big).unwrap_err().contains("64 bits"));
        assert!(cell(&json!([{"a": 1}])).unwrap_err().contains("an object"));
    }

    #[test]
    fn a_column_names_a_key_or_a_path_of_keys() {
        let value = json!({"a": {"b": {"c": 1}, "x.y": 2}, "a.b": {"d": 3}, "e.f": 4});
        let object = value.as_object().unwrap();
        for (name, expected) in [
            ("a.b.c", Some(1)),
            ("a.x.y", Some(2)),
            ("a.b.d", Some(3)),
            ("e.f", Some(4)),
            ("e", None),
        ] {
            assert_eq!(lookup(object, name).and_then(Value::as_i64), expected, "{name}");
        }
    }

    #[test]
    fn a_number_names_a_member_of_a_list() {
        let value = json!({"l": [{"a": 1}, [2, {"b": 3}], 4], "l.2": 5, "e": []});
        let object = value.as_object().unwrap();
        for (name, expected) in [
            ("l.0.a", Some(1)),
            ("l.1.0", Some(2)),
            ("l.1.1.b", Some(3)),
            ("l.2", Some(5)),
            ("l.3", None),
            ("l.x", None),
            ("e.0", None),
        ] {
            assert_eq!(lookup(object, name).and_then(Value::as_i64), expected, "{name}");
        }
        let mut seen = Seen::new(&["l.0.a", "x"]);
        seen.add(object);
        let error = seen.check("f").unwrap_err().to_string();
        assert!(error.ends_with("found the columns l.0.a, l.2, e"), "{error}");
    }

    #[test]
    fn a_missing_column_lists_the_paths() {
        let value = json!({"a": {"b": 1, "c": {}}, "d": 2});
        let mut seen = Seen::new(&["a.b", "x"]);
        seen.add(value.as_object().unwrap());
        let error = seen.check("f").unwrap_err().to_string();
        assert_eq!(error, "f: expected a column \"x\", found the columns a.b, a.c, d");
    }

    #[test]
    fn a_million_keys_are_looked_at_in_no_time_and_a_thousand_are_named() {
        let keys = (0..1_000_000).map(|i| (format!("k{i}"), Value::Null));
        let object: Map<String, Value> = keys.collect();
        let mut seen = Seen::new(&["x"]);
        seen.add(&object);
        let Err(IngestError::MissingColumn { found, .. }) = seen.check("f") else { panic!() };
        assert_eq!(found.len(), MOST_NAMES);
    }
}
