//! A table of a dataset: which columns it has and what stands in each cell. No cell is held.

use std::collections::{BTreeMap, BTreeSet};

use quintet_data::Dataset;

use crate::IngestError;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Float,
    Int,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    None,
    Text(&'a str),
    Float(f32),
    Int(i64),
}

impl<'a> Cell<'a> {
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text, where blank text says nothing.
    fn of(text: Option<&'a str>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Cell::None, Cell::Text)
    }

    /// The cell as text in `scratch`.
    pub(super) fn write(self, scratch: &mut String) {
        use std::fmt::Write;
        scratch.clear();
        // Writing into a string cannot fail. The shortest text of a number is read back as it.
        let _ = match self {
            Cell::None => Ok(()),
            Cell::Text(text) => {
                scratch.push_str(text);
                Ok(())
            }
            Cell::Float(value) => write!(scratch, "{value}"),
            Cell::Int(value) => write!(scratch, "{value}"),
        };
    }
}

/// A table.
pub(super) struct Sheet<'a> {
    pub(super) columns: Vec<(String, Kind)>,
    pub(super) rows: usize,
    /// The cell of a row and a column.
    pub(super) cell: Box<dyn Fn(usize, usize) -> Cell<'a> + 'a>,
}

/// What the columns of items and users are called. Attributes keep their names, so the other
/// columns make way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) item_id: String,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) item_attributes: Vec<String>,
    pub(super) user_id: String,
    pub(super) user_attributes: Vec<String>,
}

impl Names {
    pub(super) fn new(dataset: &Dataset) -> Self {
        let items = attributes(dataset.items.iter().map(|item| &item.attributes));
        let users = attributes(dataset.users.iter().map(|user| &user.attributes));
        let free = |name: &str, taken: &[String]| {
            let mut name = name.to_owned();
            while taken.contains(&name) {
                name.push('_');
            }
            name
        };
        Self {
            item_id: free("id", &items),
            title: free("title", &items),
            text: free("text", &items),
            user_id: free("id", &users),
            item_attributes: items,
            user_attributes: users,
        }
    }
}

fn attributes<'a>(maps: impl Iterator<Item = &'a BTreeMap<String, String>>) -> Vec<String> {
    let names: BTreeSet<&String> = maps.flat_map(BTreeMap::keys).collect();
    names.into_iter().cloned().collect()
}

impl<'a> Sheet<'a> {
    pub(super) fn interactions(dataset: &'a Dataset) -> Self {
        let events = &dataset.events;
        let mut columns = vec![
            ("user".to_owned(), Kind::Text),
            ("item".to_owned(), Kind::Text),
            ("value".to_owned(), Kind::Float),
            ("event".to_owned(), Kind::Text),
        ];
        let timed = events.n_without_time() < events.len();
        if timed {
            columns.push(("timestamp".to_owned(), Kind::Int));
        }
        if events.has_parts() {
            columns.push(("part".to_owned(), Kind::Text));
        }
        let cell = move |row: usize, column: usize| match column {
            0 => Cell::Text(&dataset.users[events.users()[row].index()].id),
            1 => Cell::Text(&dataset.items[events.items()[row].index()].id),
            2 => Cell::Float(events.values()[row]),
            3 => Cell::Text(events.kind_name(row)),
            4 if timed => events.timestamp(row).map_or(Cell::None, Cell::Int),
            _ => events.part(row).map_or(Cell::None, |part| Cell::Text(part.as_str())),
        };
        Self { columns, rows: events.len(), cell: Box::new(cell) }
    }

    pub(super) fn items(dataset: &'a Dataset, names: &'a Names) -> Self {
        let fixed = [&names.item_id, &names.title, &names.text];
        let all = fixed.into_iter().chain(&names.item_attributes);
        let cell = move |row: usize, column: usize| {
            let item = &dataset.items[row];
            match column {
                0 => Cell::Text(&item.id),
                1 => Cell::of(Some(&item.title)),
                2 => Cell::of(item.text.as_deref()),
                other => {
                    let name = &names.item_attributes[other - 3];
                    Cell::of(item.attributes.get(name).map(String::as_str))
                }
            }
        };
        Self {
            columns: all.map(|name| (name.clone(), Kind::Text)).collect(),
            rows: dataset.items.len(),
            cell: Box::new(cell),
        }
    }

    pub(super) fn users(dataset: &'a Dataset, names: &'a Names) -> Self {
        let all = [&names.user_id].into_iter().chain(&names.user_attributes);
        let cell = move |row: usize, column: usize| {
            let user = &dataset.users[row];
            match column.checked_sub(1) {
                None => Cell::Text(&user.id),
                Some(at) => {
                    let name = &names.user_attributes[at];
                    Cell::of(user.attributes.get(name).map(String::as_str))
                }
            }
        };
        Self {
            columns: all.map(|name| (name.clone(), Kind::Text)).collect(),
            rows: dataset.users.len(),
            cell: Box::new(cell),
        }
    }

    /// Whether the names of the columns can be found again in a header line.
    pub(super) fn check_names(&self, file: &str) -> Result<(), IngestError> {
        let bad = |name: &&(String, Kind)| {
            name.0.trim() != name.0 || name.0.is_empty() || name.0.contains(['\0', '\r'])
        };
        match self.columns.iter().find(bad) {
            None => Ok(()),
            Some((name, _)) => Err(IngestError::Export {
                what: file.to_owned(),
                expected: "attributes with names that neither begin nor end with a blank",
                found: format!("{name:?}"),
            }),
        }
    }
}
