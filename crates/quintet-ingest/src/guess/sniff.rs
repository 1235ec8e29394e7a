//! How a text file is laid out: its delimiter, and whether its first line names the columns.

use std::io::{BufRead, Read};
use std::path::Path;

use crate::IngestError;
use crate::config::{TableFile, TableFormat};
use crate::paths::Root;
use crate::table::open_source;

/// Bytes that are looked at.
const HEAD: u64 = 1 << 18;
/// Lines that are looked at.
const LINES: usize = 100;
/// Delimiters, the likelier ones first.
const DELIMITERS: [&str; 6] = ["\t", "::", ",", ";", "|", " "];

/// The first lines of a text file, each as one cell; what is no UTF-8 is replaced.
pub(super) fn lines(root: &Root, file: &str, most: usize) -> Result<Vec<Vec<String>>, IngestError> {
    Ok(head(root, file)?.into_iter().take(most).map(|line| vec![line]).collect())
}

/// The first whole lines.
pub(super) fn head(root: &Root, file: &str) -> Result<Vec<String>, IngestError> {
    let source = open_source(file, &root.resolve(file)?)?;
    let mut lines = Vec::new();
    let mut source = source.take(HEAD);
    let mut line = Vec::new();
    while lines.len() < LINES {
        line.clear();
        if source.read_until(b'\n', &mut line).map_err(IngestError::io(file))? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        if !text.is_empty() {
            lines.push(text.to_owned());
        }
    }
    Ok(lines)
}

/// How a file is to be opened, by its extension and its first lines; none if it is no table.
pub(super) fn layout(root: &Root, file: &str) -> Result<Option<TableFile<()>>, IngestError> {
    let lower = file.to_lowercase();
    let inner = [".gz", ".zst", ".zstd"].iter().find_map(|end| lower.strip_suffix(end));
    let inner = inner.unwrap_or(&lower).to_owned();
    let extension = Path::new(&inner).extension().and_then(|e| e.to_str()).unwrap_or_default();
    let table = TableFile { path: file.to_owned(), ..TableFile::<()>::default() };
    match extension {
        "parquet" | "pq" | "arrow" | "arrows" | "ipc" | "feather" => return Ok(Some(table)),
        "json" | "jsonl" | "ndjson" => return Ok(Some(table)),
        "csv" | "tsv" | "tab" | "inter" | "item" | "user" | "txt" | "dat" | "data" | "base"
        | "test" | "" => {}
        _ => return Ok(None),
    }
    let lines = head(root, file)?;
    if lines.iter().any(|line| line.contains('\0')) {
        return Ok(None);
    }
    if lines.first().is_some_and(|line| line.starts_with('{')) {
        return Ok(Some(TableFile { format: Some(TableFormat::Jsonl), ..table }));
    }
    let Some(delimiter) = delimiter(&lines) else { return Ok(None) };
    let by_extension = match extension {
        "csv" => Some((TableFormat::Csv, ",")),
        "tsv" | "tab" | "inter" | "item" | "user" => Some((TableFormat::Tsv, "\t")),
        _ => None,
    };
    let format = if delimiter == "," { TableFormat::Csv } else { TableFormat::Tsv };
    let usual =
        if by_extension.map_or(format, |(f, _)| f) == TableFormat::Csv { "," } else { "\t" };
    Ok(Some(TableFile {
        format: by_extension.is_none().then_some(format),
        delimiter: (delimiter != usual).then(|| delimiter.to_owned()),
        header: (!has_header(&lines, delimiter)).then_some(false),
        ..table
    }))
}

/// What stands equally often in every line, and more often than anything else.
fn delimiter(lines: &[String]) -> Option<&'static str> {
    let first = lines.first()?;
    let score = |delimiter: &&str| {
        let count = first.matches(*delimiter).count();
        // Quotes may hide some, and a last line may be cut.
        let same = lines.iter().filter(|l| l.matches(*delimiter).count() == count).count();
        (count > 0 && 10 * same >= 7 * lines.len()).then_some((same, count))
    };
    let scored = DELIMITERS.iter().filter_map(|d| score(d).map(|s| (s, *d)));
    let mut best: Option<((usize, usize), &'static str)> = None;
    for (score, delimiter) in scored {
        if best.is_none_or(|(known, _)| score > known) {
            best = Some((score, delimiter));
        }
    }
    best.map(|(_, delimiter)| delimiter)
}

/// Whether the first line has names: none of its cells is a number, and later ones are.
fn has_header(lines: &[String], delimiter: &str) -> bool {
    let number = |cell: &str| cell.trim().trim_matches('"').parse::<f64>().is_ok();
    let Some(first) = lines.first() else { return true };
    let first: Vec<&str> = first.split(delimiter).collect();
    if first.iter().any(|cell| number(cell)) {
        return false;
    }
    let known =
        first.iter().filter(|cell| super::columns::is_known(cell.trim_matches('"'))).count();
    let numbers = lines.iter().skip(1).filter(|line| line.split(delimiter).any(number)).count();
    known > 0 || 2 * numbers > lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_delimiter_is_the_same_in_every_line() {
        assert_eq!(delimiter(&lines("a,b\n1,2\n3,4")), Some(","));
        assert_eq!(delimiter(&lines("1::2::3, 4\n5::6::7")), Some("::"));
        assert_eq!(delimiter(&lines("1\t2\ta b\n3\t4\tc")), Some("\t"));
        assert_eq!(delimiter(&lines("word\nother")), None);
    }

    #[test]
    fn a_line_with_a_number_is_no_header() {
        assert!(has_header(&lines("who,what\na,1"), ","));
        assert!(!has_header(&lines("a,1\nb,2"), ","));
        assert!(has_header(&lines("user,item\na,x"), ","));
        assert!(!has_header(&lines("a,x\nb,y"), ","));
    }
}
