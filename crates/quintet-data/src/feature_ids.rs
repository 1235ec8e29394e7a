//! Which row of somebody else's matrix is which item.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::dataset_io::read_text;

/// Largest id file that is read, bytes.
const IDS_LIMIT: u64 = 1 << 30;

/// Where the item of a row is told.
///
/// Files are read by their extension: `.csv` and `.tsv` are tables (a `.csv` whose first line
/// has a tab counts as `.tsv`, as MMRec writes them), `.json` is an array of ids, anything else
/// has one id a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ImportIds {
    /// Row `i` is the dataset's item `i`; there must be as many rows as items.
    DatasetOrder {},
    /// A file with one id a row, in the order of the rows.
    List {
        /// The file.
        path: PathBuf,
        /// The column of the ids in a table; the first when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        column: Option<IdColumn>,
        /// Whether the first line of a table has names.
        #[serde(default = "yes")]
        header: bool,
    },
    /// A table of ids and row numbers, counted from 0, such as MMRec's `i_id_mapping.csv`. Two
    /// items may share a row.
    Map {
        /// The file.
        path: PathBuf,
        /// The column of the ids; the first when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<IdColumn>,
        /// The column of the row numbers; the second when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        row: Option<IdColumn>,
        /// Whether the first line has names.
        #[serde(default = "yes")]
        header: bool,
    },
    /// Ids are row numbers: item `"17"` is row 17.
    ItemIsRow {},
}

fn yes() -> bool {
    true
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IdColumn {
    /// Counted from 0.
    Position(usize),
    /// As the first line names it.
    Name(String),
}

/// The row of every item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RowMap {
    /// `[n_items]`: the row, below the number of rows.
    pub(crate) row_of: Vec<Option<usize>>,
    /// Ids in the file that the dataset does not have.
    pub(crate) unknown_ids: usize,
}

impl ImportIds {
    /// The name of the kind, as configurations write it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::DatasetOrder {} => "dataset_order",
            Self::List { .. } => "list",
            Self::Map { .. } => "map",
            Self::ItemIsRow {} => "item_is_row",
        }
    }

    /// The id file, where there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::List { path, .. } | Self::Map { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Finds the row of every item in the matrix at `npy`, which has `n_rows`.
    ///
    /// # Errors
    /// Another number of ids than rows, an id that occurs twice, a row that the matrix does not
    /// have, an id that is no row number where it should be one, a broken id file.
    pub(crate) fn rows(
        &self,
        npy: &Path,
        n_rows: usize,
        item_ids: &[String],
    ) -> Result<RowMap, DataError> {
        let count = |n_ids: usize, whose: &str| match n_ids == n_rows {
            true => Ok(()),
            false => Err(DataError::Content {
                path: npy.to_owned(),
                expected: format!("{n_ids} rows, one for each {whose}"),
                found: n_rows.to_string(),
            }),
        };
        let pairs = match self {
            Self::DatasetOrder {} => {
                count(item_ids.len(), "item of the dataset")?;
                let row_of = (0..n_rows).map(Some).collect();
                return Ok(RowMap { row_of, unknown_ids: 0 });
            }
            Self::ItemIsRow {} => {
                let row_of =
                    item_ids.iter().map(|id| own_row(id, n_rows)).collect::<Result<_, _>>();
                return Ok(RowMap { row_of: row_of?, unknown_ids: 0 });
            }
            Self::List { path, column, header } => {
                let ids = read_list(path, column.as_ref(), *header)?;
                count(ids.len(), "line of the id file")?;
                ids.into_iter().enumerate().map(|(row, (line, id))| (line, id, row)).collect()
            }
            Self::Map { path, item, row, header } => {
                read_map(path, [item.as_ref(), row.as_ref()], *header, n_rows)?
            }
        };
        join(self.path().unwrap_or(npy), pairs, item_ids)
    }
}

