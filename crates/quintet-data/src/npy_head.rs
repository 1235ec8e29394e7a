//! The header of a `.npy` file, read so that nothing in it is believed before it is checked.
//!
//! The format is NumPy's NEP 1 with its versions 2 and 3. The header is a Python literal, which
//! `py_literal` parses after its length, its characters and its depth were found harmless: the
//! grammar tries some alternatives twice at every level, so that deep nesting takes time without
//! end. The sizes in it are multiplied with overflow in mind and compared with the length of the
//! file before any memory is taken.

use std::io::Read;
use std::path::{Path, PathBuf};

use npyz::{Endianness, TypeChar, TypeStr};
use py_literal::Value;

use crate::DataError;

/// Longest header that is read, bytes: NumPy's own limit (`max_header_size`).
const HEADER_LIMIT: usize = 10_000;
/// Deepest nesting of a header: dictionary, list of fields, field, shape of the field.
const DEPTH_LIMIT: usize = 4;

/// What one number is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
}

impl Number {
    fn of(kind: &TypeStr) -> Option<Self> {
        Some(match (kind.type_char(), kind.size_field()) {
            (TypeChar::Bool, 1) => Self::Bool,
            (TypeChar::Int, 1) => Self::I8,
            (TypeChar::Int, 2) => Self::I16,
            (TypeChar::Int, 4) => Self::I32,
            (TypeChar::Int, 8) => Self::I64,
            (TypeChar::Uint, 1) => Self::U8,
            (TypeChar::Uint, 2) => Self::U16,
            (TypeChar::Uint, 4) => Self::U32,
            (TypeChar::Uint, 8) => Self::U64,
            (TypeChar::Float, 2) => Self::F16,
            (TypeChar::Float, 4) => Self::F32,
            (TypeChar::Float, 8) => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// A header whose sizes fit into memory arithmetic, but not yet compared with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NpyHead {
    path: PathBuf,
    /// The type in the words of NumPy, such as `<f4`.
    pub(crate) descr: String,
    pub(crate) number: Number,
    pub(crate) big_endian: bool,
    /// Whether the first index varies fastest.
    pub(crate) fortran: bool,
    pub(crate) shape: Vec<usize>,
    /// Bytes before the first number.
    pub(crate) offset: usize,
}

impl NpyHead {
    /// Reads up to the first number; gives back the bytes too, which hashes need.
    ///
    /// # Errors
    /// Another kind of file, a header that is cut, too long or no header, a type that is not a
    /// plain number.
    pub(crate) fn read(path: &Path, input: &mut impl Read) -> Result<(Self, Vec<u8>), DataError> {
        let content = |expected: &str, found: String| DataError::Content {
            path: path.to_owned(),
            expected: expected.into(),
            found,
        };
        let mut bytes = Vec::new();
        let mut up_to = |len: usize, bytes: &mut Vec<u8>| -> Result<bool, DataError> {
            let more = len.saturating_sub(bytes.len()) as u64;
            input.by_ref().take(more).read_to_end(bytes)?;
            Ok(bytes.len() == len)
        };
        up_to(10, &mut bytes)?;
        let wide = match bytes[..] {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, _, _] => false,
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, 0, _, _] => true,
            _ => {
                let found = format!("a file that begins with {:?}", &bytes[..bytes.len().min(8)]);
                return Err(content("an .npy file of version 1, 2 or 3", found));
            }
        };
        let preamble = if wide { 12 } else { 10 };
        let whole = up_to(preamble, &mut bytes)?;
        let len = bytes.iter().skip(8).rev().fold(0usize, |n, &b| (n << 8) | usize::from(b));
        let limit = format!("a header of at most {HEADER_LIMIT} bytes that is all there");
        if !whole || len > HEADER_LIMIT {
            return Err(content(&limit, format!("one of {len} bytes")));
        }
        if !up_to(preamble + len, &mut bytes)? {
            let found = format!("{} of its {len} bytes", bytes.len() - preamble);
            return Err(content(&limit, found));
        }
        let head = Self::parse(path, &bytes[preamble..], bytes.len())
            .map_err(|(expected, found)| content(expected, found))?;
        Ok((head, bytes))
    }

    /// Reads the dictionary; errors are what was expected and what was found.
    fn parse(path: &Path, text: &[u8], offset: usize) -> Result<Self, (&'static str, String)> {
        let dict = parse_dict(text)?;
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        for (key, value) in &dict {
            match (key, value) {
                (Value::String(key), value) if key == "descr" => descr = Some(value),
                (Value::String(key), Value::Boolean(b)) if key == "fortran_order" => {
                    fortran = Some(*b);
                }
                (Value::String(key), Value::Tuple(sizes) | Value::List(sizes))
                    if key == "shape" =>
                {
                    shape = sizes.iter().map(size_of).collect::<Option<Vec<usize>>>();
                }
                _ => {}
            }
        }
        let missing = |key: &str| ("an .npy header", format!("no proper {key} in it"));
        let (kind, descr) = type_of(descr.ok_or_else(|| missing("descr"))?)?;
        let number = Number::of(&kind).ok_or_else(|| (PLAIN, format!("'{descr}'")))?;
        Ok(Self {
            path: path.to_owned(),
            descr,
            number,
            big_endian: kind.endianness() == Endianness::Big,
            fortran: fortran.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
            offset,
        })
    }

    /// How many numbers there are, when the file has exactly the bytes for them.
    ///
    /// # Errors
    /// A file that is shorter or longer, sizes whose product is beyond all files.
    pub(crate) fn check_len(&self, file_len: u64) -> Result<usize, DataError> {
        let n = self.shape.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
        let size = self.number.size();
        let len = n.and_then(|n| n.checked_mul(size)?.checked_add(self.offset));
        let content =
            |expected, found| Err(DataError::Content { path: self.path.clone(), expected, found });
        let Some((n, len)) = n.zip(len) else {
            let found = format!("shape {:?}", self.shape);
            return content("a shape that memory can hold".into(), found);
        };
        let wanted = len as u64;
        if wanted == file_len {
            return Ok(n);
        }
        let (by, what) = match file_len > wanted {
            true => (file_len - wanted, "behind the last number"),
            false => (wanted - file_len, "missing"),
        };
        content(
            format!("{wanted} bytes (a header of {}, {n} numbers of {size})", self.offset),
            format!("{file_len} bytes, {by} of them {what}"),
        )
    }
}

/// What an array has to consist of.
const PLAIN: &str = "plain numbers (f2, f4, f8, i1 to i8, u1 to u8 or b1)";

type Found<T> = Result<T, (&'static str, String)>;

/// The key-value pairs of a header.
fn parse_dict(text: &[u8]) -> Found<Vec<(Value, Value)>> {
    let no_header = |found: &str| ("an .npy header", found.to_owned());
    let text = std::str::from_utf8(text).map_err(|_| no_header("bytes that are not UTF-8"))?;
    check_depth(text).map_err(no_header)?;
    match text.trim_end_matches(['\n', ' ', '\0']).parse() {
        Ok(Value::Dict(pairs)) => Ok(pairs),
        Ok(_) => Err(no_header("a Python value that is no dictionary")),
        Err(_) => Err(no_header("something that is no Python literal")),
    }
}

/// Whether a header can be parsed in reasonable time.
fn check_depth(text: &str) -> Result<(), &'static str> {
    if text.contains("\'\'\'") || text.contains("\"\"\"") {
        return Err("a text in three quotes");
    }
    let (mut depth, mut quote) = (0usize, None);
    for c in text.chars() {
        match c {
            // Escapes have no place in what is read here, and are where parsers differ.
            '\\' => return Err("a backslash in it"),
            // Brackets inside of a text are no brackets.
            _ if quote.is_some() => quote = quote.filter(|q| *q != c),
            '\'' | '"' => quote = Some(c),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_LIMIT {
            return Err("brackets nested too deep");
        }
    }
    match quote {
        None => Ok(()),
        Some(_) => Err("a text that does not end"),
    }
}

/// The type of the numbers.
fn type_of(descr: &Value) -> Found<(TypeStr, String)> {
    let Value::String(text) = descr else {
        return Err((PLAIN, "an array of records".into()));
    };
    let kind: TypeStr = text.parse().map_err(|_| (PLAIN, format!("type {text:?}")))?;
    match kind.uses_pickled_array() {
        true => Err((PLAIN, "Python objects, which are never read".into())),
        false => Ok((kind, text.clone())),
    }
}

/// One size of a shape; none for what is negative, too large or no integer.
fn size_of(value: &Value) -> Option<usize> {
    match value {
        Value::Integer(n) => usize::try_from(n).ok(),
        _ => None,
    }
}
