//! A line into fields, after RFC 4180.
//!
//! The quoting is strict on purpose: text after a closing quote is a fault of that line and not
//! a guess. With a lenient reader one stray quote swallows all the rows up to the next one.

/// What [`Splitter::feed`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// The record ends with this line.
    Complete,
    /// A quoted field goes on in the next line.
    Open,
    /// Something other than a delimiter follows a closing quote, at this byte, counted from 1.
    Bad(usize),
}

/// Splits records into fields; one field may span several lines.
pub(crate) struct Splitter {
    delimiter: Vec<u8>,
    quote: bool,
    fields: Vec<u8>,
    ends: Vec<usize>,
    open: bool,
}

impl Splitter {
    pub(crate) fn new(delimiter: Vec<u8>, quote: bool) -> Self {
        Self { delimiter, quote, fields: Vec::new(), ends: Vec::new(), open: false }
    }

    /// Forgets the record before.
    pub(crate) fn start(&mut self) {
        self.fields.clear();
        self.ends.clear();
        self.open = false;
    }

    /// How many fields the record has.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One field, unquoted.
    pub(crate) fn field(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.fields[start..self.ends[index]]
    }

    /// Adds a line to the record.
    pub(crate) fn feed(&mut self, line: &[u8]) -> Split {
        let mut at = 0;
        let mut inside = self.open;
        if inside {
            self.fields.push(b'\n');
        }
        loop {
            if !inside && self.quote && line.get(at) == Some(&b'"') {
                at += 1;
                inside = true;
            }
            if inside {
                let Some(after) = self.quoted(line, at) else { return Split::Open };
                inside = false;
                self.ends.push(self.fields.len());
                if after == line.len() {
                    return Split::Complete;
                }
                if !line[after..].starts_with(&self.delimiter) {
                    return Split::Bad(after + 1);
                }
                at = after + self.delimiter.len();
                continue;
            }
            let rest = &line[at..];
            let length = find(rest, &self.delimiter);
            self.fields.extend_from_slice(&rest[..length.unwrap_or(rest.len())]);
            self.ends.push(self.fields.len());
            match length {
                Some(length) => at += length + self.delimiter.len(),
                None => return Split::Complete,
            }
        }
    }

    /// Reads the inside of a quoted field up to and including its closing quote.
    fn quoted(&mut self, line: &[u8], mut at: usize) -> Option<usize> {
        while let Some(length) = find(&line[at..], b"\"") {
            self.fields.extend_from_slice(&line[at..at + length]);
            at += length + 1;
            if line.get(at) != Some(&b'"') {
                self.open = false;
                return Some(at);
            }
            self.fields.push(b'"');
            at += 1;
        }
        self.fields.extend_from_slice(&line[at..]);
        self.open = true;
        None
    }
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [one] => text.iter().position(|b| b == one),
        _ => text.windows(needle.len()).position(|w| w == needle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(delimiter: &str, quote: bool, lines: &[&str]) -> (Split, Vec<String>) {
        let mut splitter = Splitter::new(delimiter.as_bytes().to_vec(), quote);
        splitter.start();
        let mut last = Split::Complete;
        for line in lines {
            last = splitter.feed(line.as_bytes());
        }
        let fields = (0..splitter.len())
            .map(|i| String::from_utf8_lossy(splitter.field(i)).into_owned())
            .collect();
        (last, fields)
    }

    #[test]
    fn fields_quotes_and_long_delimiters() {
        let done = |fields: &[&str]| {
            (Split::Complete, fields.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(split(",", true, &["a,,b"]), done(&["a", "", "b"]));
        assert_eq!(split(",", true, &["\"a,b\",\"c\"\"d\","]), done(&["a,b", "c\"d", ""]));
        assert_eq!(split(",", true, &["a \"b\" c,d"]), done(&["a \"b\" c", "d"]));
        assert_eq!(split("\t", false, &["\"a\tb"]), done(&["\"a", "b"]));
        assert_eq!(split("::", false, &["1::Up: (2009)::x"]), done(&["1", "Up: (2009)", "x"]));
        assert_eq!(split(",", true, &["a,\"b", "c\",d"]), done(&["a", "b\nc", "d"]));
        assert_eq!(split(",", true, &["\"a\"b,c"]).0, Split::Bad(4));
        assert_eq!(split(",", true, &["a,\"b"]).0, Split::Open);
    }

    proptest! {
        /// The `csv` crate writes, this splitter reads.
        #[test]
        fn what_csv_writes_is_read_back(fields in prop::collection::vec("[a,\" \né]{0,6}", 1..6)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&fields).unwrap();
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let lines: Vec<&str> = text.strip_suffix('\n').unwrap().split('\n').collect();
            prop_assert_eq!(split(",", true, &lines), (Split::Complete, fields));
        }
    }
}