/// The row that an id names; none for a row that the matrix does not have.
fn own_row(id: &str, n_rows: usize) -> Result<Option<usize>, DataError> {
    match id.parse::<usize>() {
        Ok(row) => Ok(Some(row).filter(|row| *row < n_rows)),
        Err(_) => Err(DataError::Config {
            key: "ids",
            expected: "another source than item_is_row, or ids that are row numbers".into(),
            found: format!("item_is_row, and there is an item {id:?}"),
        }),
    }
}

/// A line, an id and its row.
type Entry = (u64, String, usize);

fn join(path: &Path, entries: Vec<Entry>, item_ids: &[String]) -> Result<RowMap, DataError> {
    let mut seen: HashMap<&str, (u64, usize)> = HashMap::with_capacity(entries.len());
    for (line, id, row) in &entries {
        if let Some((first, _)) = seen.insert(id, (*line, *row)) {
            return Err(DataError::IdLine {
                path: path.to_owned(),
                line: *line,
                expected: "an id of its own".into(),
                found: format!("{id:?}, which line {first} has"),
            });
        }
    }
    let row_of: Vec<_> =
        item_ids.iter().map(|id| seen.remove(id.as_str()).map(|(_, row)| row)).collect();
    Ok(RowMap { row_of, unknown_ids: seen.len() })
}

/// Lines and ids; of a JSON file the "line" is the position in the array, from 1.
fn read_list(
    path: &Path,
    column: Option<&IdColumn>,
    header: bool,
) -> Result<Vec<(u64, String)>, DataError> {
    let text = read_ids(path)?;
    match extension(path).as_str() {
        "csv" | "tsv" => {
            let first = IdColumn::Position(0);
            let rows = read_table(path, &text, [column.unwrap_or(&first)], header)?;
            Ok(rows.into_iter().map(|(line, [id])| (line, id)).collect())
        }
        "json" => read_json(path, &text),
        _ => (1..)
            .zip(text.lines())
            .map(|(line, id)| match id.is_empty() {
                false => Ok((line, id.to_owned())),
                true => Err(DataError::IdLine {
                    path: path.to_owned(),
                    line,
                    expected: "an id".into(),
                    found: "an empty line".into(),
                }),
            })
            .collect(),
    }
}

fn read_map(
    path: &Path,
    columns: [Option<&IdColumn>; 2],
    header: bool,
    n_rows: usize,
) -> Result<Vec<Entry>, DataError> {
    if !["csv", "tsv"].contains(&extension(path).as_str()) {
        return Err(DataError::Content {
            path: path.to_owned(),
            expected: "a .csv or .tsv file of ids and row numbers".into(),
            found: "another extension".into(),
        });
    }
    let (first, second) = (IdColumn::Position(0), IdColumn::Position(1));
    let columns = [columns[0].unwrap_or(&first), columns[1].unwrap_or(&second)];
    let rows = read_table(path, &read_ids(path)?, columns, header)?;
    let entry = |(line, [id, row]): (u64, [String; 2])| match row.trim().parse::<usize>() {
        Ok(row) if row < n_rows => Ok((line, id, row)),
        _ => Err(DataError::IdLine {
            path: path.to_owned(),
            line,
            expected: format!("a row number from 0 to below {n_rows}"),
            found: format!("{row:?} for item {id:?}"),
        }),
    };
    rows.into_iter().map(entry).collect()
}

fn read_json(path: &Path, text: &str) -> Result<Vec<(u64, String)>, DataError> {
    let json = |source| DataError::Json { path: path.to_owned(), row: None, source };
    let values: Vec<serde_json::Value> = serde_json::from_str(text).map_err(json)?;
    let id = |(line, value)| match value {
        serde_json::Value::String(id) => Ok((line, id)),
        serde_json::Value::Number(n) if n.is_i64() || n.is_u64() => Ok((line, n.to_string())),
        other => Err(DataError::IdLine {
            path: path.to_owned(),
            line,
            expected: "an array of strings or whole numbers".into(),
            found: other.to_string().chars().take(80).collect(),
        }),
    };
    (1..).zip(values).map(id).collect()
}

/// The cells of some columns, with their lines.
fn read_table<const N: usize>(
    path: &Path,
    text: &str,
    columns: [&IdColumn; N],
    header: bool,
) -> Result<Vec<(u64, [String; N])>, DataError> {
    let tabs = extension(path) == "tsv" || text.lines().next().is_some_and(|l| l.contains('\t'));
    let bad = |line: u64, expected: String, found: String| DataError::IdLine {
        path: path.to_owned(),
        line,
        expected,
        found,
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(if tabs { b'\t' } else { b',' })
        .quoting(!tabs)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let mut positions = [0; N];
    let names = if header { records.next().transpose() } else { Ok(None) };
    let names = names.map_err(|e| bad(1, "a row of names".into(), e.to_string()))?;
    for (position, column) in positions.iter_mut().zip(columns) {
        *position = match column {
            IdColumn::Position(at) => *at,
            IdColumn::Name(name) => {
                let names = names.as_ref();
                let found = names.and_then(|names| names.iter().position(|n| n.trim() == name));
                found.ok_or_else(|| DataError::MissingColumn {
                    path: path.to_owned(),
                    column: name.clone(),
                    known: names.map_or("no names, as header = false says".into(), |names| {
                        names.iter().collect::<Vec<_>>().join(", ")
                    }),
                })?
            }
        };
    }
    let mut rows = Vec::new();
    for record in records {
        let line = |p: Option<&csv::Position>| p.map_or(0, csv::Position::line);
        let record = record.map_err(|e| bad(line(e.position()), "a row".into(), e.to_string()))?;
        let mut cells = [const { String::new() }; N];
        for (cell, at) in cells.iter_mut().zip(positions) {
            let found = record.get(at).filter(|cell| !cell.is_empty());
            *cell = found.map(str::to_owned).ok_or_else(|| {
                let found = format!("{} fields: {:?}", record.len(), record.as_slice());
                bad(line(record.position()), format!("a value in column {at} (from 0)"), found)
            })?;
        }
        rows.push((line(record.position()), cells));
    }
    Ok(rows)
}

fn read_ids(path: &Path) -> Result<String, DataError> {
    let mut text = read_text(path, IDS_LIMIT)?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    /// Writes an id file and resolves it for items `a`, `b`, `c` and a matrix of `n_rows`.
    fn rows(
        name: &str,
        text: &str,
        n_rows: usize,
        make: impl Fn(PathBuf) -> ImportIds,
    ) -> Result<RowMap, String> {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(name);
        fs_err::write(&path, text).unwrap();
        let ids = items(&["a", "b", "c"]);
        make(path).rows(Path::new("f.npy"), n_rows, &ids).map_err(|e| e.to_string())
    }

    fn list(path: PathBuf) -> ImportIds {
        ImportIds::List { path, column: None, header: true }
    }

    fn map(path: PathBuf) -> ImportIds {
        ImportIds::Map { path, item: None, row: None, header: true }
    }

    #[test]
    fn lists_of_every_form_give_the_same_rows() {
        let want = RowMap { row_of: vec![Some(1), None, Some(0)], unknown_ids: 1 };
        for (name, text) in [
            ("ids.txt", "c\na\nx\n"),
            ("ids", "\u{feff}c\r\na\r\nx"),
            ("ids.csv", "id\nc\na\nx\n"),
            ("ids.csv", "id\tname\nc\t\"C\na\tA\nx\tX\n"),
            ("ids.tsv", "id\nc\na\nx"),
            ("ids.json", "[\"c\", \"a\", \"x\"]"),
        ] {
            assert_eq!(rows(name, text, 3, list).unwrap(), want, "{name} {text:?}");
        }
        let named = |path| ImportIds::List {
            path,
            column: Some(IdColumn::Name("asin".into())),
            header: true,
        };
        let text = "n,asin\n0,\"c\"\n1,a\n2,x\n";
        assert_eq!(rows("ids.csv", text, 3, named).unwrap(), want);
        let bare =
            |path| ImportIds::List { path, column: Some(IdColumn::Position(1)), header: false };
        assert_eq!(rows("ids.csv", "0,c\n1,a\n2,x\n", 3, bare).unwrap(), want);
    }

    #[test]
    fn maps_give_rows_by_name_and_position() {
        let want = RowMap { row_of: vec![Some(7), Some(0), Some(7)], unknown_ids: 1 };
        let text = "asin\titemID\na\t7\nb\t0\nz\t3\nc\t7\n";
        assert_eq!(rows("i_id_mapping.csv", text, 8, map).unwrap(), want);
        let turned = |path| ImportIds::Map {
            path,
            item: Some(IdColumn::Name("asin".into())),
            row: Some(IdColumn::Position(0)),
            header: true,
        };
        let text = "itemID,asin\n7,a\n0,b\n3,z\n7,c\n";
        assert_eq!(rows("m.csv", text, 8, turned).unwrap(), want);
        let err = rows("m.csv", text, 7, turned).unwrap_err();
        assert!(err.contains("line 2: expected a row number from 0 to below 7, found \"7\""));
    }

    #[test]
    fn ids_may_be_positions_or_row_numbers() {
        let npy = Path::new("f.npy");
        let ids = items(&["2", "0", "5"]);
        let own = ImportIds::ItemIsRow {}.rows(npy, 3, &ids).unwrap();
        assert_eq!(own, RowMap { row_of: vec![Some(2), Some(0), None], unknown_ids: 0 });
        let err = ImportIds::ItemIsRow {}.rows(npy, 3, &items(&["2", "B00"])).unwrap_err();
        assert!(err.to_string().contains("there is an item \"B00\""), "{err}");
        let order = ImportIds::DatasetOrder {};
        assert_eq!(order.rows(npy, 3, &ids).unwrap().row_of, [Some(0), Some(1), Some(2)]);
        let err = order.rows(npy, 4, &ids).unwrap_err().to_string();
        assert_eq!(err, "f.npy: expected 3 rows, one for each item of the dataset, found 4");
    }

    #[test]
    fn faults_are_named_by_line() {
        let says = |name: &str, text: &str, n: usize, what: &str| {
            let err = rows(name, text, n, list).unwrap_err();
            assert!(err.contains(what), "{err}");
        };
        says("i.txt", "a\nb\n", 3, "expected 2 rows, one for each line of the id file, found 3");
        says("i.txt", "a\nb\na\n", 3, "i.txt, line 3: expected an id of its own, found \"a\", wh");
        says("i.txt", "a\n\nb\n", 3, "line 2: expected an id, found an empty line");
        says("i.json", "[\"a\", null]", 2, "line 2: expected an array of strings");
        says("i.json", "{}", 2, "i.json");
        says("i.csv", "id,n\na,1\n,2\n", 2, "line 3: expected a value in column 0");
        let named = |path| ImportIds::List {
            path,
            column: Some(IdColumn::Name("asin".into())),
            header: true,
        };
        let err = rows("i.csv", "id,n\na,1\n", 1, named).unwrap_err();
        assert!(err.contains("no column \"asin\"; it has: id, n"), "{err}");
        let err = rows("m.csv", "id,n\na,one\n", 1, map).unwrap_err();
        assert!(err.contains("line 2") && err.contains("\"one\" for item \"a\""), "{err}");
        assert!(rows("m.json", "{}", 1, map).unwrap_err().contains("a .csv or .tsv file"));
    }

    #[test]
    fn configurations_are_plain_tables() {
        let ids: ImportIds =
            toml::from_str("from = \"map\"\npath = \"m.csv\"\nitem = \"asin\"\nrow = 1").unwrap();
        let want = ImportIds::Map {
            path: "m.csv".into(),
            item: Some(IdColumn::Name("asin".into())),
            row: Some(IdColumn::Position(1)),
            header: true,
        };
        assert_eq!(ids, want);
        assert!(toml::from_str::<ImportIds>("from = \"item_is_row\"\nrow = 1").is_err());
    }
}
